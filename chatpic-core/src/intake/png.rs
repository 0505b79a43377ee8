//! Reads a PNG file up to its pixels: what it says of its colours and its orientation, and the chunks that pixels are made
//! of, which are all that a decoder gets.

use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use std::io::Cursor;

use super::colour::{Colour, Conversion, DEFAULT_PEAK};
use super::{Rejection, Still, reason};
use crate::limits::Limits;

/// Bytes that the reader may take for all but the pixels, such as an unpacked colour profile, at most.
const METADATA_BYTES: usize = 16 * 1024 * 1024;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";

/// Opens a PNG file.
///
/// # Errors
/// [`Rejection::Incomplete`] if it ends before a chunk of image data does; [`Rejection::Corrupt`]; a refusal of its size.
pub(super) fn open<'a>(bytes: &[u8], limits: &'a Limits) -> Result<Still<'a>, Rejection> {
    let Png { pixels, is_ended, conversion, orientation } = Png::walked(bytes)?;
    let decoder = PngDecoder::new(Cursor::new(pixels)).map_err(reason)?;
    let still = Still::new(Box::new(decoder), 0, 0, orientation, conversion, limits)?;
    Ok(Still { may_be_cut: !is_ended, ..still })
}

/// A PNG file that was walked through.
struct Png {
    /// A file of the same pixels with nothing else in it.
    pixels: Vec<u8>,
    /// Whether anything follows the image data. If not, the file may have been cut off, or only lack its last chunk.
    is_ended: bool,
    conversion: Conversion,
    orientation: Orientation,
}

impl Png {
    /// Walks through a file. Text and animations are dropped, as is all that follows the pixels.
    ///
    /// # Errors
    /// [`Rejection::Incomplete`] if it ends before a chunk of image data does; [`Rejection::Corrupt`].
    fn walked(bytes: &[u8]) -> Result<Self, Rejection> {
        let body = bytes.strip_prefix(SIGNATURE).ok_or(Rejection::Corrupt)?;
        // The chunks before the image data: those that a decoder needs, and those that say what its pixels mean.
        let (mut needed, mut described) = (SIGNATURE.to_vec(), SIGNATURE.to_vec());
        let (mut image_data, mut is_ended): (Vec<u8>, _) = (Vec::new(), false);
        for (name, chunk) in Chunks(body) {
            // Chunks of image data follow each other (PNG third edition, 5.6).
            is_ended = !image_data.is_empty() && name != b"IDAT";
            if is_ended {
                break;
            }
            match name {
                b"IDAT" => image_data.extend(chunk),
                b"cICP" | b"mDCV" | b"cLLI" | b"iCCP" | b"sRGB" | b"gAMA" | b"cHRM" | b"eXIf" => {
                    described.extend(chunk);
                }
                // The decoder refuses critical chunks that it doesn't know.
                name if name == b"tRNS" || name[0].is_ascii_uppercase() => {
                    described.extend(chunk);
                    needed.extend(chunk);
                }
                _ => {}
            }
        }
        if image_data.is_empty() {
            return Err(Rejection::Incomplete);
        }
        described.extend(b"\0\0\0\0IDAT");
        let limits = png::Limits { bytes: METADATA_BYTES };
        let reader = png::Decoder::new_with_limits(Cursor::new(described), limits).read_info();
        let reader = reader.map_err(|_| Rejection::Corrupt)?;
        let info = reader.info();
        if info.color_type == png::ColorType::Indexed {
            // The header comes first, or the reader would have refused it.
            needed.truncate(SIGNATURE.len() + 25);
            needed.extend(palette(info)?);
        }
        needed.extend(image_data);
        needed.extend(chunk(b"IEND", &[]));
        let orientation = info.exif_metadata.as_deref().and_then(Orientation::from_exif_chunk);
        let orientation = orientation.unwrap_or(Orientation::NoTransforms);
        Ok(Self { pixels: needed, is_ended, conversion: conversion(info), orientation })
    }
}

/// Palette and transparency of as many colours as pixels can name. As in browsers, the last of a shorter palette is the
/// colour of all numbers beyond it, and a piece of a colour at its end is none.
fn palette(info: &png::Info) -> Result<Vec<u8>, Rejection> {
    let colours = info.palette.as_deref().unwrap_or_default().as_chunks::<3>().0;
    let last = colours.last().ok_or(Rejection::Corrupt)?;
    let transparency = info.trns.as_deref().unwrap_or_default();
    let alpha = |index: usize| transparency.get(index).copied().unwrap_or(u8::MAX);
    let all = 0..1usize << info.bit_depth as u8;
    let palette: Vec<u8> = all.clone().flat_map(|index| *colours.get(index).unwrap_or(last)).collect();
    let alphas: Vec<u8> = all.map(|index| alpha(index.min(colours.len() - 1))).collect();
    let mut chunks = chunk(b"PLTE", &palette);
    if !transparency.is_empty() {
        chunks.extend(chunk(b"tRNS", &alphas));
    }
    Ok(chunks)
}

/// A chunk with its length and checksum.
pub(super) fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [name, data].concat();
    [&(data.len() as u32).to_be_bytes(), &named[..], &crc32fast::hash(&named).to_be_bytes()].concat()
}

/// The first that is understood, in the order of PNG third edition, 4.3: cICP, iCCP, sRGB, gAMA with cHRM.
fn conversion(info: &png::Info) -> Conversion {
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
    let mut said = [code_points, profile].into_iter().flatten().map(|colour| colour.conversion());
    if let Some(conversion) = said.find(|said| !matches!(said, Conversion::None)) {
        return conversion;
    }
    let colour = match info.gama_chunk {
        Some(gamma) if info.srgb.is_none() => {
            let chromaticities = info.chrm_chunk.map(|said| {
                let [(x, y), (rx, ry), (gx, gy), (bx, by)] = [said.white, said.red, said.green, said.blue];
                [x, y, rx, ry, gx, gy, bx, by].map(|value| f64::from(value.into_scaled()) / 100_000.0)
            });
            Colour::Gamma { gamma: gamma.into_scaled(), chromaticities }
        }
        _ => Colour::Srgb,
    };
    colour.conversion()
}

/// The whole chunks of a file, behind its signature: name, and all from length to checksum.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = u32::from_be_bytes(*self.0.first_chunk()?);
        let name = self.0.get(4..)?.first_chunk()?;
        // Length, name and checksum take four bytes each.
        let (chunk, rest) = self.0.split_at_checked(usize::try_from(length).ok()?.checked_add(12)?)?;
        self.0 = rest;
        Some((name, chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pixels, decode};
    use super::*;
    use crate::testing::samples;

    fn file() -> Vec<u8> {
        samples::png(&samples::photograph(40, 30, 1))
    }

    fn taken(file: &[u8]) -> Result<Pixels, Rejection> {
        decode(file, &Limits::default())
    }

    /// The body of its only chunk of image data.
    fn data(file: &[u8]) -> &[u8] {
        let (_, chunk) = Chunks(&file[8..]).find(|(name, _)| *name == b"IDAT").unwrap();
        &chunk[8..chunk.len() - 4]
    }

    #[test]
    fn a_file_without_its_last_chunk_is_whole_if_every_pixel_is_there() {
        let (file, whole) = (file(), taken(&file()));
        let end = file.len() - 12;
        for length in end..file.len() {
            assert_eq!(taken(&file[..length]), whole, "{length} bytes");
        }
        for length in 0..end {
            let cut = taken(&file[..length]);
            assert!(
                matches!(cut, Err(Rejection::Incomplete | Rejection::Unsupported { .. } | Rejection::Empty)),
                "{length} bytes: {cut:?}"
            );
        }
        // Image data in two chunks, of which the second is gone with the end.
        let half = &data(&file)[..data(&file).len() / 2];
        let cut = [&file[..33], &chunk(b"IDAT", half)].concat();
        assert_eq!(taken(&cut), Err(Rejection::Incomplete));
    }

    #[test]
    fn the_decoder_gets_nothing_but_pixels() {
        let (file, whole) = (file(), taken(&file()));
        let junk = [
            chunk(b"tEXt", b"a\0b"),
            chunk(b"zTXt", &[b'a'; 30]),
            chunk(b"fcTL", &[7; 26]),
            chunk(b"acTL", &[0; 8]),
            chunk(b"sBIT", &[9; 3]),
            chunk(b"iCCP", &[7; 300]),
        ];
        for junk in &junk {
            let with = [&file[..33], junk, &file[33..]].concat();
            let png = Png::walked(&with).unwrap();
            assert_eq!(png.pixels, file, "{junk:?}");
            assert!(matches!(png.conversion, Conversion::None));
            assert_eq!(taken(&with), whole);
        }
        let end = file.len() - 12;
        for behind in [&junk[0][..], b"\xFF\xFF\xFF\xFFtEXt", &chunk(b"IHDR", &[1; 13]), &chunk(b"what", b"")]
        {
            assert_eq!(taken(&[&file[..end], behind].concat()), whole, "behind the pixels: {behind:?}");
        }
        assert!(
            taken(&[&file[..33], &chunk(b"WHAT", b""), &file[33..]].concat()).is_err(),
            "a critical chunk"
        );
        assert!(taken(&[&file[..33], &file[8..]].concat()).is_err(), "two headers");
    }

    #[test]
    fn the_first_orientation_before_the_pixels_counts() {
        let file = file();
        let exif = |orientation: u8| {
            let head = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0";
            chunk(b"eXIf", &[&head[..], &[orientation, 0, 0, 0, 0, 0, 0, 0]].concat())
        };
        let width = |file: Vec<u8>| taken(&file).unwrap().size().width;
        assert_eq!(width([&file[..33], &exif(6), &exif(1), &file[33..]].concat()), 30);
        assert_eq!(width([&file[..33], &exif(1), &exif(6), &file[33..]].concat()), 40);
        let end = file.len() - 12;
        assert_eq!(width([&file[..end], &exif(6), &file[end..]].concat()), 40);
    }

    #[test]
    fn palettes_and_numbers_beyond_them_are_what_browsers_make_of_them() {
        // Pixels of two bits each: 0 1 2 3.
        let header = [0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 0, 0, 0];
        let data = stored(&[0, 0b00_01_10_11]);
        let file = |palette: &[u8], transparency: &[u8]| {
            let chunks = [chunk(b"IHDR", &header), chunk(b"PLTE", palette), chunk(b"tRNS", transparency)];
            [SIGNATURE, &chunks.concat(), &chunk(b"IDAT", &data), &chunk(b"IEND", &[])].concat()
        };
        let shown = |palette: &[u8], transparency: &[u8]| {
            taken(&file(palette, transparency))
                .map(|pixels| pixels.into_rgba().into_raw().as_chunks::<4>().0.to_vec())
        };
        let (red, blue) = ([255, 0, 0, 255], [0, 0, 255, 255]);
        let colours = [255, 0, 0, 0, 0, 255];
        assert_eq!(shown(&colours, &[255]), Ok(vec![red, blue, blue, blue]));
        assert_eq!(shown(&[&colours[..], &[7, 7]].concat(), &[255]), Ok(vec![red, blue, blue, blue]));
        let clear = [0; 4];
        assert_eq!(shown(&colours, &[255, 0, 255, 255]), Ok(vec![red, clear, clear, clear]));
        assert_eq!(shown(&[7, 7], &[255]), Err(Rejection::Corrupt), "no colour");
    }

    #[test]
    fn image_data_that_end_early_within_whole_chunks_are_not_called_damaged() {
        let header = [0, 0, 0, 4, 0, 0, 0, 9, 8, 0, 0, 0, 0];
        let file = |rows: usize| {
            let data = stored(&[0; 5].repeat(rows));
            [SIGNATURE, &chunk(b"IHDR", &header), &chunk(b"IDAT", &data), &chunk(b"IEND", &[])].concat()
        };
        assert!(taken(&file(9)).is_ok());
        for rows in 1..9 {
            assert_eq!(taken(&file(rows)), Err(Rejection::Incomplete), "{rows}");
        }
        let data = stored(&[0; 45]);
        for length in [0, data.len() / 2] {
            let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &data[..length]), chunk(b"IEND", &[])];
            assert_eq!(
                taken(&[SIGNATURE, &chunks.concat()].concat()),
                Err(Rejection::Incomplete),
                "{length}"
            );
        }
    }

    /// Bytes as a zlib stream that stores them (RFC 1950 and 1951).
    fn stored(bytes: &[u8]) -> Vec<u8> {
        let length = bytes.len() as u16;
        let (mut a, mut b) = (1u32, 0u32);
        for byte in bytes {
            a = (a + u32::from(*byte)) % 65_521;
            b = (b + a) % 65_521;
        }
        let head = [&[0x78, 0x01, 0x01][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
        [&head, bytes, &(b << 16 | a).to_be_bytes()].concat()
    }
}
