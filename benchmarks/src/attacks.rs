//! What is done to leaks. The same name and picture give the same result.

use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage, Rgba, imageops::colorops};
use rustfft::num_complex::Complex32;
use rustfft::{FftDirection, FftPlanner};

/// A name and what it does.
pub type Attack = (&'static str, fn(&RgbImage) -> RgbImage);

/// All attacks, in the order of the table.
pub const ATTACKS: &[Attack] = &[
    ("as served", |i| i.clone()),
    ("JPEG 90", |i| jpeg(i, 90)),
    ("JPEG 75", |i| jpeg(i, 75)),
    ("JPEG 60", |i| jpeg(i, 60)),
    ("JPEG 50", |i| jpeg(i, 50)),
    ("JPEG 40", |i| jpeg(i, 40)),
    ("JPEG 30", |i| jpeg(i, 30)),
    ("WebP 50", |i| webp(i, 50.0)),
    ("WebP 75", |i| webp(i, 75.0)),
    ("64 colours", palette),
    ("scaled to 75 %", |i| scaled(i, 0.75, 0.75)),
    ("scaled to 50 %", |i| scaled(i, 0.5, 0.5)),
    ("scaled to 45 %", |i| scaled(i, 0.45, 0.45)),
    ("scaled to 33 %", |i| scaled(i, 0.333, 0.333)),
    ("scaled to 140 %", |i| scaled(i, 1.4, 1.4)),
    ("scaled to 200 %", |i| scaled(i, 2.0, 2.0)),
    ("scaled to 50 % and back", |i| scaled(&scaled(i, 0.5, 0.5), 2.0, 2.0)),
    ("stretched 90 : 110", |i| scaled(i, 0.9, 1.1)),
    ("messenger: 1600 px, JPEG 70", messenger),
    ("cropped to 75 % of the area", |i| cropped(i, 0.75)),
    ("cropped to 50 %", |i| cropped(i, 0.5)),
    ("cropped to 45 %, JPEG 65", |i| jpeg(&cropped(i, 0.45), 65)),
    ("cropped to 25 %", |i| cropped(i, 0.25)),
    ("turned by 1 degree", |i| turned(i, 1.0)),
    ("turned by 5 degrees", |i| turned(i, 5.0)),
    ("turned by 90 degrees", imageops::rotate90),
    ("mirrored", imageops::flip_horizontal),
    ("blur, sigma 1", |i| imageops::blur(i, 1.0)),
    ("blur, sigma 2", |i| imageops::blur(i, 2.0)),
    ("median of 3 x 3", median),
    ("noise, sigma 5", |i| noisy(i, 5.0)),
    ("noise, sigma 10", |i| noisy(i, 10.0)),
    ("30 % brighter", |i| valued(i, |v| v * 1.3)),
    ("30 % darker", |i| valued(i, |v| v * 0.7)),
    ("contrast 130 %", |i| valued(i, |v| (v - 128.0) * 1.3 + 128.0)),
    ("gamma 1.4", |i| valued(i, |v| 255.0 * (v / 255.0).powf(1.4))),
    ("grey", |i| DynamicImage::ImageLuma8(colorops::grayscale(i)).into_rgb8()),
    ("sharpened", |i| imageops::unsharpen(i, 1.5, 0)),
    ("16 % covered", covered),
    ("desktop screenshot", |i| screenshot(i, 1.0)),
    ("desktop screenshot, 2 device pixels each", |i| screenshot(i, 2.0)),
    ("screenshot of a screenshot", |i| screenshot(&screenshot(i, 1.0), 1.0)),
    ("screenshot, cut out, messenger", |i| messenger(&cut_screenshot(i))),
    ("phone screenshot", phone),
    ("photograph of a screen", photograph),
    ("spectral peaks notched", notched),
];

/// Pieces too small for a blind trace: with the original only.
pub const PIECES: &[Attack] = &[
    ("a piece of 192 x 192 px", |i| piece(i, 192)),
    ("a piece of 192 x 192 px, JPEG 75", |i| jpeg(&piece(i, 192), 75)),
    ("a piece of 128 x 128 px", |i| piece(i, 128)),
];

pub fn jpeg(image: &RgbImage, quality: u8) -> RgbImage {
    let file = chatpic_core::testing::samples::jpeg(image, quality);
    image::load_from_memory(&file).expect("a file of our own").into_rgb8()
}

fn webp(image: &RgbImage, quality: f32) -> RgbImage {
    let file = webp::Encoder::from_rgb(image, image.width(), image.height()).encode(quality);
    image::load_from_memory(&file).expect("a file of our own").into_rgb8()
}

/// The 64 colours that fit best, dithered by Floyd and Steinberg's rule.
fn palette(image: &RgbImage) -> RgbImage {
    struct Palette(color_quant::NeuQuant);
    impl imageops::ColorMap for Palette {
        type Color = Rgba<u8>;

        fn index_of(&self, color: &Self::Color) -> usize {
            self.0.index_of(&color.0)
        }

        fn map_color(&self, color: &mut Self::Color) {
            self.0.map_pixel(&mut color.0);
        }
    }
    let mut out = DynamicImage::ImageRgb8(image.clone()).into_rgba8();
    let colours = color_quant::NeuQuant::new(10, 64, &out);
    imageops::dither(&mut out, &Palette(colours));
    DynamicImage::ImageRgba8(out).into_rgb8()
}

/// Each sample the median of its neighbourhood of 3 x 3.
fn median(image: &RgbImage) -> RgbImage {
    let (w, h) = image.dimensions();
    RgbImage::from_fn(w, h, |x, y| {
        Rgb([0, 1, 2].map(|channel: usize| {
            let mut values = [0; 9];
            for (i, value) in values.iter_mut().enumerate() {
                let (dx, dy) = (i as u32 % 3, i as u32 / 3);
                let (x, y) = ((x + dx).saturating_sub(1).min(w - 1), (y + dy).saturating_sub(1).min(h - 1));
                *value = image.get_pixel(x, y).0[channel];
            }
            values.sort_unstable();
            values[4]
        }))
    })
}

/// What someone does who knows that there is a pilot and not where: every frequency of luma that stands out of its
/// surroundings is brought down to them.
fn notched(image: &RgbImage) -> RgbImage {
    const REACH: i32 = 3;
    const STANDS_OUT: f32 = 3.0;
    let (w, h) = (image.width() as usize, image.height() as usize);
    let luma = colorops::grayscale(image);
    let mut spectrum: Vec<Complex32> =
        luma.as_raw().iter().map(|v| Complex32::new(f32::from(*v), 0.0)).collect();
    transform(&mut spectrum, w, h, FftDirection::Forward);
    let size: Vec<f32> = spectrum.iter().map(|v| v.norm()).collect();
    let mut around = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let cycles = |n: usize, all: usize| n.min(all - n) as f32 / all as f32;
            if !(0.04..0.5).contains(&cycles(x, w).hypot(cycles(y, h))) {
                continue;
            }
            around.clear();
            for (dx, dy) in (-REACH..=REACH).flat_map(|dy| (-REACH..=REACH).map(move |dx| (dx, dy))) {
                let at = |n: usize, d: i32, all: usize| (n as i32 + d).rem_euclid(all as i32) as usize;
                around.push(size[at(y, dy, h) * w + at(x, dx, w)]);
            }
            let middle = around.len() / 2;
            let median = *around.select_nth_unstable_by(middle, f32::total_cmp).1;
            if size[y * w + x] > STANDS_OUT * median {
                spectrum[y * w + x] *= median / size[y * w + x];
            }
        }
    }
    transform(&mut spectrum, w, h, FftDirection::Inverse);
    let mut out = image.clone();
    for ((pixel, before), after) in out.pixels_mut().zip(luma.as_raw()).zip(&spectrum) {
        let change = after.re / (w * h) as f32 - f32::from(*before);
        pixel.0 = pixel.0.map(|v| (f32::from(v) + change).round().clamp(0.0, 255.0) as u8);
    }
    out
}

/// The transform of a plane in place, rows and then columns, not normalised.
fn transform(plane: &mut [Complex32], w: usize, h: usize, direction: FftDirection) {
    let mut planner = FftPlanner::new();
    planner.plan_fft(w, direction).process(plane);
    let columns = planner.plan_fft(h, direction);
    let mut column = vec![Complex32::default(); h];
    for x in 0..w {
        (0..h).for_each(|y| column[y] = plane[y * w + x]);
        columns.process(&mut column);
        (0..h).for_each(|y| plane[y * w + x] = column[y]);
    }
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

fn piece(image: &RgbImage, side: u32) -> RgbImage {
    let (w, h) = (side.min(image.width()), side.min(image.height()));
    imageops::crop_imm(image, (image.width() - w) * 2 / 5, (image.height() - h) * 3 / 7, w, h).to_image()
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

/// A page with a bar and the picture in it, scaled to fit, and where it lies.
fn page(image: &RgbImage, [width, height, bar]: [u32; 3], ground: u8, most: f32) -> (RgbImage, [u32; 4]) {
    let (w, h) = image.dimensions();
    let fit = (width as f32 / w as f32).min((height - bar) as f32 / h as f32).min(most);
    let shown = scaled(image, fit, fit);
    let mut page = RgbImage::from_pixel(width, height, Rgb([ground; 3]));
    let strip = RgbImage::from_pixel(width, bar, Rgb([ground / 10 * 9; 3]));
    imageops::replace(&mut page, &strip, 0, 0);
    let (x, y) =
        ((width - shown.width().min(width)) / 2, bar + (height - bar - shown.height().min(height - bar)) / 2);
    imageops::replace(&mut page, &shown, i64::from(x), i64::from(y));
    (page, [x, y, shown.width(), shown.height()])
}

/// A screen of 1366 x 768 points, each of `pixels` x `pixels`; a picture is never larger than its own points.
fn screenshot(image: &RgbImage, pixels: f32) -> RgbImage {
    page(image, [1366, 768, 74].map(|n| (n as f32 * pixels) as u32), 243, pixels).0
}

fn cut_screenshot(image: &RgbImage) -> RgbImage {
    let (page, [x, y, w, h]) = page(image, [1366, 768, 74], 243, 1.0);
    imageops::crop_imm(&page, x + w / 40, y + h / 30, w - w / 17, h - h / 20).to_image()
}

fn messenger(image: &RgbImage) -> RgbImage {
    let fit = (1600.0 / image.width().max(image.height()) as f32).min(1.0);
    jpeg(&scaled(image, fit, fit), 70)
}

fn phone(image: &RgbImage) -> RgbImage {
    page(image, [1080, 2340, 140], 18, f32::INFINITY).0
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

/// What colluders make of their copies: its name, with at most how many copies it gives a picture, and what it is.
pub type Collusion = (&'static str, usize, fn(&[RgbImage]) -> RgbImage);

/// All collusions, in the order of the table.
pub const COLLUSIONS: &[Collusion] = &[
    ("mean", 5, |copies| {
        combined(copies, |v| (v.iter().map(|v| f32::from(*v)).sum::<f32>() / v.len() as f32).round() as u8)
    }),
    ("median", 5, |copies| {
        combined(copies, |v| {
            v.sort_unstable();
            v[v.len() / 2]
        })
    }),
    ("mosaic", 5, mosaic),
    ("least", 3, |copies| combined(copies, |v| v.iter().copied().min().unwrap_or(0))),
    ("greatest", 3, |copies| combined(copies, |v| v.iter().copied().max().unwrap_or(0))),
    ("exclusive or (of 3)", 3, |copies| combined(copies, |v| v.iter().fold(0, |all, v| all ^ v))),
];

/// Copies combined pixel by pixel.
fn combined(copies: &[RgbImage], how: fn(&mut [u8]) -> u8) -> RgbImage {
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
fn mosaic(copies: &[RgbImage]) -> RgbImage {
    let mut out = copies[0].clone();
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let tile = (x / 56 + 7 * (y / 48)) as usize;
        *pixel = *copies[tile % copies.len()].get_pixel(x, y);
    }
    out
}
