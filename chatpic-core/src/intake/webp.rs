//! WebP files (RFC 9649), walked once. The decoder gets each picture as a file with nothing in it but what pixels are made
//! of; frames are composed here.

use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, RgbaImage};
use std::io::Cursor;

use super::animation::{Animation, DRAWING, Format};
use super::colour::{Colour, Conversion};
use super::container::Container;
use super::{Decoder, Picture, Rejection, Still, Working, check_size, lossless, reason};
use crate::limits::Limits;
use crate::mark::Size;
use crate::riff::{ALPHA, ANIMATED, NOT_BLENDED, append, file};
use crate::transparency;

/// Bytes of tables that all frames of an animation may take together, one after the other: building them took 1 to 1.7 s
/// of processor time for each gigabyte, and a file of 7 MB could ask for 47 of these. Codes by libwebp
/// take hundreds of bytes for a table that crafted ones get in ten.
const ALL_TABLES: u64 = 2 << 30;

/// The flag of an extended header that announces a colour profile.
const PROFILE: u8 = 0x20;
/// The flag of a frame that is cleared before the next.
const CLEARED: u8 = 0x01;

/// Opens a WebP file as far as it says that it goes; what follows is no part of it. Its orientation is left aside, as
/// browsers do.
///
/// # Errors
/// [`Rejection::Incomplete`] when a chunk breaks off: a decoder would make up the last pixels of a lossy picture.
/// [`Rejection::Corrupt`] when a picture has another size than its header says, or there are several: a decoder spends
/// memory on that before it compares the two. A refusal of its size.
pub(super) fn open<'a>(bytes: &[u8], limits: &'a Limits) -> Result<Picture<'a>, Rejection> {
    let said_length = bytes.get(4..8).and_then(u32_le).ok_or(Rejection::Incomplete)?.saturating_add(8);
    let chunks = bytes.get(12..said_length.min(bytes.len())).ok_or(Rejection::Incomplete)?;
    let mut chunks = Chunks(chunks);
    let (name, header) = chunks.next().ok_or(Rejection::Incomplete)??;
    if name != "VP8X" {
        // A simple file is its first chunk.
        return still(&Coded::of(name, header, None).ok_or(Rejection::Corrupt)?, Conversion::None, limits);
    }
    let flags = *header.first().ok_or(Rejection::Corrupt)?;
    let canvas = Size { width: three(header, 4)? + 1, height: three(header, 7)? + 1 };
    if flags & ANIMATED == 0 {
        let profile = if flags & PROFILE == 0 { None } else { chunks.clone().find_map(profile) };
        let colour = profile.map_or(Colour::Srgb, |profile| Colour::Profile(profile.to_vec()));
        let conversion = colour.conversion();
        let mut coded = Coded::find(chunks)?;
        if coded.size()? != canvas {
            return Err(Rejection::Corrupt);
        }
        match &mut coded {
            // The header decides whether a lossy still has transparency.
            Coded::Lossy { alpha, .. } if flags & ALPHA == 0 => *alpha = None,
            Coded::Lossless { has_alpha, .. } if flags & ALPHA != 0 => *has_alpha = true,
            // Browsers take the colours of such a picture as premultiplied, as those of a frame; it is composed as one.
            Coded::Lossless { has_alpha: true, .. } => {
                let mut container = Container { canvas, ..Container::default() };
                container.add(canvas);
                let place = [&[0; 6], &header[4..10], &[0, 0, 0, NOT_BLENDED][..]].concat();
                append(&mut container.file, "ANMF", &[place, coded.chunks()].concat());
                return only_frame(container, false, conversion, limits);
            }
            _ => {}
        }
        return still(&coded, conversion, limits);
    }
    // The missing rest may hold more frames.
    if said_length > bytes.len() {
        return Err(Rejection::Incomplete);
    }
    let container = walked(chunks, canvas, limits.animation_frames)?;
    let is_alpha_announced = flags & ALPHA != 0;
    if container.count == 1 {
        // A still, which is drawn onto a canvas.
        return only_frame(container, is_alpha_announced, Conversion::None, limits);
    }
    let format = Format::WebP { is_alpha_announced };
    Ok(Picture::Animation(Animation { format, container, limits }))
}

/// A picture that is decoded as an animation's only frame.
fn only_frame<'a>(
    container: Container,
    is_alpha_announced: bool,
    conversion: Conversion,
    limits: &'a Limits,
) -> Result<Picture<'a>, Rejection> {
    let animation = Animation { format: Format::WebP { is_alpha_announced }, container, limits };
    animation.check(DRAWING)?;
    let (decoder, orientation) = (Decoder::Frame(Box::new(animation)), Orientation::NoTransforms);
    Ok(Picture::Still(Still { decoder, orientation, conversion, may_be_cut: false, limits }))
}

fn profile<'a>(chunk: Result<(&'a str, &'a [u8]), Rejection>) -> Option<&'a [u8]> {
    chunk.ok().filter(|(name, _)| *name == "ICCP").map(|(_, body)| body)
}

fn still<'a>(
    coded: &Coded<'_>,
    conversion: Conversion,
    limits: &'a Limits,
) -> Result<Picture<'a>, Rejection> {
    let size = coded.size()?;
    check_size(size, Working { decoder: 2, raw: 3, eight: 3, ..Working::default() }, limits)?;
    let tables = coded.tables(limits.decode_bytes)?;
    // Planes of luma and chroma, and with transparency another image for the alpha channel; or an image with an alpha
    // channel that is not wanted, and smaller ones that say how to read it.
    let inner = if coded.has_alpha() { 7 } else { 5 };
    let decoder = Box::new(coded.decoder()?);
    Still::new(decoder, inner, tables, Orientation::NoTransforms, conversion, limits).map(Picture::Still)
}

/// Walks through the chunks of an animation, and keeps its first `kept` frames.
fn walked(chunks: Chunks<'_>, canvas: Size, kept: usize) -> Result<Container, Rejection> {
    let mut container = Container { canvas, ..Container::default() };
    for chunk in chunks {
        match chunk? {
            ("ANIM", body) => {
                let loops = body.get(4..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Corrupt)?;
                container.loops = u16::from_le_bytes(*loops);
            }
            // Browsers pass over a frame without a picture.
            ("ANMF", body) if body.len() > 16 => {
                let (x, y) = (2 * three(body, 0)?, 2 * three(body, 3)?);
                let size = Size { width: three(body, 6)? + 1, height: three(body, 9)? + 1 };
                let coded = Coded::find(Chunks(&body[16..]))?;
                let is_outside = x + size.width > canvas.width || y + size.height > canvas.height;
                if is_outside || coded.size()? != size {
                    return Err(Rejection::Corrupt);
                }
                container.add(size);
                if container.count <= kept {
                    append(&mut container.file, "ANMF", &[&body[..16], &coded.chunks()].concat());
                }
            }
            _ => {}
        }
    }
    if container.count == 0 { Err(Rejection::Incomplete) } else { Ok(container) }
}

/// The frames of an animation, each composed with those before it, and for how many milliseconds it is shown.
///
/// Where the header announces no alpha channel, browsers still use that of a frame that replaces others, and take its
/// colours as premultiplied.
pub(super) struct Frames<'a> {
    chunks: Chunks<'a>,
    canvas: RgbaImage,
    is_alpha_announced: bool,
    /// What the frame before leaves behind: left, upper edge, width and height of what is cleared before the next.
    cleared: Option<[u32; 4]>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(container: &'a Container, is_alpha_announced: bool) -> Self {
        let canvas = RgbaImage::new(container.canvas.width, container.canvas.height);
        Self { chunks: Chunks(&container.file), canvas, is_alpha_announced, cleared: None }
    }

    fn compose(&mut self, frame: &[u8]) -> Result<(RgbaImage, u32), Rejection> {
        let (left, top) = (2 * three(frame, 0)?, 2 * three(frame, 3)?);
        let delay = three(frame, 12)?;
        let flags = *frame.get(15).ok_or(Rejection::Corrupt)?;
        let coded = Coded::find(Chunks(&frame[16..]))?;
        let mut picture = DynamicImage::from_decoder(coded.decoder()?).map_err(reason)?.into_rgba8();
        if let Some(cleared) = self.cleared.take() {
            rows(&mut self.canvas, cleared).for_each(|row| row.fill(0));
        }
        let place = [left, top, picture.width(), picture.height()];
        if flags & NOT_BLENDED != 0 && !self.is_alpha_announced {
            transparency::divide(&mut picture);
        }
        let own_rows = picture.chunks_exact(4 * picture.width() as usize);
        for (row, own) in rows(&mut self.canvas, place).zip(own_rows) {
            if flags & NOT_BLENDED != 0 {
                row.copy_from_slice(own);
                continue;
            }
            for (below, above) in row.as_chunks_mut::<4>().0.iter_mut().zip(own.as_chunks::<4>().0) {
                match above[3] {
                    0 => {}
                    255 => *below = *above,
                    _ => *below = blended(*above, *below),
                }
            }
        }
        if flags & CLEARED != 0 {
            self.cleared = Some(place);
        }
        Ok((self.canvas.clone(), delay))
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<(RgbaImage, u32), Rejection>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.chunks.next()?;
        Some(chunk.and_then(|(_, frame)| self.compose(frame)))
    }
}

/// The rows of a rectangle of the canvas: left, upper edge, width and height.
fn rows(canvas: &mut RgbaImage, [left, top, width, height]: [u32; 4]) -> impl Iterator<Item = &mut [u8]> {
    let stride = 4 * canvas.width() as usize;
    let across = 4 * left as usize..4 * (left + width) as usize;
    let rows = canvas.chunks_exact_mut(stride).skip(top as usize).take(height as usize);
    rows.map(move |row| &mut row[across.clone()])
}

/// One pixel drawn over another, neither of them premultiplied.
fn blended(above: [u8; 4], below: [u8; 4]) -> [u8; 4] {
    let [.., above_alpha] = above.map(u32::from);
    let [.., below_alpha] = below.map(u32::from);
    // In 255ths of 255.
    let (above_part, below_part) = (255 * above_alpha, (255 - above_alpha) * below_alpha);
    let all = above_part + below_part;
    let mix = |channel: usize| {
        let sum = u32::from(above[channel]) * above_part + u32::from(below[channel]) * below_part;
        ((sum + all / 2) / all.max(1)) as u8
    };
    [mix(0), mix(1), mix(2), ((all + 127) / 255) as u8]
}

/// What a still or a frame is decoded from.
enum Coded<'a> {
    Lossy {
        bitstream: &'a [u8],
        /// The alpha channel: a byte that says how it is coded, then itself.
        alpha: Option<&'a [u8]>,
    },
    Lossless {
        bitstream: &'a [u8],
        has_alpha: bool,
    },
}

impl<'a> Coded<'a> {
    /// A bitstream by the name of its chunk.
    fn of(name: &str, bitstream: &'a [u8], alpha: Option<&'a [u8]>) -> Option<Self> {
        match (name, alpha) {
            ("VP8 ", _) => Some(Self::Lossy { bitstream, alpha }),
            // A byte of signature, 14 bits a side, and one that says whether there is transparency.
            ("VP8L", None) => {
                let has_alpha = bitstream.get(4).is_some_and(|bits| bits & 0x10 != 0);
                Some(Self::Lossless { bitstream, has_alpha })
            }
            _ => None,
        }
    }

    /// Finds it among chunks. It must be the only one, so that no reader can take another, and stand right behind its
    /// alpha channel.
    fn find(chunks: Chunks<'a>) -> Result<Self, Rejection> {
        let (mut coded, mut alpha) = (None, None);
        for chunk in chunks {
            match chunk? {
                ("ALPH", body) if coded.is_none() && alpha.is_none() => alpha = Some(body),
                (name @ ("VP8 " | "VP8L"), body) if coded.is_none() => {
                    coded = Some(Self::of(name, body, alpha).ok_or(Rejection::Corrupt)?);
                }
                ("ALPH" | "VP8 " | "VP8L" | "ANMF", _) => return Err(Rejection::Corrupt),
                _ if coded.is_none() && alpha.is_some() => return Err(Rejection::Corrupt),
                _ => {}
            }
        }
        coded.ok_or(Rejection::Incomplete)
    }

    fn has_alpha(&self) -> bool {
        match self {
            Self::Lossy { alpha, .. } => alpha.is_some(),
            Self::Lossless { has_alpha, .. } => *has_alpha,
        }
    }

    /// The size that the bitstream gives itself, whatever the container says.
    fn size(&self) -> Result<Size, Rejection> {
        match self {
            Self::Lossy { bitstream, .. } => {
                // Three bytes of tag, three of start code, then the sides with two bits of scale each (RFC 6386, 9.1).
                let side = |at: usize| {
                    let two = bitstream.get(at..).and_then(<[u8]>::first_chunk);
                    Ok(u32::from(u16::from_le_bytes(*two.ok_or(Rejection::Incomplete)?) & 0x3FFF))
                };
                Ok(Size { width: side(6)?, height: side(8)? })
            }
            Self::Lossless { bitstream, .. } => {
                // A byte of signature, then each side less one in 14 bits.
                let bits = bitstream.get(1..5).and_then(u32_le).ok_or(Rejection::Incomplete)? as u32;
                Ok(Size { width: (bits & 0x3FFF) + 1, height: (bits >> 14 & 0x3FFF) + 1 })
            }
        }
    }

    /// Bytes that the decoder takes for tables.
    fn tables(&self, limit: u64) -> Result<u64, Rejection> {
        match self {
            // The header has three more bits of version and one that says whether there is transparency.
            Self::Lossless { bitstream, .. } => lossless::tables(bitstream, 40, self.size()?, limit),
            Self::Lossy { alpha: Some(alpha), .. } if alpha.first().is_some_and(|coding| coding & 3 == 1) => {
                lossless::tables(alpha, 8, self.size()?, limit)
            }
            Self::Lossy { .. } => Ok(0),
        }
    }

    /// What decodes it, as a still.
    fn decoder(&self) -> Result<WebPDecoder<Cursor<Vec<u8>>>, Rejection> {
        let alpha = if self.has_alpha() { ALPHA } else { 0 };
        WebPDecoder::new(Cursor::new(file(alpha, self.size()?, &self.chunks()))).map_err(reason)
    }

    /// The chunks themselves.
    fn chunks(&self) -> Vec<u8> {
        let mut chunks = Vec::new();
        match self {
            Self::Lossy { bitstream, alpha } => {
                if let Some((coding, data)) = alpha.and_then(<[u8]>::split_first) {
                    // Four bits say how the alpha channel was preprocessed, which changes no pixel, and are reserved.
                    append(&mut chunks, "ALPH", &[&[coding & 0x0F], data].concat());
                }
                append(&mut chunks, "VP8 ", bitstream);
            }
            Self::Lossless { bitstream, .. } => append(&mut chunks, "VP8L", bitstream),
        }
        chunks
    }
}

/// Bytes that the decoder takes for the tables of one of an animation's kept frames at most, whatever its size. Sizes and
/// frames must have been checked before: it takes time for each pixel.
///
/// # Errors
/// [`Rejection::TooMuchMemory`] when they are more than `limit`; [`Rejection::TooMuchWork`] when those of all frames are
/// more than [`ALL_TABLES`]; [`Rejection::Incomplete`]; [`Rejection::Corrupt`].
pub(super) fn tables(container: &Container, limit: u64) -> Result<u64, Rejection> {
    let (mut most, mut all) = (0, 0);
    for chunk in Chunks(&container.file) {
        let (_, frame) = chunk?;
        let coded = Coded::find(Chunks(frame.get(16..).unwrap_or_default()))?;
        let tables = coded.tables(limit)?;
        (most, all) = (tables.max(most), all + tables);
        if all > ALL_TABLES {
            return Err(Rejection::TooMuchWork {
                found: "its frames have more than 2 GB of code tables".into(),
            });
        }
    }
    Ok(most)
}

/// The chunks of a RIFF file, behind its own header: name and body.
#[derive(Clone)]
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(&'a str, &'a [u8]), Rejection>;

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.0.split_at_checked(8)?;
        let length = u32_le(&header[4..])?;
        let Some((body, rest)) = rest.split_at_checked(length) else {
            self.0 = &[];
            return Some(Err(Rejection::Incomplete));
        };
        self.0 = rest.get(length & 1..).unwrap_or_default();
        Some(Ok((std::str::from_utf8(&header[..4]).unwrap_or_default(), body)))
    }
}

fn u32_le(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|four| u32::from_le_bytes(*four) as usize)
}

/// A number of 24 bits.
fn three(body: &[u8], at: usize) -> Result<u32, Rejection> {
    let three: &[u8; 3] = body.get(at..).and_then(<[u8]>::first_chunk).ok_or(Rejection::Corrupt)?;
    Ok(u32::from_le_bytes([three[0], three[1], three[2], 0]))
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};

    use super::super::Pixels;
    use super::*;
    use crate::testing::samples;

    /// A chunk.
    fn chunk(name: &str, body: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::new();
        append(&mut chunk, name, body);
        chunk
    }

    /// A file with these flags and this canvas.
    fn extended(flags: u8, canvas: Size, chunks: &[&[u8]]) -> Vec<u8> {
        file(flags, canvas, &chunks.concat())
    }

    fn simple(chunks: &[&[u8]]) -> Vec<u8> {
        chunk("RIFF", &[b"WEBP", &chunks.concat()[..]].concat())
    }

    /// A picture that is transparent on the left.
    fn half() -> RgbaImage {
        RgbaImage::from_fn(16, 8, |x, _| Rgba([200, 40, 30, if x < 8 { 0 } else { 255 }]))
    }

    /// The chunks of a picture as libwebp writes it, by name.
    fn coded(file: &[u8]) -> Vec<(String, Vec<u8>)> {
        Chunks(&file[12..])
            .map(|chunk| chunk.map(|(name, body)| (name.to_owned(), body.to_vec())).unwrap())
            .collect()
    }

    /// A lossy picture's alpha channel and bitstream, and a lossless one's bitstream, each as a chunk.
    fn parts() -> [Vec<u8>; 3] {
        let lossy = webp::Encoder::from_rgba(&half(), 16, 8).encode(80.0);
        let lossless = webp::Encoder::from_rgba(&half(), 16, 8).encode_lossless();
        let part = |file: &[u8], name: &str| {
            coded(file)
                .into_iter()
                .find(|chunk| chunk.0 == name)
                .map(|(name, body)| chunk(&name, &body))
                .unwrap()
        };
        [part(&lossy, "ALPH"), part(&lossy, "VP8 "), part(&lossless, "VP8L")]
    }

    fn frame(picture: &[&[u8]]) -> Vec<u8> {
        // At the corner, 16 x 8 pixels, 100 ms, not blended.
        let head = [0, 0, 0, 0, 0, 0, 15, 0, 0, 7, 0, 0, 100, 0, 0, 2];
        chunk("ANMF", &[&head[..], &picture.concat()].concat())
    }

    const CANVAS: Size = Size { width: 16, height: 8 };

    fn still(bytes: &[u8]) -> Result<Pixels, Rejection> {
        let limits = Limits::default();
        match open(bytes, &limits)? {
            Picture::Still(still) => still.decode(),
            Picture::Animation(_) => Err(Rejection::Animated),
        }
    }

    /// The alpha of the first and the last pixel of each frame.
    fn frames(bytes: &[u8]) -> Result<Vec<[u8; 2]>, Rejection> {
        let limits = Limits::default();
        match open(bytes, &limits)? {
            Picture::Still(_) => panic!("a still"),
            Picture::Animation(animation) => animation
                .frames()?
                .map(|frame| frame.map(|frame| [0, 15].map(|x| frame.pixels.get_pixel(x, 0).0[3])))
                .collect(),
        }
    }

    fn is_transparent(bytes: &[u8]) -> bool {
        match still(bytes).unwrap() {
            Pixels::Alpha(pixels) => pixels.get_pixel(0, 0).0[3] == 0 && pixels.get_pixel(15, 0).0[3] == 255,
            Pixels::Opaque(_) => false,
        }
    }

    #[test]
    fn flags_that_announce_what_is_not_there_cost_nothing() {
        let [_, lossy, lossless] = parts();
        let plain = still(&simple(&[&lossy])).unwrap();
        // Exif, XMP, a profile and an alpha channel.
        for flags in [0x08, 0x04, PROFILE, ALPHA, 0x08 | 0x04 | PROFILE | ALPHA] {
            assert_eq!(still(&extended(flags, CANVAS, &[&lossy])).as_ref(), Ok(&plain), "{flags:#x}");
        }
        assert!(is_transparent(&extended(0x08 | ALPHA, CANVAS, &[&lossless])));
    }

    #[test]
    fn chunks_that_hold_no_pixels_are_passed_over_wherever_they_stand() {
        let [alpha, lossy, _] = parts();
        let unknown = chunk("none", b"abc");
        let exif = chunk("EXIF", b"Exif\0\0II*\0");
        let plain = still(&extended(ALPHA, CANVAS, &[&alpha, &lossy])).unwrap();
        assert_eq!(still(&extended(ALPHA, CANVAS, &[&unknown, &alpha, &lossy, &exif, &unknown])), Ok(plain));
        let frame = frame(&[&alpha, &lossy]);
        let animation = chunk("ANIM", &[0; 6]);
        let file =
            extended(ANIMATED | ALPHA, CANVAS, &[&animation, &frame, &unknown, &exif, &frame, &unknown]);
        assert_eq!(frames(&file), Ok(vec![[0, 255]; 2]));
    }

    #[test]
    fn transparency_is_there_where_browsers_show_it() {
        let [alpha, lossy, lossless] = parts();
        assert!(is_transparent(&extended(ALPHA, CANVAS, &[&alpha, &lossy])));
        assert!(!is_transparent(&extended(0, CANVAS, &[&alpha, &lossy])), "a lossy still goes by the flag");
        assert!(is_transparent(&extended(0, CANVAS, &[&lossless])), "a lossless one says so itself");
        assert!(is_transparent(&simple(&[&lossless])));
        let animation = chunk("ANIM", &[0; 6]);
        for picture in [&[&alpha[..], &lossy][..], &[&lossless]] {
            for flags in [ANIMATED, ANIMATED | ALPHA] {
                let file = extended(flags, CANVAS, &[&animation, &frame(picture), &frame(picture)]);
                assert_eq!(frames(&file), Ok(vec![[0, 255]; 2]), "frames go by what they hold");
            }
        }
        // What a frame does not cover is transparent, though no frame is.
        let opaque = [Rgba([9, 9, 9, 255]); 2].map(|colour| RgbaImage::from_pixel(16, 8, colour));
        let bytes = samples::webp(&opaque, 50);
        let wide = extended(ANIMATED, Size { width: 40, height: 8 }, &[&bytes[30..]]);
        let limits = Limits::default();
        let Ok(Picture::Animation(animation)) = open(&wide, &limits) else { panic!("no animation") };
        let first = animation.frames().unwrap().next().unwrap().unwrap().pixels;
        assert_eq!((first.get_pixel(0, 0).0[3], first.get_pixel(39, 0).0[3]), (255, 0));
    }

    #[test]
    fn how_an_alpha_channel_was_made_changes_no_pixel() {
        let [alpha, lossy, _] = parts();
        for bits in 0..16 {
            let mut alpha = alpha.clone();
            alpha[8] = alpha[8] & 0x0F | bits << 4;
            assert!(is_transparent(&extended(ALPHA, CANVAS, &[&alpha, &lossy])), "{bits:#x}");
        }
    }

    #[test]
    fn a_simple_file_is_its_first_chunk() {
        let [alpha, lossy, lossless] = parts();
        let plain = still(&simple(&[&lossy]));
        assert!(plain.is_ok());
        assert_eq!(still(&simple(&[&lossy, &lossless])), plain);
        assert_eq!(still(&simple(&[&alpha, &lossy])), Err(Rejection::Corrupt), "as browsers do");
        assert_eq!(still(&simple(&[&chunk("none", b"abc"), &lossy])), Err(Rejection::Corrupt));
    }

    #[test]
    fn orientation_is_left_aside_as_browsers_do() {
        let [_, lossy, _] = parts();
        let tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        for exif in [tiff.to_vec(), [b"Exif\0\0", &tiff[..]].concat()] {
            let file = extended(0x08, CANVAS, &[&lossy, &chunk("EXIF", &exif)]);
            assert_eq!(still(&file).unwrap().size(), CANVAS);
        }
    }

    #[test]
    fn a_frame_without_a_picture_is_passed_over() {
        let [alpha, lossy, _] = parts();
        let (full, empty, animation) = (frame(&[&alpha, &lossy]), frame(&[]), chunk("ANIM", &[0; 6]));
        let file = extended(ANIMATED, CANVAS, &[&animation, &full, &empty, &full]);
        assert_eq!(frames(&file).map(|frames| frames.len()), Ok(2));
        assert_eq!(frames(&extended(ANIMATED, CANVAS, &[&animation, &empty])), Err(Rejection::Incomplete));
    }
}
