//! PNG files.

use image::ImageDecoder;
use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use std::io::Cursor;

use super::colour::Colour;
use super::{Rejection, Still, bounded, reason};
use crate::limits::Limits;

/// Bytes that a PNG file's text and colour profile may take when they are unpacked.
const METADATA_BYTES: u64 = 16 * 1024 * 1024;

pub(super) fn open<'a>(bytes: &'a [u8], limits: &'a Limits) -> Result<Still<'a>, Rejection> {
    let metadata = limits.decode_bytes.min(METADATA_BYTES);
    let mut decoder = PngDecoder::with_limits(Cursor::new(bytes), bounded(metadata)).map_err(reason)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let colour = decoder.icc_profile().ok().flatten().map_or(Colour::Srgb, Colour::Profile);
    Still::new(Box::new(decoder), (0, 0), orientation, colour, limits)
}
