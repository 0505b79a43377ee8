//! What is done to leaks. The same name and picture give the same result.

use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage, imageops::colorops};

/// A name and what it does.
pub type Attack = (&'static str, fn(&RgbImage) -> RgbImage);

/// All attacks, in the order of the table.
pub const ATTACKS: &[Attack] = &[
    ("as served", |i| i.clone()),
    ("JPEG 85", |i| jpeg(i, 85)),
    ("JPEG 60", |i| jpeg(i, 60)),
    ("JPEG 40", |i| jpeg(i, 40)),
    ("JPEG 30", |i| jpeg(i, 30)),
    ("scaled to 70 %", |i| scaled(i, 0.7, 0.7)),
    ("scaled to 45 %", |i| scaled(i, 0.45, 0.45)),
    ("scaled to 33 %", |i| scaled(i, 0.333, 0.333)),
    ("scaled to 140 %", |i| scaled(i, 1.4, 1.4)),
    ("stretched 92 : 107", |i| scaled(i, 0.92, 1.07)),
    ("cropped to 70 % of the area", |i| cropped(i, 0.7)),
    ("cropped to 45 %", |i| cropped(i, 0.45)),
    ("cropped to 25 %", |i| cropped(i, 0.25)),
    ("cropped to 45 %, JPEG 65", |i| jpeg(&cropped(i, 0.45), 65)),
    ("turned by 1.3 degrees", |i| turned(i, 1.3)),
    ("turned by 6 degrees", |i| turned(i, 6.0)),
    ("turned by 90 degrees", imageops::rotate90),
    ("mirrored", imageops::flip_horizontal),
    ("blur, sigma 1", |i| imageops::blur(i, 1.0)),
    ("blur, sigma 2", |i| imageops::blur(i, 2.0)),
    ("noise, sigma 6", |i| noisy(i, 6.0)),
    ("noise, sigma 12", |i| noisy(i, 12.0)),
    ("25 % brighter", |i| valued(i, |v| v * 1.25)),
    ("25 % darker", |i| valued(i, |v| v * 0.75)),
    ("contrast 130 %", |i| valued(i, |v| (v - 128.0) * 1.3 + 128.0)),
    ("gamma 1.3", |i| valued(i, |v| 255.0 * (v / 255.0).powf(1.3))),
    ("grey", |i| DynamicImage::ImageLuma8(colorops::grayscale(i)).into_rgb8()),
    ("sharpened", |i| imageops::unsharpen(i, 1.5, 0)),
    ("16 % covered", covered),
    ("desktop screenshot", screenshot),
    ("screenshot, cut out, messenger", |i| messenger(&cut_screenshot(i))),
    ("phone screenshot", phone),
    ("photograph of a screen", photograph),
];

fn jpeg(image: &RgbImage, quality: u8) -> RgbImage {
    let file = chatpic_core::testing::samples::jpeg(image, quality);
    image::load_from_memory(&file).expect("a file of our own").into_rgb8()
}

fn scaled(image: &RgbImage, fx: f32, fy: f32) -> RgbImage {
    let side = |n: u32, f: f32| ((n as f32 * f).round() as u32).max(1);
    imageops::resize(image, side(image.width(), fx), side(image.height(), fy), FilterType::Lanczos3)
}

fn cropped(image: &RgbImage, area: f32) -> RgbImage {
    let (w, h) = image.dimensions();
    let (cw, ch) = ((w as f32 * area.sqrt()) as u32, (h as f32 * area.sqrt()) as u32);
    // Off the middle, at odd places.
    imageops::crop_imm(image, ((w - cw) / 3) | 1, ((h - ch) * 3 / 5) | 1, cw, ch).to_image()
}

fn valued(image: &RgbImage, f: impl Fn(f32) -> f32) -> RgbImage {
    let table: Vec<u8> = (0..=255u8).map(|v| f(f32::from(v)).round().clamp(0.0, 255.0) as u8).collect();
    let mut out = image.clone();
    out.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
    out
}

/// Numbers of a fixed sequence, roughly normal with variance 1.
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        ((0..6).map(|_| self.uniform()).sum::<f32>() - 3.0) * 2f32.sqrt()
    }
}

fn noisy(image: &RgbImage, sigma: f32) -> RgbImage {
    let mut dice = Dice(u64::from(image.width()) << 20 | u64::from(image.height()));
    let mut out = image.clone();
    out.iter_mut().for_each(|v| *v = (f32::from(*v) + sigma * dice.normal()).round().clamp(0.0, 255.0) as u8);
    out
}

fn covered(image: &RgbImage) -> RgbImage {
    let (w, h) = image.dimensions();
    let mut out = image.clone();
    let side = (0.16 * (w * h) as f32 / 6.0).sqrt() as u32;
    for i in 0..6 {
        let (x, y) = ((i % 3) * w / 3 + w / 12, (i / 3) * h / 2 + h / 12);
        let patch = RgbImage::from_pixel(
            side,
            side,
            Rgb([[0, 0, 0], [255, 255, 255], [250, 200, 60]][i as usize % 3]),
        );
        imageops::replace(&mut out, &patch, i64::from(x), i64::from(y));
    }
    out
}

/// The picture scaled to fit into a page, and where it lies.
fn page(
    image: &RgbImage,
    width: u32,
    height: u32,
    bar: u32,
    ground: u8,
    enlarge: bool,
) -> (RgbImage, [u32; 4]) {
    let (w, h) = image.dimensions();
    let fit = (width as f32 / w as f32).min((height - bar) as f32 / h as f32);
    let fit = if enlarge { fit } else { fit.min(1.0) };
    let shown = scaled(image, fit, fit);
    let mut page = RgbImage::from_pixel(width, height, Rgb([ground; 3]));
    let strip = RgbImage::from_pixel(width, bar, Rgb([ground / 10 * 9; 3]));
    imageops::replace(&mut page, &strip, 0, 0);
    let (x, y) =
        ((width - shown.width().min(width)) / 2, bar + (height - bar - shown.height().min(height - bar)) / 2);
    imageops::replace(&mut page, &shown, i64::from(x), i64::from(y));
    (page, [x, y, shown.width(), shown.height()])
}

fn screenshot(image: &RgbImage) -> RgbImage {
    page(image, 1366, 768, 74, 243, false).0
}

fn cut_screenshot(image: &RgbImage) -> RgbImage {
    let (page, [x, y, w, h]) = page(image, 1366, 768, 74, 243, false);
    imageops::crop_imm(&page, x + w / 40, y + h / 30, w - w / 17, h - h / 20).to_image()
}

fn messenger(image: &RgbImage) -> RgbImage {
    let fit = (1600.0 / image.width().max(image.height()) as f32).min(1.0);
    jpeg(&scaled(image, fit, fit), 70)
}

fn phone(image: &RgbImage) -> RgbImage {
    page(image, 1080, 2340, 140, 18, true).0
}

fn turned(image: &RgbImage, degrees: f32) -> RgbImage {
    let (w, h) = (image.width() as f32, image.height() as f32);
    let (sin, cos) = degrees.to_radians().sin_cos();
    drawn(image, image.dimensions(), |x, y| {
        let (x, y) = (x - w / 2.0, y - h / 2.0);
        (cos * x + sin * y + w / 2.0, cos * y - sin * x + h / 2.0)
    })
}

/// A picture of another, each pixel from where `from` says; bilinear, dark outside.
fn drawn(image: &RgbImage, size: (u32, u32), from: impl Fn(f32, f32) -> (f32, f32)) -> RgbImage {
    RgbImage::from_fn(size.0, size.1, |x, y| {
        let (u, v) = from(x as f32, y as f32);
        imageops::interpolate_bilinear(image, u, v).unwrap_or(Rgb([24; 3]))
    })
}

/// A camera's picture of a monitor: perspective, blur, moire, gamma, noise, JPEG.
fn photograph(image: &RgbImage) -> RgbImage {
    let fit = (1500.0 / image.width().max(image.height()) as f32).min(1.0);
    let image = scaled(image, fit, fit);
    let (w, h) = (image.width() as f32, image.height() as f32);
    let seen = drawn(&image, ((w * 1.16) as u32, (h * 1.18) as u32), |x, y| {
        let (x, y) = (x - 0.08 * w, y - 0.09 * h);
        let depth = 1.0 + 0.028 * x / w - 0.021 * y / h;
        ((1.01 * x + 0.012 * y) / depth, (0.99 * y - 0.009 * x) / depth)
    });
    let mut seen = imageops::blur(&seen, 0.8);
    let mut dice = Dice(11);
    for (x, y, pixel) in seen.enumerate_pixels_mut() {
        let (x, y) = (x as f32, y as f32);
        let moire = (1.93 * x + 0.27 * y).sin() * (1.82 * y - 0.23 * x).sin();
        let light = (1.0 + 0.025 * moire) * (1.0 - 0.12 * ((x / w - 0.5).powi(2) + (y / h - 0.5).powi(2)));
        pixel.0 = pixel.0.map(|v| {
            let v = 255.0 * (f32::from(v) * light / 255.0).clamp(0.0, 1.0).powf(1.12);
            (v + 3.0 * dice.normal()).round().clamp(0.0, 255.0) as u8
        });
    }
    jpeg(&seen, 82)
}

/// What colluders make of their copies.
pub type Collusion = (&'static str, fn(&mut [u8]) -> u8);

/// Pixel by pixel, from the copies' values.
pub const COLLUSIONS: &[Collusion] = &[
    ("mean", |v| (v.iter().map(|v| u32::from(*v)).sum::<u32>() as f32 / v.len() as f32).round() as u8),
    ("median", |v| {
        v.sort_unstable();
        v[v.len() / 2]
    }),
    ("least", |v| v.iter().copied().min().unwrap_or(0)),
    ("greatest", |v| v.iter().copied().max().unwrap_or(0)),
];

/// Copies combined pixel by pixel.
pub fn combined(copies: &[RgbImage], how: fn(&mut [u8]) -> u8) -> RgbImage {
    let mut out = copies[0].clone();
    let mut values = vec![0; copies.len()];
    for (i, sample) in out.iter_mut().enumerate() {
        for (value, copy) in values.iter_mut().zip(copies) {
            *value = copy.as_raw()[i];
        }
        *sample = how(&mut values);
    }
    out
}

/// Tiles taken from the copies in turn.
pub fn mosaic(copies: &[RgbImage]) -> RgbImage {
    let mut out = copies[0].clone();
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let tile = (x / 56 + 7 * (y / 48)) as usize;
        *pixel = *copies[tile % copies.len()].get_pixel(x, y);
    }
    out
}
