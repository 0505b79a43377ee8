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
mod gif;
mod lossless;
mod png;
mod rejection;
#[cfg(test)]
mod truncation;
mod webp;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, RgbImage, RgbaImage};
use std::panic::AssertUnwindSafe;

use self::animation::Animation;
use self::colour::{Colour, Conversion};
pub use self::rejection::Rejection;
use crate::jpeg::{Jpeg, Samples};
use crate::limits::Limits;
use crate::mark::Size;
use crate::{scale, transparency};

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

/// An image file within its limits, of which no pixel is decoded yet.
pub(crate) enum Picture<'a> {
    /// One picture.
    Still(Still<'a>),
    /// At least two frames.
    Animation(Animation<'a>),
}

impl<'a> Picture<'a> {
    /// Opens a file of at most [`Limits::image_bytes`]. Every file comes in here: its content tells the format, it is walked
    /// once, and its size is checked from its header. The number of frames is checked by [`Animation::frames`].
    ///
    /// # Errors
    /// A [`Rejection`] that says what was found.
    pub(crate) fn open(bytes: &'a [u8], limits: &'a Limits) -> Result<Self, Rejection> {
        match bytes.len() {
            0 => return Err(Rejection::Empty),
            length if length > limits.image_bytes => {
                return Err(Rejection::TooManyBytes { limit: limits.image_bytes });
            }
            _ => {}
        }
        contained(|| match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => jpeg(bytes, limits).map(Picture::Still),
            Ok(ImageFormat::Png) => png::open(bytes, limits).map(Picture::Still),
            Ok(ImageFormat::Gif) => gif::open(bytes, limits),
            Ok(ImageFormat::WebP) => webp::open(bytes, limits),
            _ => Err(Rejection::Unsupported { found: looks_like(bytes).into() }),
        })
    }
}

/// A still of which nothing is decoded yet.
pub(crate) struct Still<'a> {
    decoder: Decoder<'a>,
    orientation: Orientation,
    conversion: Conversion,
    /// Whether the file may have been cut off; what can't be decoded then is called missing, not damaged.
    may_be_cut: bool,
    limits: &'a Limits,
}

/// What decodes a still.
enum Decoder<'a> {
    Jpeg(Box<Jpeg<'a>>),
    /// The only frame of an animation.
    Frame(Box<Animation<'a>>),
    Other(Box<dyn ImageDecoder + 'a>),
}

impl<'a> Still<'a> {
    /// A still that `decoder` decodes. Inside, that takes `per_pixel` bytes for each pixel and `fixed` bytes besides.
    ///
    /// # Errors
    /// When its size, or the memory that decoding takes, is above the limits.
    fn new(
        mut decoder: Box<dyn ImageDecoder + 'a>,
        per_pixel: u64,
        fixed: u64,
        orientation: Orientation,
        conversion: Conversion,
        limits: &'a Limits,
    ) -> Result<Self, Rejection> {
        let color = decoder.color_type();
        let working = Working {
            decoder: per_pixel,
            raw: color.bytes_per_pixel().into(),
            eight: if color.has_alpha() { 4 } else { 3 },
            turns: exchanges_sides(orientation),
            fixed,
        };
        let (width, height) = decoder.dimensions();
        check_size(Size { width, height }, working, limits)?;
        decoder.set_limits(bounded(limits.decode_bytes)).map_err(reason)?;
        Ok(Self { decoder: Decoder::Other(decoder), orientation, conversion, may_be_cut: false, limits })
    }

    /// Decodes it at its own size.
    ///
    /// # Errors
    /// A [`Rejection`] that says what was found.
    pub(crate) fn decode(self) -> Result<Pixels, Rejection> {
        let may_be_cut = self.may_be_cut;
        let pixels = contained(|| {
            let image = match self.decoder {
                Decoder::Jpeg(jpeg) => match jpeg.decode()? {
                    Samples::Grey(image) => self.conversion.to_srgb(image.into()),
                    Samples::Rgb(image) => self.conversion.to_srgb(image.into()),
                    Samples::Ink { size, values } => self.conversion.ink_to_srgb(size, &values).into(),
                },
                Decoder::Frame(animation) => {
                    let (frame, _) = animation.composed()?.next().ok_or(Rejection::Incomplete)??;
                    self.conversion.to_srgb(frame.into())
                }
                Decoder::Other(decoder) => {
                    self.conversion.to_srgb(DynamicImage::from_decoder(decoder).map_err(reason)?)
                }
            };
            Ok(upright(image, self.orientation))
        });
        match pixels {
            Err(Rejection::Corrupt) if may_be_cut => Err(Rejection::Incomplete),
            pixels => pixels,
        }
    }

    /// Decodes it and scales it to its rendition. The same bytes give the same pixels.
    ///
    /// # Errors
    /// A [`Rejection`] that says what was found.
    pub(crate) fn rendition(self) -> Result<Pixels, Rejection> {
        let limits = self.limits;
        let pixels = self.decode()?;
        Ok(pixels.resized(rendition_size(pixels.size(), limits)))
    }
}

/// Runs a decoder; when it panics, its file is refused and nothing else is harmed.
fn contained<T>(decoder: impl FnOnce() -> Result<T, Rejection>) -> Result<T, Rejection> {
    // A decoder owns all that it changes, and what it leaves is dropped.
    std::panic::catch_unwind(AssertUnwindSafe(decoder)).unwrap_or(Err(Rejection::Corrupt))
}

/// Decodes a still image file at its own size, within [`Limits::image_bytes`], [`Limits::image_pixels`] and
/// [`Limits::decode_bytes`]. Animations are refused here.
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
    match Picture::open(bytes, limits)? {
        Picture::Still(still) => still.decode(),
        Picture::Animation(_) => Err(Rejection::Animated),
    }
}

fn looks_like(bytes: &[u8]) -> &'static str {
    let start = bytes.trim_ascii_start();
    let begins =
        |text: &str| start.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()));
    if bytes.get(4..8) == Some(b"ftyp") {
        match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "this looks like AVIF, save it as JPEG or PNG first",
            Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
                "this looks like HEIC, export it as JPEG first, or choose 'Most compatible' under Formats in the camera's settings"
            }
            _ => "this looks like a video or a camera's raw file, save a picture of it as JPEG",
        }
    } else if begins("<svg") || begins("<?xml") {
        "this looks like SVG, save a picture of it as PNG"
    } else if begins("<!doctype") || begins("<html") {
        "this looks like a web page, save a picture of it as PNG"
    } else if begins("%PDF") {
        "this looks like PDF, save a picture of it as PNG"
    } else if begins("8BPS") {
        "this looks like a Photoshop file, save it as JPEG or PNG"
    } else if bytes.starts_with(b"\xFF\x0A") || bytes.get(4..8) == Some(b"JXL ") {
        "this looks like JPEG XL, save it as JPEG or PNG"
    } else if begins("BM") {
        "this looks like BMP, save it as PNG"
    } else if begins("II*\0") || begins("MM\0*") {
        "this looks like TIFF, save it as JPEG or PNG"
    } else {
        "the kind of this file is unknown, save the picture as JPEG or PNG"
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
    /// Inside the decoder, in bytes for the whole image.
    fixed: u64,
}

/// Checks an image's size from its header: its pixels, and the memory that the greediest step of decoding,
/// converting, turning and scaling takes.
fn check_size(size: Size, working: Working, limits: &Limits) -> Result<(), Rejection> {
    let (Size { width, height }, area) = (size, size.pixels());
    if area > limits.image_pixels {
        return Err(Rejection::TooManyPixels { width, height, limit: limits.image_pixels });
    }
    let Working { decoder, raw, eight, turns, fixed } = working;
    let converted = if raw == eight { raw } else { raw + eight };
    let turned = if turns { 2 * eight } else { 0 };
    // An alpha channel that hides nothing is dropped into a copy; one that does is multiplied into one to be scaled.
    let has_alpha = eight == 4;
    let copied = if has_alpha { 2 * eight } else { eight };
    let decoding = (raw + decoder) * area + fixed;
    let after = converted.max(turned).max(copied) * area;
    // While it is scaled, an image exists at its new width and old height, and at its new size, as well.
    let new = rendition_size(size, limits);
    let scaling = if new == size {
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
        ImageError::Decoding(error) => {
            let said = error.to_string();
            // The decoders of PNG and GIF say only in words that image data, or their deflate stream, end early.
            let is_early = [
                "does not have enough data",
                "InsufficientInput",
                "image truncated",
                "Unexpected End of File",
            ]
            .iter()
            .any(|word| said.contains(word));
            if is_early { Rejection::Incomplete } else { Rejection::Corrupt }
        }
        _ => Rejection::Corrupt,
    }
}

fn jpeg<'a>(bytes: &'a [u8], limits: &'a Limits) -> Result<Still<'a>, Rejection> {
    let jpeg = Jpeg::open(bytes)?;
    let orientation = jpeg.exif().and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let working = Working {
        raw: jpeg.channels(),
        eight: 3,
        turns: exchanges_sides(orientation),
        fixed: jpeg.working_bytes(),
        ..Working::default()
    };
    check_size(jpeg.size(), working, limits)?;
    let conversion = jpeg.profile().map_or(Colour::Srgb, Colour::Profile).conversion();
    Ok(Still { decoder: Decoder::Jpeg(Box::new(jpeg)), orientation, conversion, may_be_cut: false, limits })
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

/// Turns an image upright, and drops an alpha channel that hides nothing.
fn upright(mut image: DynamicImage, orientation: Orientation) -> Pixels {
    image.apply_orientation(orientation);
    match image {
        DynamicImage::ImageRgba8(mut image) => {
            if image.pixels().any(|pixel| pixel.0[3] < 255) {
                transparency::settle(&mut image);
                Pixels::Alpha(image)
            } else {
                Pixels::Opaque(DynamicImage::ImageRgba8(image).into_rgb8())
            }
        }
        other => Pixels::Opaque(other.into_rgb8()),
    }
}

#[cfg(test)]
mod tests {
    use image::Rgba;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::io::Cursor;
    use std::sync::Once;

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

    /// Does some work, and fails if a decoder panicked meanwhile: its file is refused, so nothing else tells.
    pub(super) fn without_a_panic(work: impl FnOnce()) {
        thread_local! {
            static PANICS: Cell<u32> = const { Cell::new(0) };
        }
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                PANICS.set(PANICS.get() + 1);
                usual(panic);
            }));
        });
        let before = PANICS.get();
        work();
        assert_eq!(PANICS.get(), before, "a decoder panicked");
    }

    /// The rendition of a still.
    fn rendition(bytes: &[u8], limits: &Limits) -> Result<Pixels, Rejection> {
        match Picture::open(bytes, limits)? {
            Picture::Still(still) => still.rendition(),
            Picture::Animation(_) => Err(Rejection::Animated),
        }
    }

    const FORMATS: [ImageFormat; 4] =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP];

    #[test]
    fn every_format_is_taken_in() {
        for format in FORMATS {
            let pixels = rendition(&encoded(format), &limits()).unwrap();
            assert_eq!(pixels.size(), Size { width: 61, height: 43 }, "{format:?}");
            assert!(matches!(pixels, Pixels::Opaque(_)), "{format:?}");
        }
    }

    #[test]
    #[should_panic(expected = "a decoder panicked")]
    fn a_panic_that_became_a_refusal_is_noticed() {
        without_a_panic(|| drop(contained::<()>(|| panic!("a decoder's bug"))));
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
        assert_eq!(unsupported(b"  <svg xmlns='x'/>"), "this looks like SVG, save a picture of it as PNG");
        assert_eq!(
            unsupported(b"<!DOCTYPE html>"),
            "this looks like a web page, save a picture of it as PNG"
        );
        for (brand, named) in [("heic", "HEIC"), ("mif1", "HEIC"), ("avif", "AVIF"), ("avis", "AVIF")] {
            let said = unsupported(format!("\0\0\0\x18ftyp{brand}").as_bytes());
            assert!(said.contains(named) && said.contains("JPEG"), "{brand}: what to do is not said: {said}");
        }
        for (start, named) in
            [(&b"8BPS"[..], "Photoshop"), (b"\xFF\x0A", "JPEG XL"), (b"\0\0\0\x0CJXL ", "JPEG XL")]
        {
            assert!(unsupported(start).contains(named), "{named}");
        }
        assert!(unsupported(b"hello").starts_with("the kind of this file is unknown"));
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
        assert!(matches!(rendition(&png(&image), &limits()), Ok(Pixels::Opaque(_))));
        image.get_pixel_mut(3, 3).0[3] = 0;
        assert!(matches!(rendition(&png(&image), &limits()), Ok(Pixels::Alpha(_))));
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
                    let [one, other] = [&one, &other].map(|image| rendition(&file(image), limits).unwrap());
                    assert_eq!(one, other, "alpha {alpha}");
                    let Pixels::Alpha(image) = one else { panic!("transparency is lost") };
                    let black = image.pixels().filter(|pixel| pixel.0 == [0, 0, 0, alpha]).count();
                    assert!(black as u32 >= image.width() * image.height() / 7, "{black}");
                }
                let frames = |hidden: &RgbaImage| {
                    let file = samples::lossless_webp(&[hidden.clone(), hiding(1, 255), hidden.clone()], 50);
                    let Ok(Picture::Animation(animation)) = Picture::open(&file, limits) else {
                        panic!("no animation")
                    };
                    animation.frames().unwrap().map(|frame| frame.unwrap().pixels).collect::<Vec<_>>()
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
        assert_eq!(rendition(&gif([9, 200, 7]), &limits[0]), Ok(nothing));
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
            without_a_panic(|| drop(decode(&bytes, &limits())));
        }
    }
}
