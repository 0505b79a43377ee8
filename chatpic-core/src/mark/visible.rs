//! The visible mark: the session ID drawn on the image.
//!
//! The label repeats on a grid so close that a part of the image holds a whole one: each half by half from 388 pixels of
//! width, each full-width strip of a quarter from [`STRIPS`] pixels of width, each full-height one from [`COLUMNS`]. Where
//! labels would have to touch for that, as many are drawn as fit. An image under 192 x 72 pixels is set on a ground with
//! the ID below it.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use serde::{Deserialize, Serialize};

use super::label::{Label, LabelPixel};
use super::record::Size;
use crate::intake::Pixels;

/// Glyphs of `ID:0-9A-F` and `UPLOADER` from DejaVu Sans Mono Bold.
static FONT: &[u8] = include_bytes!("../../assets/id.ttf");

/// Letters in the longest label.
const LETTERS: f32 = 11.0;
/// Width of a letter with its spacing, as a share of a capital's height.
const LETTER_WIDTH: f32 = 0.826;
/// Height of a capital as a share of the font's scale.
const CAPITAL: f32 = 0.626;
/// The lowest letters that can be read, in pixels.
const LEAST_HEIGHT: f32 = 10.0;
/// Pixels that the outline adds on every side.
const OUTLINE: u32 = 1;
/// The ground on which a small image is set.
const GROUND: u8 = 32;

/// How the session ID is drawn.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VisibleMark {
    /// How opaque the letters are, 0 to 1.
    pub opacity: f32,
    /// Width of a label as a share of the image's width, 0 to 0.2; letters never get too small to be read.
    pub size: f32,
}

impl Default for VisibleMark {
    fn default() -> Self {
        Self { opacity: 0.42, size: 0.11 }
    }
}

/// Width in pixels from which each full-width strip of a quarter holds a label.
const STRIPS: u32 = 500;
/// Width in pixels from which each full-height strip of a quarter holds a label.
const COLUMNS: u32 = 1000;

/// Height of the band below an image that is too small.
const BAND: u32 = 18;
/// Width that a label needs at the least, with the smallest letters.
const LEAST_WIDTH: u32 = 96;
/// Sides under which an image is set on a ground.
const SMALL: Size = Size { width: 2 * LEAST_WIDTH, height: 4 * BAND };

impl VisibleMark {
    /// Sets an image that is too small for labels on a ground with room for the ID below; others pass unchanged.
    /// Says whether it did.
    pub fn frame(&self, pixels: Pixels) -> (Pixels, bool) {
        let size = pixels.size();
        if size.width >= SMALL.width && size.height >= SMALL.height {
            return (pixels, false);
        }
        let (width, height) = (size.width.max(LEAST_WIDTH), size.height + BAND);
        let left = i64::from((width - size.width) / 2);
        let framed = match pixels {
            Pixels::Opaque(image) => {
                let mut framed = RgbImage::from_pixel(width, height, Rgb([GROUND; 3]));
                image::imageops::replace(&mut framed, &image, left, 0);
                Pixels::Opaque(framed)
            }
            Pixels::Alpha(image) => {
                let mut framed = RgbaImage::from_pixel(width, height, Rgba([GROUND, GROUND, GROUND, 255]));
                image::imageops::replace(&mut framed, &image, left, 0);
                Pixels::Alpha(framed)
            }
        };
        (framed, true)
    }

    /// The labels of `text` on an image of this size; a framed one has a single label in its band.
    pub fn labels(&self, text: &str, size: Size, framed: bool) -> Vec<Label> {
        if framed {
            let mut label = draw(text, LEAST_HEIGHT, 1.0);
            let band = BAND.min(size.height);
            label.x = size.width.saturating_sub(label.width) / 2;
            label.y = size.height - band + band.saturating_sub(label.height) / 2;
            return vec![cut(label, size)];
        }
        let wanted = size.width as f32 * self.size.clamp(0.0, 0.2) / (LETTERS * LETTER_WIDTH);
        let most = (size.height as f32 / 10.0).max(LEAST_HEIGHT);
        let label = draw(text, wanted.clamp(LEAST_HEIGHT, most), self.opacity);
        let part = |side: u32, from: u32| if size.width < from { side / 2 } else { side / 4 };
        let columns = positions(size.width, part(size.width, COLUMNS), label.width, 8);
        let rows = positions(size.height, part(size.height, STRIPS), label.height, 16);
        let place = |y: u32| columns.iter().map(move |x| (*x, y));
        rows.iter().flat_map(|y| place(*y)).map(|(x, y)| Label { x, y, ..label.clone() }).collect()
    }
}

/// Left or upper edges of labels along a side, so that any `part` of the side holds a whole one if one fits: it does when
/// it is as long as a step and a label.
fn positions(side: u32, part: u32, label: u32, align: u32) -> Vec<u32> {
    let step = part.saturating_sub(label).max(label + align) / align * align;
    let mut edges = Vec::new();
    let mut at = step.min(part.saturating_sub(label)) / 2 / align * align;
    while at + label <= side {
        edges.push(at);
        at += step;
    }
    edges
}

/// Draws a text in white with a dark outline.
fn draw(text: &str, letter: f32, opacity: f32) -> Label {
    let Ok(font) = FontRef::try_from_slice(FONT) else {
        return Label { x: 0, y: 0, width: 0, height: 0, pixels: Vec::new() };
    };
    let scale = PxScale::from(letter / CAPITAL);
    let scaled = font.as_scaled(scale);
    let advance = scaled.h_advance(scaled.glyph_id('0'));
    let width = (advance * text.chars().count() as f32).ceil() as u32 + 2 * OUTLINE;
    let height = letter.ceil() as u32 + 2 * OUTLINE + 1;
    let mut coverage = vec![0f32; (width * height) as usize];
    for (place, character) in text.chars().enumerate() {
        let origin = point(OUTLINE as f32 + advance * place as f32, OUTLINE as f32 + letter);
        let glyph = scaled.glyph_id(character).with_scale_and_position(scale, origin);
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let bounds = outline.px_bounds();
        outline.draw(|x, y, covered| {
            let (x, y) = (x as i32 + bounds.min.x as i32, y as i32 + bounds.min.y as i32);
            if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
                && x < width
                && y < height
            {
                let at = (y * width + x) as usize;
                coverage[at] = coverage[at].max(covered);
            }
        });
    }
    let covered = |x: i64, y: i64| {
        let inside = (0..i64::from(width)).contains(&x) && (0..i64::from(height)).contains(&y);
        if inside { coverage[(y * i64::from(width) + x) as usize] } else { 0.0 }
    };
    let pixel = |x: i64, y: i64| {
        let letter = covered(x, y);
        let near = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy)));
        let edge = near.map(|(dx, dy)| covered(x + dx, y + dy)).fold(0.0, f32::max);
        let weight = opacity * (letter + (1.0 - letter) * edge * 0.75);
        let luma = if edge > 0.0 { 255.0 * letter / (letter + (1.0 - letter) * edge * 0.75) } else { 0.0 };
        LabelPixel { luma: luma as u8, weight: (255.0 * weight.clamp(0.0, 1.0)) as u8 }
    };
    let pixels = (0..i64::from(height)).flat_map(|y| (0..i64::from(width)).map(move |x| (x, y)));
    Label { x: 0, y: 0, width, height, pixels: pixels.map(|(x, y)| pixel(x, y)).collect() }
}

/// The part of a label that lies within the image.
fn cut(label: Label, size: Size) -> Label {
    let width = label.width.min(size.width.saturating_sub(label.x));
    let height = label.height.min(size.height.saturating_sub(label.y));
    let row = |y: u32| {
        let start = (y * label.width) as usize;
        label.pixels[start..start + width as usize].to_vec()
    };
    let pixels = (0..height).flat_map(row).collect();
    Label { width, height, pixels, ..label }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "ID:E64F44F6";

    proptest! {
        #[test]
        fn every_quarter_holds_a_whole_label(
            width in 388u32..2048,
            height in 300u32..2048,
            x in 0f64..1.0,
            y in 0f64..1.0,
        ) {
            let labels = VisibleMark::default().labels(TEXT, Size { width, height }, false);
            let (lw, lh) = (labels[0].width, labels[0].height);
            let parts = [((width / 2, height / 2), 0), ((width, height / 4), STRIPS), ((width / 4, height), COLUMNS)];
            for ((w, h), from) in parts {
                if width < from {
                    continue;
                }
                if w < 2 * lw + 8 || h < 2 * lh + 16 {
                    // Labels can't stand so close without touching.
                    prop_assert!(h < 2 * lh + 16, "{width}x{height}: a label is too wide");
                    continue;
                }
                let left = (x * f64::from(width - w)) as u32;
                let top = (y * f64::from(height - h)) as u32;
                let whole = labels.iter().any(|label| {
                    label.x >= left && label.x + lw <= left + w && label.y >= top && label.y + lh <= top + h
                });
                prop_assert!(whole, "{width}x{height}: none in {w}x{h} at {left},{top}");
            }
        }

        #[test]
        fn labels_lie_within_the_image(width in 1u32..900, height in 1u32..900) {
            let mark = VisibleMark::default();
            let (pixels, is_framed) = mark.frame(Pixels::Opaque(RgbImage::new(width, height)));
            let framed = pixels.size();
            let labels = mark.labels(TEXT, framed, is_framed);
            prop_assert!(!labels.is_empty());
            let whole = draw(TEXT, LEAST_HEIGHT, 1.0);
            for label in labels {
                prop_assert!(label.width >= whole.width && label.height >= whole.height, "cut off");
                prop_assert!(label.x + label.width <= framed.width && label.y + label.height <= framed.height);
                prop_assert_eq!(label.pixels.len() as u32, label.width * label.height);
            }
        }
    }

    #[test]
    fn letters_show_on_black_white_and_grey() {
        let label = &VisibleMark::default().labels(TEXT, Size { width: 1200, height: 800 }, false)[0];
        for under in [0u8, 128, 255] {
            let drawn: Vec<u8> = label.pixels.iter().map(|pixel| pixel.over(under)).collect();
            let changed = drawn.iter().filter(|v| v.abs_diff(under) > 40).count();
            assert!(changed > drawn.len() / 20, "{under}: {changed} of {}", drawn.len());
        }
    }

    #[test]
    fn different_texts_draw_differently() {
        let size = Size { width: 800, height: 600 };
        let mark = VisibleMark::default();
        assert_ne!(mark.labels("ID:00000001", size, false), mark.labels("ID:00000002", size, false));
    }
}
