//! JPEG files with one restart interval per segment (ITU-T T.81), and taking them apart.
//!
//! All files are encoded from pixels padded to whole units. A segment's bytes then depend on its own pixels and the
//! Huffman tables only, and segments of files with equal settings can be exchanged.

use image::RgbImage;
use libjpeg_turbo_rs::{Decoder, Encoder, JpegError, PixelFormat, Subsampling};

use super::huffman::Tables;
use super::record::{Chroma, MarkError, Size};
use crate::jpeg::segments::{Segments, marker};

/// The quality of served files on libjpeg's scale of 1-100.
const QUALITY: u8 = 88;

/// A JPEG file cut at its restart markers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// Everything up to the entropy-coded data.
    pub header: &'a [u8],
    /// The entropy-coded segments, without restart markers.
    pub segments: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Cuts a baseline JPEG file with one scan.
    pub fn cut(jpeg: &'a [u8]) -> Result<Self, MarkError> {
        let mut header = Segments::new(jpeg);
        if !header.any(|(marker, _)| marker == marker::SOS) {
            return Err(MarkError::Jpeg("no scan".into()));
        }
        let (header, data) = jpeg.split_at(header.at);
        let mut segments = Vec::new();
        let mut segment = 0;
        let mut i = 0;
        while i + 1 < data.len() {
            match (data[i], data[i + 1]) {
                (0xff, 0xd0..=0xd7) => {
                    segments.push(&data[segment..i]);
                    i += 2;
                    segment = i;
                }
                (0xff, 0x00) => i += 2,
                (0xff, _) => break,
                _ => i += 1,
            }
        }
        segments.push(&data[segment..i.min(data.len())]);
        Ok(Self { header, segments })
    }
}

/// The two bytes between segments `j - 1` and `j` (RSTn); nothing before the first.
pub(crate) fn restart(j: usize) -> &'static [u8] {
    const MARKERS: [[u8; 2]; 8] = [
        [0xff, 0xd0],
        [0xff, 0xd1],
        [0xff, 0xd2],
        [0xff, 0xd3],
        [0xff, 0xd4],
        [0xff, 0xd5],
        [0xff, 0xd6],
        [0xff, 0xd7],
    ];
    j.checked_sub(1).map_or(&[], |before| &MARKERS[before % 8])
}

/// The bytes behind the last segment (EOI).
pub(crate) const END: [u8; 2] = [0xff, 0xd9];

/// A whole file from its header and segments.
pub(crate) fn join<'a>(header: &[u8], segments: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = header.to_vec();
    for (j, segment) in segments.enumerate() {
        out.extend_from_slice(restart(j));
        out.extend_from_slice(segment);
    }
    out.extend(END);
    out
}

/// Writes another image size into the frame header (SOF0).
pub(crate) fn set_size(jpeg: &mut [u8], size: Size) -> Result<(), MarkError> {
    let mut segments = Segments::new(jpeg);
    let frame = segments.find(|(marker, _)| matches!(marker, 0xc0..=0xc2));
    // Behind the samples' bits.
    let field = frame
        .map(|(_, body)| segments.at - body.len() + 1)
        .and_then(|at| jpeg.get_mut(at..at + 4))
        .ok_or_else(|| MarkError::Jpeg("no frame header".into()))?;
    let side = |v: u32| u16::try_from(v).map_err(|_| MarkError::Jpeg("side above 65535".into()));
    field[..2].copy_from_slice(&side(size.height)?.to_be_bytes());
    field[2..].copy_from_slice(&side(size.width)?.to_be_bytes());
    Ok(())
}

/// Encodes an image with restart intervals of `run` units, or none for 0, by the given Huffman tables or else the
/// standard ones.
pub(crate) fn encode(
    image: &RgbImage,
    chroma: Chroma,
    run: usize,
    tables: Option<&Tables>,
) -> Result<Vec<u8>, MarkError> {
    encode_with(image, chroma, run, tables, QUALITY)
}

/// [`encode`] at another quality, by the standard tables.
pub(crate) fn encode_at(
    image: &RgbImage,
    chroma: Chroma,
    run: usize,
    quality: u8,
) -> Result<Vec<u8>, MarkError> {
    encode_with(image, chroma, run, None, quality)
}

fn encode_with(
    image: &RgbImage,
    chroma: Chroma,
    run: usize,
    tables: Option<&Tables>,
    quality: u8,
) -> Result<Vec<u8>, MarkError> {
    let mcu = chroma.mcu() as u32;
    let size = Size { width: image.width(), height: image.height() };
    if size.pixels() == 0 {
        return Err(MarkError::TooSmall);
    }
    let padded;
    let (width, height) = (size.width.next_multiple_of(mcu), size.height.next_multiple_of(mcu));
    let pixels = if (width, height) == (size.width, size.height) {
        image
    } else {
        padded = extended(image, width, height);
        &padded
    };
    let subsampling = match chroma {
        Chroma::Half => Subsampling::S420,
        Chroma::Full => Subsampling::S444,
    };
    let mut encoder = Encoder::new(pixels.as_raw(), width as usize, height as usize, PixelFormat::Rgb)
        .quality(quality)
        .subsampling(subsampling);
    if run > 0 {
        encoder = encoder
            .restart_blocks(u16::try_from(run).map_err(|_| MarkError::Jpeg("restart interval".into()))?);
    }
    if let Some(tables) = tables {
        encoder = tables.set(encoder);
    }
    let mut jpeg = encoder.encode().map_err(error)?;
    set_size(&mut jpeg, size)?;
    Ok(jpeg)
}

/// An image of at least one pixel made larger by repeating its last column and row.
fn extended(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let mut out = RgbImage::new(width, height);
    let stride = 3 * image.width() as usize;
    for (y, target) in out.chunks_exact_mut(3 * width as usize).enumerate() {
        let line = &image.as_raw()[y.min(image.height() as usize - 1) * stride..][..stride];
        let (inside, beyond) = target.split_at_mut(stride);
        inside.copy_from_slice(line);
        beyond.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&line[stride - 3..]));
    }
    out
}

/// Decodes a file of our own to RGB. Chroma is repeated, not interpolated, so that decoding and encoding again keeps
/// it and segments stay independent.
pub(crate) fn decode(jpeg: &[u8]) -> Result<RgbImage, MarkError> {
    let mut decoder = Decoder::new(jpeg).map_err(error)?;
    decoder.set_output_format(PixelFormat::Rgb);
    decoder.set_fast_upsample(true);
    let image = decoder.decode_image().map_err(error)?;
    RgbImage::from_raw(image.width as u32, image.height as u32, image.data)
        .ok_or_else(|| MarkError::Jpeg("short image".into()))
}

fn error(error: JpegError) -> MarkError {
    MarkError::Jpeg(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::embed::tests::picture;

    #[test]
    fn a_file_cut_and_joined_is_the_same_file_with_the_true_size() {
        for (width, height, chroma, run) in
            [(133, 97, Chroma::Half, 4), (64, 64, Chroma::Full, 1), (50, 41, Chroma::Half, 3)]
        {
            let image = picture(width, height);
            let jpeg = encode(&image, chroma, run, None).unwrap();
            let parts = Parts::cut(&jpeg).unwrap();
            assert_eq!(join(parts.header, parts.segments.iter().copied()), jpeg);
            let units = width.div_ceil(chroma.mcu() as u32) * height.div_ceil(chroma.mcu() as u32);
            assert_eq!(parts.segments.len(), (units as usize).div_ceil(run));
            assert_eq!(decode(&jpeg).unwrap().dimensions(), (width, height));
        }
    }

    #[test]
    fn bytes_that_are_no_jpeg_give_an_error() {
        for bytes in [&b""[..], b"\xff\xd8", b"\xff\xd8\xff\xda\xff\xff", b"no picture at all"] {
            assert!(Parts::cut(bytes).is_err() && decode(bytes).is_err());
        }
    }
}
