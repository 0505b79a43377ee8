//! What becomes of each kind of picture: colours right, upright, nothing but pixels left.

use std::io::Cursor;

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{ImageBuffer, ImageEncoder, Luma, LumaA, Rgb, Rgba};
use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};
use moxcms::ColorProfile;

use super::*;
use crate::testing::samples;

fn pixels(bytes: &[u8]) -> Pixels {
    let limits = Limits::default();
    match Picture::open(bytes, &limits).unwrap() {
        Picture::Still(still) => still.rendition().unwrap(),
        Picture::Animation(_) => panic!("an animation"),
    }
}

fn written(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn assert_near(found: [u8; 3], wanted: [u8; 3], by: u8, what: &str) {
    let near = found.iter().zip(&wanted).all(|(a, b)| a.abs_diff(*b) <= by);
    assert!(near, "{what}: {found:?} instead of {wanted:?}");
}

/// A flat JPEG of four components, as given, with an Adobe marker that says what they are.
fn four_components(values: [u8; 4], transform: u8) -> Vec<u8> {
    let samples = values.repeat(16 * 16);
    let encoder = Encoder::new(&samples, 16, 16, PixelFormat::Cmyk).quality(100);
    let mut bytes = encoder.subsampling(Subsampling::S444).encode().unwrap();
    let marker = bytes.windows(5).position(|name| name == b"Adobe").expect("an Adobe marker");
    bytes[marker + 11] = transform;
    bytes
}

#[test]
fn cmyk_photographs_keep_their_colours() {
    // Adobe writes ink the wrong way round: 255 is none of it.
    for [c, m, y, k] in
        [[255, 0, 0, 255], [0, 255, 0, 255], [255; 4], [200, 100, 50, 128], [255, 255, 255, 0]]
    {
        let over = |ink: u8| (u32::from(ink) * u32::from(k) / 255) as u8;
        let found = pixels(&four_components([c, m, y, k], 0)).into_rgb().get_pixel(8, 8).0;
        assert_near(found, [c, m, y].map(over), 3, "CMYK");
    }
}

#[test]
fn so_do_those_that_hold_ink_as_luma_and_colour_differences() {
    // The differences are those of the ink's complement (ITU-T T.871).
    for [c, m, y, k] in [[255, 20, 20, 255], [20, 230, 60, 255], [200, 100, 50, 128]] {
        let [r, g, b] = [c, m, y].map(|ink: u8| 255.0 - f64::from(ink));
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        let ycck = [luma, 128.0 + (b - luma) / 1.772, 128.0 + (r - luma) / 1.402, f64::from(k)];
        let over = |ink: u8| (u32::from(ink) * u32::from(k) / 255) as u8;
        let found = pixels(&four_components(ycck.map(|v| v.round() as u8), 2)).into_rgb().get_pixel(8, 8).0;
        assert_near(found, [c, m, y].map(over), 4, "YCCK");
    }
}

/// A colour of Display P3 in sRGB, by the standards' own formulas.
fn p3_in_srgb(colour: [u8; 3]) -> [u8; 3] {
    let linear = colour.map(|v| {
        let v = f64::from(v) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    let rows = [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]];
    rows.map(|row: [f64; 3]| {
        let v: f64 = row.iter().zip(&linear).map(|(a, b)| a * b).sum::<f64>().clamp(0.0, 1.0);
        let v = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
        (255.0 * v).round() as u8
    })
}

#[test]
fn wide_gamut_photographs_look_right_in_srgb() {
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    for colour in [[180, 90, 70], [60, 140, 80], [90, 90, 90], [255, 0, 0], [40, 60, 200]] {
        let flat = RgbImage::from_pixel(16, 16, Rgb(colour));
        let (mut png, mut webp, mut jpeg) = (Vec::new(), Vec::new(), Vec::new());
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_icc_profile(profile.clone()).unwrap();
        encoder.write_image(&flat, 16, 16, image::ExtendedColorType::Rgb8).unwrap();
        let mut encoder = WebPEncoder::new_lossless(&mut webp);
        encoder.set_icc_profile(profile.clone()).unwrap();
        encoder.write_image(&flat, 16, 16, image::ExtendedColorType::Rgb8).unwrap();
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 100);
        encoder.set_icc_profile(profile.clone()).unwrap();
        encoder.write_image(&flat, 16, 16, image::ExtendedColorType::Rgb8).unwrap();
        for (name, file, by) in [("PNG", png, 2), ("WebP", webp, 2), ("JPEG", jpeg, 4)] {
            let found = pixels(&file).into_rgb().get_pixel(8, 8).0;
            assert_near(found, p3_in_srgb(colour), by, &format!("{name} of {colour:?}"));
        }
    }
}

#[test]
fn all_eight_orientations_come_upright() {
    // Every block of the stored picture has a colour of its own; where its pixel (x, y) is shown is Exif's definition.
    let (w, h) = (48, 32);
    let stored = RgbImage::from_fn(w, h, |x, y| Rgb([(x / 16 * 100) as u8, (y / 16 * 200) as u8, 60]));
    for orientation in 1..=8u8 {
        let shown = |x: u32, y: u32| match orientation {
            1 => (x, y),
            2 => (w - 1 - x, y),
            3 => (w - 1 - x, h - 1 - y),
            4 => (x, h - 1 - y),
            5 => (y, x),
            6 => (h - 1 - y, x),
            7 => (h - 1 - y, w - 1 - x),
            _ => (y, w - 1 - x),
        };
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        exif[18] = orientation;
        let encoder = Encoder::new(&stored, w as usize, h as usize, PixelFormat::Rgb).quality(100);
        let jpeg = encoder.subsampling(Subsampling::S444).exif_data(&exif).encode().unwrap();
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_exif_metadata(exif.clone()).unwrap();
        encoder.write_image(&stored, w, h, image::ExtendedColorType::Rgb8).unwrap();
        for (name, file) in [("JPEG", jpeg), ("PNG", png)] {
            let upright = pixels(&file).into_rgb();
            for (x, y) in [(8, 8), (24, 8), (40, 8), (8, 24), (24, 24), (40, 24)] {
                let (u, v) = shown(x, y);
                let found = upright.get_pixel(u, v).0;
                assert_near(
                    found,
                    stored.get_pixel(x, y).0,
                    4,
                    &format!("{name}, orientation {orientation}"),
                );
            }
        }
    }
}

#[test]
fn sixteen_bits_grey_and_palettes_become_eight_bits_of_colour() {
    let deep =
        ImageBuffer::from_fn(40, 3, |x, y| Rgb([x as u16 * 1600, y as u16 * 20_000, 40_000 - x as u16]));
    let found = pixels(&written(&DynamicImage::ImageRgb16(deep.clone()), ImageFormat::Png)).into_rgb();
    for (a, b) in found.pixels().zip(deep.pixels()) {
        assert_near(a.0, b.0.map(|v| (f64::from(v) / 257.0).round() as u8), 1, "16 bits");
    }
    let grey = ImageBuffer::from_fn(40, 3, |x, _| Luma([6 * x as u8]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let found = pixels(&written(&DynamicImage::ImageLuma8(grey.clone()), format)).into_rgb();
        let near =
            found.pixels().zip(grey.pixels()).all(|(a, b)| a.0.iter().all(|v| v.abs_diff(b.0[0]) < 12));
        assert!(near, "{format:?}");
        assert!(found.pixels().all(|p| p.0[0] == p.0[1] && p.0[1] == p.0[2]), "{format:?}");
    }
    let faint = ImageBuffer::from_fn(40, 3, |x, _| LumaA([u16::MAX, 1600 * x as u16]));
    match pixels(&written(&DynamicImage::ImageLumaA16(faint), ImageFormat::Png)) {
        Pixels::Alpha(found) => {
            assert_eq!(found.get_pixel(0, 0).0[3], 0);
            assert_near([found.get_pixel(20, 0).0[3]; 3], [125; 3], 1, "grey with transparency");
        }
        Pixels::Opaque(_) => panic!("transparency is lost"),
    }
    let palette = pixels(include_bytes!("samples/palette.png")).into_rgb();
    assert!(palette.pixels().any(|p| p.0[0] != p.0[2]), "a palette's colours");
}

#[test]
fn one_pixel_sides_and_tall_captures_are_taken() {
    for (width, height) in [(1, 1), (1, 300), (300, 1), (1, 9000)] {
        let image = DynamicImage::ImageRgb8(samples::photograph(width, height, 2));
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
            let size = pixels(&written(&image, format)).size();
            assert_eq!((size.width, size.height), (width, height.min(8192)), "{format:?}");
        }
    }
    let tall = samples::jpeg(&samples::flat_graphic(1080, 7000), 60);
    assert_eq!(pixels(&tall).size(), Size { width: 1080, height: 7000 });
}

#[test]
fn an_animated_png_is_its_first_picture() {
    // The default image comes before the animation's own frames, in chunks that decoders of stills pass over.
    let still = samples::png(&samples::photograph(30, 20, 3));
    let end = still.len() - 12;
    let control = png::chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]);
    let file = [&still[..33], &control, &still[33..end], &still[end..]].concat();
    assert_eq!(pixels(&file), pixels(&still));
}

#[test]
fn transparency_stays_where_it_was() {
    let image = ImageBuffer::from_fn(64, 64, |x, y| Rgba([200, 30, 30, if x > y { 255 } else { 51 }]));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        match pixels(&written(&DynamicImage::ImageRgba8(image.clone()), format)) {
            Pixels::Alpha(found) => assert_eq!(found, image, "{format:?}"),
            Pixels::Opaque(_) => panic!("{format:?}: transparency is lost"),
        }
    }
}
