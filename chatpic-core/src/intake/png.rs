//! PNG files (third edition): what they say of their colours and orientation, and the chunks that pixels are made of,
//! which are all that a decoder gets.

use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use std::io::Cursor;

use super::colour::{Colour, DEFAULT_PEAK};
use super::{Rejection, Still, reason};
use crate::limits::Limits;

/// Bytes that what a file says besides its pixels may take, such as its colour profile when it is unpacked.
const METADATA_BYTES: usize = 16 * 1024 * 1024;
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";

/// Opens a PNG file: walks through its chunks once and writes those anew that pixels are made of. Text and animations are
/// dropped, as is all that follows the pixels.
///
/// # Errors
/// [`Rejection::Incomplete`] if it ends before the pixels begin; [`Rejection::Corrupt`]; those of a size.
pub(super) fn open<'a>(bytes: &[u8], limits: &'a Limits) -> Result<Still<'a>, Rejection> {
    let body = bytes.strip_prefix(SIGNATURE).ok_or(Rejection::Corrupt)?;
    // What describes the picture comes first; the image data are chunks that follow each other (PNG third edition, 5.6).
    let (mut described, mut pixels) = (SIGNATURE.to_vec(), SIGNATURE.to_vec());
    let (mut last, mut is_ended) = (None, false);
    for chunk in Chunks(body) {
        match &chunk.name {
            b"IDAT" => pixels.extend(last.replace(chunk).map_or(&[][..], |before: Chunk| before.whole)),
            _ if last.is_some() => {
                is_ended = true;
                break;
            }
            b"IEND" => break,
            _ if chunk.data().is_none() => break,
            b"cICP" | b"mDCV" | b"cLLI" | b"iCCP" | b"sRGB" | b"gAMA" | b"cHRM" | b"eXIf" => {
                described.extend(chunk.whole);
            }
            // A critical chunk that the decoder doesn't know is its to refuse.
            name if *name == *b"tRNS" || name[0].is_ascii_uppercase() => {
                described.extend(chunk.whole);
                pixels.extend(chunk.whole);
            }
            _ => {}
        }
    }
    // Browsers have every pixel before they come to the end of the last one, so that its checksum doesn't matter to them.
    let last = last.as_ref().and_then(Chunk::mended).ok_or(Rejection::Incomplete)?;
    pixels.extend(last);
    pixels.extend(b"\0\0\0\0IEND\xAE\x42\x60\x82");
    described.extend(b"\0\0\0\0IDAT");
    let (colour, orientation) = described_by(&described)?;
    let decoder = PngDecoder::with_limits(Cursor::new(pixels), image::Limits::no_limits()).map_err(reason)?;
    // Where the file ends with its image data or within them, every pixel may still be there.
    let still = Still::new(Box::new(decoder), (0, 0), orientation, colour, limits)?;
    Ok(Still { may_be_cut: !is_ended, ..still })
}

/// What the chunks before the image data say; of two of a kind the first, and none with a wrong checksum.
fn described_by(head: &[u8]) -> Result<(Colour, Orientation), Rejection> {
    let limits = png::Limits { bytes: METADATA_BYTES };
    let reader = png::Decoder::new_with_limits(Cursor::new(head), limits).read_info();
    let reader = reader.map_err(|_| Rejection::Corrupt)?;
    let info = reader.info();
    let exif = info.exif_metadata.as_deref().and_then(Orientation::from_exif_chunk);
    Ok((colour(info), exif.unwrap_or(Orientation::NoTransforms)))
}

/// The first that is understood, in the order of PNG third edition, 4.3: cICP, iCCP, sRGB, gAMA with cHRM.
fn colour(info: &png::Info) -> Colour {
    // Units are 0.0001 cd/m²; zero is for unknown.
    let content = info.content_light_level.map(|light| light.max_content_light_level);
    let display = info.mastering_display_color_volume.map(|display| display.max_luminance);
    let peak = content.filter(|peak| *peak > 0).or(display.filter(|peak| *peak > 0));
    let peak = peak.map_or(DEFAULT_PEAK, |peak| peak as f32 / 10_000.0);
    let code_points = info.coding_independent_code_points.filter(|said| said.is_video_full_range_image);
    let code_points = code_points.map(|said| Colour::Cicp {
        primaries: said.color_primaries,
        transfer: said.transfer_function,
        peak,
    });
    let profile = info.icc_profile.as_ref().map(|profile| Colour::Profile(profile.to_vec()));
    if let Some(colour) = [code_points, profile].into_iter().flatten().find(Colour::is_understood) {
        return colour;
    }
    match info.gama_chunk {
        Some(gamma) if info.srgb.is_none() => {
            let chromaticities = info.chrm_chunk.map(|said| {
                let [(x, y), (rx, ry), (gx, gy), (bx, by)] = [said.white, said.red, said.green, said.blue];
                [x, y, rx, ry, gx, gy, bx, by].map(|value| f64::from(value.into_scaled()) / 100_000.0)
            });
            Colour::Gamma { gamma: gamma.into_scaled(), chromaticities }
        }
        _ => Colour::Srgb,
    }
}

/// A chunk as it stands in a file.
struct Chunk<'a> {
    name: [u8; 4],
    /// How many bytes of data it says that it has.
    length: usize,
    /// From its length to its checksum, or as far as the file goes.
    whole: &'a [u8],
}

impl Chunk<'_> {
    /// Its name and data; `None` where the file ends within them.
    fn data(&self) -> Option<&[u8]> {
        self.whole.get(4..8 + self.length)
    }

    /// The chunk with the checksum of its data; `None` where the file ends within them.
    fn mended(&self) -> Option<Vec<u8>> {
        let data = self.data()?;
        Some([&self.whole[..4], data, &crc32fast::hash(data).to_be_bytes()].concat())
    }
}

/// The chunks of a file, behind its signature.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = u32::from_be_bytes(*self.0.first_chunk()?);
        let name = *self.0.get(4..)?.first_chunk()?;
        // Length, name and checksum are four bytes each.
        let end = usize::try_from(length).ok()?.checked_add(12)?;
        let (whole, rest) = self.0.split_at_checked(end).unwrap_or((self.0, &[]));
        self.0 = rest;
        Some(Chunk { name, length: end - 12, whole })
    }
}
