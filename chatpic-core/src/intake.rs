//! From an image file to pixels: told by content, bounded before memory is spent, upright, in sRGB, without
//! metadata, scaled to a rendition.
//!
//! All decoders are memory-safe Rust. Files whose pixel data end early are refused: many decoders fill up with
//! grey and say nothing.

pub(crate) mod animation;
mod colour;
mod container;
#[cfg(test)]
mod formats;
mod jpeg;
mod lossless;
mod png;
#[cfg(test)]
mod truncation;

use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{
    AnimationDecoder, DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, RgbImage, RgbaImage,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::Cursor;
use std::panic::AssertUnwindSafe;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use self::colour::Colour;
use self::jpeg::Frame;
use self::png::Png;
use crate::limits::Limits;
use crate::mark::Size;
use crate::{scale, transparency};

/// Bytes that what a PNG file says besides its pixels may take, such as its colour profile when it is unpacked.
const METADATA_BYTES: usize = 16 * 1024 * 1024;

/// Why an image was refused: what was found, and which limit it breaks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Rejection {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("the file has more than {limit} bytes")]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
    /// Not one of the supported formats.
    #[error("this is not a JPEG, PNG, GIF or WebP image ({found})")]
    Unsupported {
        /// What it looks like.
        found: Cow<'static, str>,
    },
    /// Several frames where a still is needed.
    #[error("the image is animated where a still is needed")]
    Animated,
    /// More frames than allowed.
    #[error("the animation has {found} frames, more than {limit}")]
    TooManyFrames {
        /// How many it has.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More pixels in all frames together than allowed.
    #[error("the animation is {frames} frames of {width} x {height} pixels, more than {limit} pixels in all")]
    TooManyPixelsInFrames {
        /// How many frames it has.
        frames: usize,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit, in pixels.
        limit: u64,
    },
    /// More pixels than allowed.
    #[error("the image is {width} x {height} pixels, more than {limit} in all")]
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit, in pixels.
        limit: u64,
    },
    /// Decoding would take more memory than allowed.
    #[error("decoding the image would take more than {limit} bytes of memory")]
    TooMuchMemory {
        /// The limit in bytes.
        limit: u64,
    },
    /// Decoding would take far longer than the image's size lets expect.
    #[error("decoding the image would take too long ({found}); save it again with another program")]
    TooMuchWork {
        /// Why, and what the limit is.
        found: Cow<'static, str>,
    },
    /// The pixel data end early.
    #[error("the image is not whole: its data end early")]
    Incomplete,
    /// The data can't be decoded.
    #[error("the image is damaged and can't be decoded")]
    Corrupt,
}

impl Rejection {
    /// Whether the image is too large, rather than not an image that can be shown.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Rejection::TooManyBytes { .. }
                | Rejection::TooManyPixels { .. }
                | Rejection::TooManyFrames { .. }
                | Rejection::TooManyPixelsInFrames { .. }
                | Rejection::TooMuchMemory { .. }
                | Rejection::TooMuchWork { .. }
        )
    }
}

/// Decoded pixels, upright and in sRGB.
#[derive(Clone, PartialEq, Debug)]
pub enum Pixels {
    /// Without transparency.
    Opaque(RgbImage),
    /// With transparency, not premultiplied. Intake leaves nothing in it that isn't seen: colours are black under full
    /// transparency, and above it no finer than eight bits premultiplied by alpha.
    Alpha(RgbaImage),
}

impl Pixels {
    /// Width and height.
    pub fn size(&self) -> Size {
        let (width, height) = match self {
            Pixels::Opaque(image) => image.dimensions(),
            Pixels::Alpha(image) => image.dimensions(),
        };
        Size { width, height }
    }

    /// The pixels without transparency, drawn on white, or on black where white would hide them.
    pub fn into_rgb(self) -> RgbImage {
        match self {
            Pixels::Opaque(image) => image,
            Pixels::Alpha(image) => transparency::flat(&image),
        }
    }

    /// The pixels with an alpha channel.
    pub fn into_rgba(self) -> RgbaImage {
        match self {
            Pixels::Opaque(image) => DynamicImage::ImageRgb8(image).into_rgba8(),
            Pixels::Alpha(image) => image,
        }
    }

    /// Scaled to a width, at least one pixel high.
    pub fn scaled(&self, width: u32) -> Pixels {
        let size = self.size();
        let height = (f64::from(size.height) * f64::from(width) / f64::from(size.width)).round() as u32;
        self.resized(Size { width, height: height.max(1) })
    }

    /// Scaled with Lanczos's filter.
    pub(crate) fn resized(&self, to: Size) -> Pixels {
        match self {
            _ if self.size() == to => self.clone(),
            Pixels::Opaque(image) => Pixels::Opaque(scale::rgb(image, to)),
            Pixels::Alpha(image) => Pixels::Alpha(scale::rgba(image, to)),
        }
    }
}

/// The size of the rendition of an image of this size: never larger, the same shape.
///
/// The long side is at most [`Limits::long_side`], or more, up to [`Limits::longest_side`], as long as the short
/// side would otherwise fall under [`Limits::short_side`]; [`Limits::rendition_pixels`] holds in any case.
pub fn rendition_size(size: Size, limits: &Limits) -> Size {
    let (long, short) = (size.width.max(size.height), size.width.min(size.height));
    let (long, short) = (f64::from(long), f64::from(short));
    let by_long = f64::from(limits.long_side) / long;
    let by_short = f64::from(limits.short_side) / short;
    let by_longest = f64::from(limits.longest_side) / long;
    let by_area = (limits.rendition_pixels as f64 / (long * short)).sqrt();
    let scale = by_long.max(by_short).min(by_longest).min(by_area).min(1.0);
    if scale >= 1.0 {
        return size;
    }
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    Size { width: side(size.width), height: side(size.height) }
}

/// Runs a decoder; when it panics, its file is refused and nothing else is harmed.
fn contained<T>(decoder: impl FnOnce() -> Result<T, Rejection>) -> Result<T, Rejection> {
    // A decoder owns all that it changes, and what it leaves is dropped.
    std::panic::catch_unwind(AssertUnwindSafe(decoder)).unwrap_or(Err(Rejection::Corrupt))
}

/// Decodes an uploaded image and scales it to its rendition. The same bytes give the same pixels.
///
/// # Errors
/// A [`Rejection`] that says what was found.
pub fn intake(bytes: &[u8], limits: &Limits) -> Result<Pixels, Rejection> {
    let pixels = decode(bytes, limits)?;
    let size = rendition_size(pixels.size(), limits);
    Ok(if size == pixels.size() { pixels } else { pixels.resized(size) })
}

/// Decodes an image file at its own size: the one way in for every file, within [`Limits::image_bytes`],
/// [`Limits::image_pixels`] and [`Limits::decode_bytes`], told by its content. Animations are refused here.
///
/// It keeps a core busy, and takes up to [`Limits::decode_bytes`] of memory. Decoders are memory-safe, and one that panics
/// refuses its file.
///
/// ```
/// use chatpic_core::{Limits, Rejection, decode, testing::samples};
///
/// let file = samples::jpeg(&samples::photograph(320, 240, 1), 90);
/// assert_eq!(decode(&file, &Limits::default())?.size().width, 320);
/// let cut = decode(&file[..file.len() / 2], &Limits::default());
/// assert_eq!(cut, Err(Rejection::Incomplete));
/// # Ok::<(), Rejection>(())
/// ```
///
/// # Errors
/// A [`Rejection`] that says what was found.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Pixels, Rejection> {
    let bytes = checked(bytes, limits)?;
    contained(|| decode_format(bytes, limits))
}

/// The bytes of an image file that is not too large.
fn checked<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a [u8], Rejection> {
    match bytes.len() {
        0 => Err(Rejection::Empty),
        length if length > limits.image_bytes => Err(Rejection::TooManyBytes { limit: limits.image_bytes }),
        // The decoder looks for chunks a little further than the file goes by what it says itself.
        _ if image::guess_format(bytes).is_ok_and(|format| format == ImageFormat::WebP) => {
            container::riff(bytes)
        }
        _ => Ok(bytes),
    }
}

fn decode_format(bytes: &[u8], limits: &Limits) -> Result<Pixels, Rejection> {
    let input = Cursor::new(bytes);
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => decode_jpeg(bytes, limits),
        Ok(ImageFormat::Png) => {
            let file = Png::open(bytes)?;
            let metadata = limits.decode_bytes.min(METADATA_BYTES as u64);
            let decoder = PngDecoder::with_limits(Cursor::new(&file.pixels[..]), bounded(metadata));
            let decoder = decoder.map_err(reason)?;
            finish_as(decoder, file.orientation, &file.colour, 0, 0, limits).map_err(
                |refused| match refused {
                    Rejection::Corrupt if !file.is_ended => Rejection::Incomplete,
                    refused => refused,
                },
            )
        }
        Ok(ImageFormat::Gif) => {
            let frames = container::gif_frames(bytes)?;
            if frames.count > 1 {
                return Err(Rejection::Animated);
            }
            // A frame larger than the canvas is decoded whole: four bytes a pixel, and one of indices.
            check_size(
                frames.largest,
                Working { decoder: 5, raw: 4, eight: 4, ..Working::default() },
                limits,
            )?;
            finish(GifDecoder::new(input).map_err(reason)?, 5, 0, limits)
        }
        Ok(ImageFormat::WebP) => {
            match container::webp_frames(bytes)? {
                Some(frames) if frames.count > 1 => return Err(Rejection::Animated),
                // An animation of one frame is a still, which is drawn onto a canvas.
                Some(frames) => {
                    let mut working = Working { decoder: 13, raw: 4, eight: 4, turns: true, tables: 0 };
                    check_size(frames.canvas, working, limits)?;
                    working.tables = container::webp_tables(bytes, 1, limits.decode_bytes)?;
                    check_size(frames.canvas, working, limits)?;
                    let mut decoder = WebPDecoder::new(input).map_err(reason)?;
                    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
                    let colour = colour_of(&mut decoder);
                    let frame = decoder.into_frames().next().ok_or(Rejection::Incomplete)?.map_err(reason)?;
                    let image = DynamicImage::ImageRgba8(frame.into_buffer());
                    return Ok(upright_srgb(image, orientation, &colour));
                }
                None => {}
            }
            // The decoder spends memory on the bitstream's own size before it compares it with the container's.
            let size = container::webp_still(bytes)?;
            check_size(size, Working { decoder: 2, raw: 3, eight: 3, ..Working::default() }, limits)?;
            let tables = container::webp_tables(bytes, 1, limits.decode_bytes)?;
            let decoder = WebPDecoder::new(input).map_err(reason)?;
            // Planes of luma and chroma, and with transparency another image for the alpha channel; or an image with
            // an alpha channel that is not wanted, and smaller ones that say how to read it.
            let inner = if decoder.color_type().has_alpha() { 7 } else { 5 };
            finish(decoder, inner, tables, limits)
        }
        _ => Err(Rejection::Unsupported { found: looks_like(bytes).into() }),
    }
}

fn looks_like(bytes: &[u8]) -> &'static str {
    let start = bytes.trim_ascii_start();
    let begins =
        |text: &str| start.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()));
    if bytes.get(4..8) == Some(b"ftyp") {
        match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "it looks like AVIF: save it as JPEG or PNG first",
            Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
                "it looks like HEIC: export it as JPEG first, or choose 'Most compatible' under Formats in the camera's settings"
            }
            _ => "it looks like a video",
        }
    } else if begins("<svg") || begins("<?xml") {
        "it looks like SVG"
    } else if begins("<!doctype") || begins("<html") {
        "it looks like a web page"
    } else if begins("%PDF") {
        "it looks like PDF"
    } else if begins("BM") {
        "it looks like BMP"
    } else if begins("II*\0") || begins("MM\0*") {
        "it looks like TIFF"
    } else {
        "its kind is unknown"
    }
}

fn bounded(bytes: u64) -> image::Limits {
    let mut bounds = image::Limits::no_limits();
    bounds.max_alloc = Some(bytes);
    bounds
}

/// What decoding takes, in bytes for each pixel if nothing else is said.
#[derive(Clone, Copy, Default)]
struct Working {
    /// Inside the decoder, besides the pixels it gives.
    decoder: u64,
    /// Pixels as the decoder gives them.
    raw: u64,
    /// Pixels with eight bits a channel: 3, or 4 with transparency.
    eight: u64,
    /// Whether turning upright exchanges width and height, which takes a copy.
    turns: bool,
    /// Inside the decoder, in bytes for the whole image, whatever its size.
    tables: u64,
}

/// Checks an image's size from its header: its pixels, and the memory that the greediest step of decoding,
/// converting, turning and scaling takes.
fn check_size(size: (u32, u32), working: Working, limits: &Limits) -> Result<(), Rejection> {
    let (width, height) = size;
    let area = u64::from(width) * u64::from(height);
    if area > limits.image_pixels {
        return Err(Rejection::TooManyPixels { width, height, limit: limits.image_pixels });
    }
    let Working { decoder, raw, eight, turns, tables } = working;
    let converted = if raw == eight { raw } else { raw + eight };
    let turned = if turns { 2 * eight } else { 0 };
    // An alpha channel that hides nothing is dropped into a copy; one that does is multiplied into one to be scaled.
    let has_alpha = eight == 4;
    let copied = if has_alpha { 2 * eight } else { eight };
    let decoding = (raw + decoder) * area + tables;
    let after = converted.max(turned).max(copied) * area;
    // While it is scaled, an image exists at its new width and old height, and at its new size, as well.
    let new = rendition_size(Size { width, height }, limits);
    let scaling = if new == (Size { width, height }) {
        0
    } else {
        copied * area + eight * u64::from(new.width) * (u64::from(height) + u64::from(new.height))
    };
    if decoding.max(after).max(scaling) > limits.decode_bytes {
        return Err(Rejection::TooMuchMemory { limit: limits.decode_bytes });
    }
    Ok(())
}

fn reason(error: ImageError) -> Rejection {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Rejection::Incomplete
        }
        _ => Rejection::Corrupt,
    }
}

fn decode_jpeg(bytes: &[u8], limits: &Limits) -> Result<Pixels, Rejection> {
    let frame = Frame::find(bytes)?;
    let size = (frame.width, frame.height);
    let area = (u64::from(frame.width) * u64::from(frame.height)).max(1);
    // Coefficients, two bytes each, stay until the last one is known, or are gone with their row.
    let coefficients = if frame.is_kept { (2 * frame.coefficients()).div_ceil(area) } else { 1 };
    let working = Working { decoder: coefficients, raw: 3, eight: 3, ..Working::default() };
    check_size(size, working, limits)?;
    // The decoder fills up what is missing with grey, so nothing may be missing. What other decoders forgive, such as
    // stray bytes before a marker, costs no pixel.
    let bytes = jpeg::walked(bytes)?;

    let side = usize::from(u16::MAX);
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(side).set_max_height(side);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|_| Rejection::Corrupt)?;
    // Grey and ink stay what they are until their profile is applied.
    let (space, channels) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, 1),
        Some(ColorSpace::CMYK) => (ColorSpace::CMYK, 4),
        _ => (ColorSpace::RGB, 3),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    // It must have read the size that was checked.
    if decoder.dimensions() != Some((frame.width as usize, frame.height as usize)) {
        return Err(Rejection::Corrupt);
    }
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);
    check_size(size, Working { raw: channels, turns: exchanges_sides(orientation), ..working }, limits)?;
    let pixels = decoder.decode().map_err(|_| Rejection::Corrupt)?;
    let colour = decoder.icc_profile().map_or(Colour::Srgb, Colour::Profile);
    let (width, height) = size;
    let mut image = match space {
        ColorSpace::Luma => {
            let grey = GrayImage::from_raw(width, height, pixels).ok_or(Rejection::Corrupt)?;
            colour.to_srgb(grey.into())
        }
        ColorSpace::CMYK => colour.ink_to_srgb(Size { width, height }, &pixels).into(),
        _ => {
            let image = RgbImage::from_raw(width, height, pixels).ok_or(Rejection::Corrupt)?;
            colour.to_srgb(image.into())
        }
    };
    image.apply_orientation(orientation);
    Ok(Pixels::Opaque(image.into_rgb8()))
}

fn exchanges_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Decodes the rest of a file; `inner` is what its decoder takes inside, in bytes for each pixel, and `tables` in bytes
/// besides.
fn finish(
    mut decoder: impl ImageDecoder,
    inner: u64,
    tables: u64,
    limits: &Limits,
) -> Result<Pixels, Rejection> {
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let colour = colour_of(&mut decoder);
    finish_as(decoder, orientation, &colour, inner, tables, limits)
}

/// [`finish`]es a file whose orientation and colours are known.
fn finish_as(
    mut decoder: impl ImageDecoder,
    orientation: Orientation,
    colour: &Colour,
    inner: u64,
    tables: u64,
    limits: &Limits,
) -> Result<Pixels, Rejection> {
    let color = decoder.color_type();
    let working = Working {
        decoder: inner,
        raw: color.bytes_per_pixel().into(),
        eight: if color.has_alpha() { 4 } else { 3 },
        turns: exchanges_sides(orientation),
        tables,
    };
    check_size(decoder.dimensions(), working, limits)?;
    decoder.set_limits(bounded(limits.decode_bytes)).map_err(reason)?;
    let image = DynamicImage::from_decoder(decoder).map_err(reason)?;
    Ok(upright_srgb(image, orientation, colour))
}

fn colour_of(decoder: &mut impl ImageDecoder) -> Colour {
    decoder.icc_profile().ok().flatten().map_or(Colour::Srgb, Colour::Profile)
}

/// Converts to eight bits a channel and to sRGB, turns upright, and drops an alpha channel that hides nothing.
fn upright_srgb(image: DynamicImage, orientation: Orientation, colour: &Colour) -> Pixels {
    let mut image = colour.to_srgb(image);
    image.apply_orientation(orientation);
    match image {
        DynamicImage::ImageRgba8(mut image) if image.pixels().any(|pixel| pixel.0[3] < 255) => {
            transparency::settle(&mut image);
            Pixels::Alpha(image)
        }
        other => Pixels::Opaque(other.into_rgb8()),
    }
}

#[cfg(test)]
mod tests {
    use image::Rgba;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::samples;

    fn limits() -> Limits {
        Limits::default()
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        samples::photograph(61, 43, 5).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    const FORMATS: [ImageFormat; 4] =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP];

    #[test]
    fn every_format_is_taken_in() {
        for format in FORMATS {
            let pixels = intake(&encoded(format), &limits()).unwrap();
            assert_eq!(pixels.size(), Size { width: 61, height: 43 }, "{format:?}");
            assert!(matches!(pixels, Pixels::Opaque(_)), "{format:?}");
        }
    }

    #[test]
    fn a_decoder_that_panics_refuses_its_own_file() {
        assert_eq!(contained::<()>(|| panic!("a decoder's bug")), Err(Rejection::Corrupt));
    }

    #[test]
    fn other_files_are_told_by_content() {
        let unsupported = |bytes: &[u8]| match decode(bytes, &limits()) {
            Err(Rejection::Unsupported { found }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(unsupported(b"  <svg xmlns='x'/>"), "it looks like SVG");
        assert_eq!(unsupported(b"<!DOCTYPE html>"), "it looks like a web page");
        for (brand, named) in [("heic", "HEIC"), ("mif1", "HEIC"), ("avif", "AVIF"), ("avis", "AVIF")] {
            let said = unsupported(format!("\0\0\0\x18ftyp{brand}").as_bytes());
            assert!(said.contains(named) && said.contains("JPEG"), "{brand}: what to do is not said: {said}");
        }
        assert_eq!(unsupported(b"hello"), "its kind is unknown");
        assert_eq!(decode(b"", &limits()), Err(Rejection::Empty));
    }

    #[test]
    fn transparency_is_kept_and_a_needless_alpha_channel_dropped() {
        let mut image = DynamicImage::ImageRgb8(samples::photograph(20, 20, 1)).into_rgba8();
        let png = |image: &RgbaImage| {
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, ImageFormat::Png).unwrap();
            bytes.into_inner()
        };
        assert!(matches!(intake(&png(&image), &limits()), Ok(Pixels::Opaque(_))));
        image.get_pixel_mut(3, 3).0[3] = 0;
        assert!(matches!(intake(&png(&image), &limits()), Ok(Pixels::Alpha(_))));
    }

    /// A photograph whose middle is `alpha` opaque and shows another one there.
    fn hiding(seed: u64, alpha: u8) -> RgbaImage {
        let (seen, hidden) = (samples::photograph(300, 200, 1), samples::photograph(300, 200, seed));
        RgbaImage::from_fn(300, 200, |x, y| {
            let within = (80..220).contains(&x) && (60..140).contains(&y);
            // At so low an alpha, colours up to 12 of 255 show as black premultiplied.
            let [r, g, b] =
                if within { hidden.get_pixel(x, y).0.map(|v| v / 20) } else { seen.get_pixel(x, y).0 };
            Rgba([r, g, b, if within { alpha } else { 255 }])
        })
    }

    #[test]
    fn of_what_was_erased_nothing_is_taken_in() {
        let limits = [limits(), Limits { long_side: 170, short_side: 100, animation_side: 170, ..limits() }];
        for limits in &limits {
            for alpha in 0..=10 {
                let [one, other] = [2, 3].map(|seed| hiding(seed, alpha));
                for file in [samples::png_rgba, samples::webp_rgba] {
                    let [one, other] = [&one, &other].map(|image| intake(&file(image), limits).unwrap());
                    assert_eq!(one, other, "alpha {alpha}");
                    let Pixels::Alpha(image) = one else { panic!("transparency is lost") };
                    let black = image.pixels().filter(|pixel| pixel.0 == [0, 0, 0, alpha]).count();
                    assert!(black as u32 >= image.width() * image.height() / 7, "{black}");
                }
                let frames = |hidden: &RgbaImage| {
                    let file = samples::lossless_webp(&[hidden.clone(), hiding(1, 255), hidden.clone()], 50);
                    let animation = animation::animation(&file, limits).unwrap().unwrap();
                    animation.map(|frame| frame.unwrap().pixels).collect::<Vec<_>>()
                };
                assert_eq!(frames(&one), frames(&other), "alpha {alpha}");
            }
        }
        // A GIF's transparent pixels have a colour of their own in its palette.
        let gif = |colour: [u8; 3]| {
            let head = b"GIF89a\x01\0\x01\0\x80\0\0";
            let rest =
                b"\xFF\xFF\xFF\x21\xF9\x04\x01\0\0\0\0\x2C\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3B";
            [&head[..], &colour, &rest[..]].concat()
        };
        let nothing = Pixels::Alpha(RgbaImage::new(1, 1));
        assert_eq!(intake(&gif([9, 200, 7]), &limits[0]), Ok(nothing));
    }

    #[test]
    fn renditions_follow_the_rule() {
        let size = |width, height| {
            let size = rendition_size(Size { width, height }, &Limits::default());
            (size.width, size.height)
        };
        assert_eq!(size(800, 600), (800, 600));
        assert_eq!(size(4000, 3000), (2048, 1536));
        assert_eq!(size(3000, 4000), (1536, 2048));
        assert_eq!(size(1080, 7000), (1080, 7000));
        assert_eq!(size(1080, 12_000), (737, 8192));
        assert_eq!(size(1, 20_000), (1, 8192));
    }

    #[test]
    fn a_lying_header_costs_nothing() {
        let mut png = encoded(ImageFormat::Png);
        png[16..20].copy_from_slice(&50_000u32.to_be_bytes());
        png[20..24].copy_from_slice(&50_000u32.to_be_bytes());
        assert!(decode(&png, &limits()).is_err());
        let mut gif = encoded(ImageFormat::Gif);
        gif[6..10].copy_from_slice(&[0x50, 0xC3, 0x50, 0xC3]);
        assert!(matches!(decode(&gif, &limits()), Err(Rejection::TooManyPixels { width: 50_000, .. })));
        let mut jpeg = encoded(ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xC3, 0x50, 0xC3, 0x50]);
        assert!(matches!(decode(&jpeg, &limits()), Err(Rejection::TooManyPixels { width: 50_000, .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(format in 0usize..4, at in 0usize..4000, value: u8, cut in 0usize..4000) {
            let mut bytes = encoded(FORMATS[format]);
            let len = bytes.len();
            bytes[at % len] = value;
            bytes.truncate(len - cut % (len / 4));
            drop(decode(&bytes, &limits()));
        }
    }
}
