//! Sample pictures, made by rule: the same arguments give the same picture.

use std::io::Cursor;

use image::codecs::gif::{GifEncoder, Repeat};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::crop_imm;
use image::{Delay, DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use crate::animation::{Rectangle, Writer};

/// A picture like a landscape: a bright sky above, textured ground below, noise at every scale.
pub fn photograph(width: u32, height: u32, seed: u64) -> RgbImage {
    let horizon = 0.35 + 0.1 * noise(seed, 1.0, 1.0);
    RgbImage::from_fn(width, height, |x, y| {
        let (fx, fy) = (f64::from(x), f64::from(y));
        let texture: f64 = [(64.0, 1.0), (24.0, 0.7), (9.0, 0.5), (4.0, 0.35), (2.0, 0.2)]
            .iter()
            .enumerate()
            .map(|(octave, (scale, weight))| weight * noise(seed + octave as u64, fx / scale, fy / scale))
            .sum();
        let down = fy / f64::from(height);
        let (base, contrast) = if down < horizon + 0.02 * noise(seed + 9, fx / 40.0, 0.0) {
            ([150.0, 180.0, 215.0], 14.0)
        } else {
            ([110.0, 118.0, 84.0], 46.0)
        };
        Rgb(base.map(|v| (v + contrast * texture).clamp(0.0, 255.0) as u8))
    })
}

/// A picture like a screenshot: flat grounds, a bar, lines of small marks.
pub fn flat_graphic(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let text = y % 24 > 12 && y % 24 < 20 && (x / 3 + y / 24 * 7) % 5 < 2 && x % 200 < 150;
        match (y < height / 12, text) {
            (true, _) => Rgb([52, 86, 139]),
            (false, true) => Rgb([40, 40, 44]),
            (false, false) => Rgb([250, 250, 250]),
        }
    })
}

/// A picture with transparency like a sticker: a round piece of a photograph on nothing.
pub fn sticker(width: u32, height: u32, seed: u64) -> RgbaImage {
    let picture = photograph(width, height, seed);
    let (across, down) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    let radius = 0.9 * across.min(down);
    RgbaImage::from_fn(width, height, |x, y| {
        let from_centre = (f64::from(x) + 0.5 - across).hypot(f64::from(y) + 0.5 - down);
        let [r, g, b] = picture.get_pixel(x, y).0;
        Rgba([r, g, b, (255.0 * (radius - from_centre).clamp(0.0, 1.0)) as u8])
    })
}

/// A picture with transparency in one ink, as dense as a picture is dark.
pub fn ink(picture: &RgbImage, [r, g, b]: [u8; 3]) -> RgbaImage {
    let luma = DynamicImage::ImageRgb8(picture.clone()).into_luma8();
    let density = |x, y| 255 - luma.get_pixel(x, y).0[0];
    RgbaImage::from_fn(luma.width(), luma.height(), |x, y| Rgba([r, g, b, density(x, y)]))
}

/// Lines of small marks like a written page.
pub fn page(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let mark = y % 24 > 12 && y % 24 < 20 && (x / 3 + y / 24 * 7) % 5 < 2 && x % 200 < 150;
        Rgb([if mark { 0 } else { 255 }; 3])
    })
}

/// As a JPEG file of this quality, 1 to 100.
pub fn jpeg(image: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    drop(JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image));
    bytes
}

/// As a PNG file.
pub fn png(image: &RgbImage) -> Vec<u8> {
    written(image.clone(), ImageFormat::Png)
}

/// As a PNG file with transparency.
pub fn png_rgba(image: &RgbaImage) -> Vec<u8> {
    written(image.clone(), ImageFormat::Png)
}

/// As a lossless WebP file with transparency.
pub fn webp_rgba(image: &RgbaImage) -> Vec<u8> {
    written(image.clone(), ImageFormat::WebP)
}

fn written(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    drop(image.into().write_to(&mut bytes, format));
    bytes.into_inner()
}

/// As an animated GIF file, played without end; each frame is shown for so many milliseconds.
pub fn gif(frames: &[RgbImage], milliseconds: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
    drop(encoder.set_repeat(Repeat::Infinite));
    let delay = Delay::from_numer_denom_ms(milliseconds, 1);
    drop(
        encoder.encode_frames(frames.iter().map(|image| {
            Frame::from_parts(DynamicImage::ImageRgb8(image.clone()).into_rgba8(), 0, 0, delay)
        })),
    );
    drop(encoder);
    bytes
}

/// As an animated WebP file, played without end; each frame is shown for so many milliseconds.
pub fn webp(frames: &[RgbaImage], milliseconds: u32) -> Vec<u8> {
    let mut writer = Writer::new(90.0);
    for frame in frames {
        drop(writer.push(frame, frame, milliseconds));
    }
    writer.finish(0)
}

/// The same, lossless: colours under full transparency stay in the file.
pub fn lossless_webp(frames: &[RgbaImage], milliseconds: u32) -> Vec<u8> {
    let mut writer = Writer::new(90.0);
    for frame in frames {
        let file = webp_rgba(frame);
        writer.append(frame, Rectangle::of(frame), file.get(12..).unwrap_or_default(), milliseconds);
    }
    writer.finish(0)
}

/// Frames of a walk over a picture, from its left edge to its right.
pub fn pan(picture: &RgbImage, width: u32, height: u32, frames: u32) -> Vec<RgbImage> {
    let way = picture.width().saturating_sub(width);
    let frame = |i: u32| crop_imm(picture, way * i / (frames - 1).max(1), 0, width, height).to_image();
    (0..frames).map(frame).collect()
}

/// Value noise between -1 and 1, smooth at the scale of 1.
fn noise(seed: u64, x: f64, y: f64) -> f64 {
    let corner = |x: f64, y: f64| {
        let mut hash = seed
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add((x as i64 as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F))
            .wrapping_add((y as i64 as u64).wrapping_mul(0x1656_67B1_9E37_79F9));
        hash ^= hash >> 31;
        hash = hash.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash ^= hash >> 29;
        (hash >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    let (left, top) = (x.floor(), y.floor());
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    let (right, down) = (smooth(x - left), smooth(y - top));
    let upper = corner(left, top) * (1.0 - right) + corner(left + 1.0, top) * right;
    let lower = corner(left, top + 1.0) * (1.0 - right) + corner(left + 1.0, top + 1.0) * right;
    upper * (1.0 - down) + lower * down
}
