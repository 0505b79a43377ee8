//! Animated GIF and WebP: their containers are walked first, then frames are decoded one at a time, each composed onto
//! the canvas, upright, in sRGB and scaled.

use image::codecs::{gif::GifDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, RgbaImage};
use moxcms::Layout;
use std::io::Cursor;

use super::container::{Frames, gif_frames, webp_frames};
use super::{
    Pixels, Rejection, Working, check_bytes, check_size, contained, convert, exchanges_sides, reason,
};
use crate::limits::Limits;
use crate::mark::Size;
use crate::scale;

/// Pixels of all uploaded frames for each one of [`Limits::animation_pixels`]; more cost time without being seen.
const SOURCE_PIXELS: u64 = 8;
/// Milliseconds up to which browsers take a delay for a mistake, and what they take instead.
const LEAST_DELAY: u32 = 10;
const DEFAULT_DELAY: u32 = 100;
/// The longest delay that the WebP container holds.
const LONGEST_DELAY: u32 = 0xFF_FFFF;
/// Frames of an animated leak that are looked at, and of how many.
const SAMPLES: usize = 3;

/// An animation, of which nothing is decoded yet but what its frames are asked for.
pub struct Animation<'a> {
    /// Width and height of its frames, as viewers get them.
    pub size: Size,
    /// Frames in all, at least two.
    pub count: usize,
    /// How often they are played; 0 is without end.
    pub loops: u16,
    source: image::Frames<'a>,
    orientation: Orientation,
    profile: Option<Vec<u8>>,
    taken: usize,
}

/// A frame as it is shown: composed with those before it.
pub struct Frame {
    /// Its pixels, with an alpha channel.
    pub pixels: RgbaImage,
    /// How long it is shown, in milliseconds.
    pub delay: u32,
}

/// Opens an animation; `None` for anything else, stills and files of one frame included.
///
/// # Errors
/// A [`Rejection`] that says what was found: frames are counted and sizes checked before anything is decoded.
pub fn animation<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Option<Animation<'a>>, Rejection> {
    check_bytes(bytes, limits)?;
    let Some(frames) = frames_of(bytes)? else { return Ok(None) };
    if frames.count > limits.animation_frames {
        return Err(Rejection::TooManyFrames { found: frames.count, limit: limits.animation_frames });
    }
    if !frames.is_whole {
        return Err(Rejection::Incomplete);
    }
    let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    let limit = limits.animation_pixels.saturating_mul(SOURCE_PIXELS);
    let (width, height) = frames.canvas;
    if area(frames.canvas).max(area(frames.largest)).saturating_mul(frames.count as u64) > limit {
        return Err(Rejection::TooManyPixelsInFrames { frames: frames.count, width, height, limit });
    }
    open(bytes, &frames, limits).map(Some)
}

/// Some frames of an animation at their own size, spread over its first [`Limits::animation_frames`]; `None` for
/// anything else.
///
/// # Errors
/// A [`Rejection`] when it can't be decoded so far.
pub fn sample(bytes: &[u8], limits: &Limits) -> Result<Option<Vec<Pixels>>, Rejection> {
    check_bytes(bytes, limits)?;
    let Some(frames) = frames_of(bytes)? else { return Ok(None) };
    let count = frames.count.min(limits.animation_frames);
    let own_size = Limits { animation_side: u32::MAX, animation_pixels: u64::MAX, ..limits.clone() };
    let animation = open(bytes, &frames, &own_size)?;
    let place = |sample: usize| (2 * sample + 1) * count / (2 * SAMPLES);
    let mut wanted: Vec<usize> = (0..SAMPLES).map(place).collect();
    wanted.dedup();
    let last = wanted.last().copied().unwrap_or(0);
    let mut samples = Vec::new();
    for (index, frame) in animation.take(last + 1).enumerate() {
        let frame = frame?;
        if wanted.contains(&index) {
            samples.push(Pixels::Alpha(frame.pixels));
        }
    }
    Ok(Some(samples))
}

fn frames_of(bytes: &[u8]) -> Result<Option<Frames>, Rejection> {
    let frames = match image::guess_format(bytes) {
        Ok(ImageFormat::Gif) => Some(gif_frames(bytes)?),
        Ok(ImageFormat::WebP) => webp_frames(bytes)?,
        _ => None,
    };
    Ok(frames.filter(|frames| frames.count > 1))
}

fn open<'a>(bytes: &'a [u8], frames: &Frames, limits: &Limits) -> Result<Animation<'a>, Rejection> {
    // A frame is decoded whole, drawn onto a copy of the canvas, and scaled.
    check_size(frames.largest, Working { decoder: 13, raw: 4, eight: 4, turns: false }, limits)?;
    check_size(frames.canvas, Working { decoder: 13, raw: 4, eight: 4, turns: false }, limits)?;
    let input = Cursor::new(bytes);
    let (source, orientation, profile) = if image::guess_format(bytes).is_ok_and(|f| f == ImageFormat::Gif) {
        let mut decoder = GifDecoder::new(input).map_err(reason)?;
        let profile = decoder.icc_profile().unwrap_or_default();
        (decoder.into_frames(), Orientation::NoTransforms, profile)
    } else {
        let mut decoder = WebPDecoder::new(input).map_err(reason)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let profile = decoder.icc_profile().unwrap_or_default();
        (decoder.into_frames(), orientation, profile)
    };
    let (width, height) = frames.canvas;
    let (width, height) = if exchanges_sides(orientation) { (height, width) } else { (width, height) };
    let size = shown_size(Size { width, height }, frames.count, limits);
    Ok(Animation { size, count: frames.count, loops: frames.loops, source, orientation, profile, taken: 0 })
}

/// The size in which an animation is shown: never larger, the same shape.
fn shown_size(canvas: Size, frames: usize, limits: &Limits) -> Size {
    let long = f64::from(canvas.width.max(canvas.height).max(1));
    let by_side = f64::from(limits.animation_side) / long;
    let all = canvas.pixels() as f64 * frames as f64;
    let by_pixels = (limits.animation_pixels as f64 / all.max(1.0)).sqrt();
    let scale = by_side.min(by_pixels).min(1.0);
    let side = |side: u32| ((f64::from(side) * scale).floor() as u32).max(1);
    Size { width: side(canvas.width), height: side(canvas.height) }
}

impl Animation<'_> {
    fn frame(&mut self) -> Result<Frame, Rejection> {
        let frame = self.source.next().ok_or(Rejection::Incomplete)?.map_err(reason)?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        let delay = match numerator / denominator.max(1) {
            ..=LEAST_DELAY => DEFAULT_DELAY,
            delay => delay.min(LONGEST_DELAY),
        };
        let mut image = DynamicImage::ImageRgba8(frame.into_buffer());
        image.apply_orientation(self.orientation);
        let mut pixels = image.into_rgba8();
        convert(&mut pixels, Layout::Rgba, self.profile.as_deref());
        let size = Size { width: pixels.width(), height: pixels.height() };
        if size != self.size {
            pixels = scale::rgba(&pixels, self.size);
        }
        Ok(Frame { pixels, delay })
    }
}

impl Iterator for Animation<'_> {
    type Item = Result<Frame, Rejection>;

    /// The next frame; after an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.taken == self.count {
            return None;
        }
        let frame = contained(|| self.frame());
        self.taken = if frame.is_ok() { self.taken + 1 } else { self.count };
        Some(frame)
    }
}
