//! Drawing the mark into pixels: the common base of all copies and the step that spells the codeword.

use image::{RgbImage, RgbaImage};

use super::carrier::{Noise, Pilot, faded_rms, taper};
use super::chips;
use super::code::codeword;
use super::correlate::Correlator;
use super::key::ImageKey;
use super::label::Label;
use super::layout::Layout;
use super::plane::Plane;
use super::record::{Chroma, MarkError, MarkRecord, Size};
use super::selftest;
use super::shape::{coarse_alpha, flat_fraction, flatness};
use crate::id::SessionId;
use crate::transparency::{draw, drawn_on, ground, lift, settle, shining_through};

/// The pilot's share of the mark's rms amplitude; the carrier's is `sqrt(1 - PILOT^2)`. Where a leak is placed, its
/// codeword is read with plenty to spare: the pilot is what a poor leak loses first.
const PILOT: f32 = 0.76;
const DATA: f32 = 0.65;
/// The share of the host's own correlation that is cancelled.
const CANCEL: f32 = 0.8;
/// Images with a shorter side, in pixels, carry no forensic mark.
const SHORTEST: u32 = 96;
/// Images with a larger share of flat blocks carry no forensic mark.
const FLATTEST: f32 = 0.98;

/// The luma of the two variants every copy is composed of: `base + step` (A) and `base - step` (B).
///
/// The base is the image plus the pilot plus, per segment, a bounded multiple of the carrier that cancels the image's
/// own correlation with it (informed embedding: Malvar and Florencio, "Improved spread spectrum", 2003). It says
/// nothing about the recipient.
pub(crate) struct Variants {
    pub layout: Layout,
    pub base: Plane,
    pub step: Plane,
}

/// What the variants of an image are made of, whatever their strength.
pub(crate) struct Host {
    layout: Layout,
    /// The image with room for white and black grounds to swing both ways.
    luma: Plane,
    /// The pilot and, before it is faded out at the segments' edges, the step, on the grid of `noise`.
    pilot: Plane,
    step: Plane,
    noise: Noise,
    correlator: Correlator,
    /// The most that is cancelled, in steps.
    bound: f32,
}

impl Host {
    /// Prepares the variants of rendition `index` of `record`; `luma` has its size.
    pub fn new(luma: &Plane, key: &ImageKey, record: &MarkRecord, index: usize) -> Result<Self, MarkError> {
        let size = *record.sizes.get(index).ok_or(MarkError::Record)?;
        if (size.width as usize, size.height as usize) != (luma.width, luma.height) {
            return Err(MarkError::Record);
        }
        let layout = Layout::new(size, record.chroma);
        let noise = Noise::new(key, index, size);
        let pilot = Pilot::new(key, &record.sizes).scaled(size).draw_every(noise.step);
        let flat = flatness(luma);
        let alpha = coarse_alpha(luma, flat);
        let alpha = if noise.step == 2 { alpha } else { alpha.doubled(luma.width, luma.height) };
        // Faded edges take power away, which the rest makes up for.
        let gain = DATA / faded_rms(&layout);
        let pilot = pilot.zip_map(&alpha, |p, a| PILOT * a * p);
        let step = alpha.clone().zip_map(&noise.plane, |a, w| gain * a * w);
        let luma = luma.clone().map(|v| v.clamp(2.0, 253.0));
        // Flat images take less cancellation, since their segments' own correlation is small and its remedy is seen.
        let bound = 1.5 - 0.7 * flat;
        let correlator = Correlator::new(&noise, &alpha, gain, &layout);
        Ok(Self { layout, luma, pilot, step, noise, correlator, bound })
    }

    /// The variants at a strength.
    pub fn variants(&self, strength: f32) -> Variants {
        let size = self.layout.size;
        let pilot = self.pilot.clone().map(|p| strength * p);
        let coarse = if self.noise.step == 2 { self.luma.halved() } else { self.luma.clone() };
        let (y, d) = self.correlator.read(&coarse.zip_map(&pilot, |v, p| v + p));
        let cancel = |(y, d): (&f32, &f32)| -CANCEL * y / (d * strength).max(1e-6);
        let host: Vec<f32> = y.iter().zip(&d).map(cancel).map(|h| h.clamp(-self.bound, self.bound)).collect();

        let mut step = self.noise.full(self.step.clone().map(|s| strength * s), size);
        taper(&mut step, &self.layout);
        let mut base = self.noise.full(pilot, size).zip_map(&self.luma, |p, v| p + v);
        add_signed(&mut base, &step, &self.layout, |segment| host[segment]);
        Variants { layout: self.layout.clone(), base, step }
    }
}

impl Host {
    /// The segments' readings, weighed for comparison with a codeword, of a leak scaled to the size of the image or to
    /// half of it.
    pub fn chips(&self, leak: &Plane) -> Vec<f32> {
        let size = self.layout.size;
        let is_half = leak.width < size.width as usize;
        let (y, d) = match (self.noise.step, is_half) {
            (2, true) | (1, false) => self.correlator.read(leak),
            (2, false) => self.correlator.read(&leak.halved()),
            _ => self.correlator.read(&leak.doubled(size.width as usize, size.height as usize)),
        };
        chips::weigh(&y, &d)
    }
}

impl Variants {
    /// The luma with segment `j` taken at `sign(j)` times the step.
    pub fn with_signs(&self, sign: impl Fn(usize) -> f32) -> Plane {
        let mut luma = self.base.clone();
        add_signed(&mut luma, &self.step, &self.layout, sign);
        luma
    }
}

/// Adds `step` times a factor per segment to `plane`.
fn add_signed(plane: &mut Plane, step: &Plane, layout: &Layout, factor: impl Fn(usize) -> f32) {
    let width = plane.width;
    for (y, line) in plane.data.chunks_exact_mut(width.max(1)).enumerate() {
        for (segment, start, end) in layout.spans(y) {
            let factor = factor(segment);
            for (out, step) in line[start..end].iter_mut().zip(&step.row(y)[start..end]) {
                *out += factor * step;
            }
        }
    }
}

/// The image with its luma moved from `old` to `new`: the same whole number of grey levels on red, green and blue, so
/// that colour differences stay.
pub(crate) fn move_luma(image: &RgbImage, old: &Plane, new: impl Iterator<Item = f32>) -> RgbImage {
    // Rounded by way of a positive number, which needs no call; a mark moves luma by far less than 128 levels.
    let shifts =
        old.data.iter().zip(new).map(|(old, new)| ((new - old + 128.5) as u8).wrapping_sub(128) as i8);
    let mut out = image.clone();
    for (pixel, shift) in out.chunks_exact_mut(3).zip(shifts) {
        let (up, down) = (shift.max(0) as u8, shift.min(0).unsigned_abs());
        pixel.iter_mut().for_each(|v| *v = v.saturating_add(up).saturating_sub(down));
    }
    out
}

/// The record of an image that is to be served in its own size and scaled down to `widths`, without marking it yet.
/// Widths not below the image's own are left out, and so are those too small for a mark. The strength and its margin
/// come from marking the image on trial and reading a poor leak of it.
///
/// # Errors
/// [`MarkError::TooSmall`] below 96 pixels on the short side, [`MarkError::TooFlat`] for a single-coloured image.
pub fn record(image: &RgbImage, widths: &[u32], key: &ImageKey) -> Result<MarkRecord, MarkError> {
    let full = Size { width: image.width(), height: image.height() };
    if !carries(full) {
        return Err(MarkError::TooSmall);
    }
    let luma = Plane::from_luma(image);
    let flat = flat_fraction(&luma);
    if flat > FLATTEST {
        return Err(MarkError::TooFlat);
    }
    let mut sizes = vec![full];
    sizes.extend(smaller_sizes(full, widths).into_iter().filter(|&size| carries(size)));
    measured(&luma, key, unmeasured(sizes, chroma(full, flat)), |marked| marked)
}

/// A record of the strength that suits the image; `shown` is what a copy shows of marked luma.
fn measured(
    luma: &Plane,
    key: &ImageKey,
    record: MarkRecord,
    shown: impl Fn(Plane) -> Plane,
) -> Result<MarkRecord, MarkError> {
    let (strength, margin) = selftest::strength(luma, key, &record, shown)?;
    Ok(MarkRecord { strength, margin: Some(margin), ..record })
}

fn unmeasured(sizes: Vec<Size>, chroma: Chroma) -> MarkRecord {
    MarkRecord { version: MarkRecord::VERSION, sizes, strength: 1.0, chroma, margin: None }
}

/// The record of an image that is marked pixel by pixel for each session, in the sizes it is served in, the full one
/// first; `None` when one of them is too small to carry a mark. A trace without the original needs no more.
pub fn record_of(sizes: &[Size]) -> Option<MarkRecord> {
    let full = *sizes.first()?;
    sizes.iter().all(|size| carries(*size)).then(|| unmeasured(sizes.to_vec(), chroma(full, 0.0)))
}

/// The chroma resolution for an image: full for drawings, screens and small images.
pub(crate) fn chroma(full: Size, flat: f32) -> Chroma {
    if flat > 0.3 || full.pixels() < 250_000 { Chroma::Full } else { Chroma::Half }
}

/// Whether an image of this size is large enough to carry the mark.
pub(crate) fn carries(size: Size) -> bool {
    size.width.min(size.height) >= SHORTEST
}

/// The sizes of the renditions below the full one, the widest first.
pub(crate) fn smaller_sizes(full: Size, widths: &[u32]) -> Vec<Size> {
    let mut widths: Vec<u32> = widths.iter().copied().filter(|&w| w > 0 && w < full.width).collect();
    widths.sort_unstable_by(|a, b| b.cmp(a));
    widths.dedup();
    let height =
        |w: u32| ((f64::from(full.height) * f64::from(w) / f64::from(full.width)).round() as u32).max(1);
    widths.into_iter().map(|width| Size { width, height: height(width) }).collect()
}

/// The pixels of variants A and B of rendition `index`.
pub(crate) fn pair(
    image: &RgbImage,
    key: &ImageKey,
    record: &MarkRecord,
    index: usize,
) -> Result<[RgbImage; 2], MarkError> {
    let luma = Plane::from_luma(image);
    let variants = Host::new(&luma, key, record, index)?.variants(record.strength);
    let draw = |sign: f32| {
        let steps = variants.base.data.iter().zip(&variants.step.data);
        move_luma(image, &luma, steps.map(|(base, step)| base + sign * step))
    };
    Ok([draw(1.0), draw(-1.0)])
}

/// Marks rendition `index` of `record` directly, pixel by pixel: what a spliced copy shows before JPEG.
///
/// # Errors
/// [`MarkError::Record`] if the record has no such rendition or it has another size than `image`.
pub fn embed_with(
    image: &RgbImage,
    key: &ImageKey,
    session: SessionId,
    record: &MarkRecord,
    index: usize,
) -> Result<RgbImage, MarkError> {
    let luma = Plane::from_luma(image);
    let variants = Host::new(&luma, key, record, index)?.variants(record.strength);
    let code = codeword(key, index, session, variants.layout.segments);
    let marked = variants.with_signs(|j| code.sign(j));
    Ok(move_luma(image, &luma, marked.data.into_iter()))
}

/// The record of an image that is marked pixel by pixel and served in its own size only, with the strength and margin
/// that a trial found. But for these two it follows from the size.
///
/// # Errors
/// [`MarkError::TooSmall`] below 96 pixels on the short side, [`MarkError::Unreadable`].
pub fn record_of_pixels(image: &RgbImage, key: &ImageKey) -> Result<MarkRecord, MarkError> {
    let size = Size { width: image.width(), height: image.height() };
    let record = record_of(&[size]).ok_or(MarkError::TooSmall)?;
    measured(&Plane::from_luma(image), key, record, |marked| marked)
}

/// The record of an image with transparency, which is marked pixel by pixel, in the sizes it is served in, the full one
/// first. The trial reads what shows of the mark on white, or on black where white would hide the image.
///
/// # Errors
/// [`MarkError::TooSmall`] when a size has less than 96 pixels on the short side, [`MarkError::Unreadable`].
pub fn record_rgba(image: &RgbaImage, sizes: &[Size], key: &ImageKey) -> Result<MarkRecord, MarkError> {
    let record = record_of(sizes).ok_or(MarkError::TooSmall)?;
    let ground = ground(image);
    let luma = Plane::from_luma(&drawn_on(ground, image));
    let shown = |mut marked: Plane| {
        for (v, pixel) in marked.data.iter_mut().zip(image.pixels()) {
            let alpha = pixel.0[3];
            let least = f32::from(shining_through(ground, alpha));
            *v = v.clamp(least, least + f32::from(alpha));
        }
        marked
    };
    measured(&luma, key, record, shown)
}

/// Marks an image that is served in its own size only.
///
/// # Errors
/// As [`record_of_pixels`].
pub fn embed_rgb(image: &RgbImage, key: &ImageKey, session: SessionId) -> Result<RgbImage, MarkError> {
    embed_with(image, key, session, &record_of_pixels(image, key)?, 0)
}

/// Marks an image with transparency that is served in its own size only, as [`copy_rgba`] does.
///
/// # Errors
/// As [`record_rgba`].
pub fn embed_rgba(image: &RgbaImage, key: &ImageKey, session: SessionId) -> Result<RgbaImage, MarkError> {
    let size = Size { width: image.width(), height: image.height() };
    let record = record_rgba(image, &[size], key)?;
    copy_rgba(image.clone(), Some(&record), 0, key, session, &[])
}

/// A session's copy of an image with transparency: rendition `index` of `record`, if there is one, marked; labels
/// drawn over it. The alpha plane stays otherwise, and colours that it hides are black.
///
/// The image is marked as it shows on a ground, which is taken away again.
///
/// # Errors
/// As [`embed_with`].
pub fn copy_rgba(
    mut image: RgbaImage,
    record: Option<&MarkRecord>,
    index: usize,
    key: &ImageKey,
    session: SessionId,
    labels: &[Label],
) -> Result<RgbaImage, MarkError> {
    match record {
        None => settle(&mut image),
        Some(record) => {
            let ground = ground(&image);
            let marked = embed_with(&drawn_on(ground, &image), key, session, record, index)?;
            lift(&mut image, &marked, ground);
        }
    }
    for (x, y, label) in labels.iter().flat_map(Label::places) {
        if let Some(pixel) = image.get_pixel_mut_checked(x, y) {
            draw(&mut pixel.0, label.luma, label.weight);
        }
    }
    Ok(image)
}

#[cfg(test)]
pub(crate) mod tests {
    use image::Rgb;

    use super::*;
    use crate::mark::MarkKey;
    use crate::mark::plane::tests::uniform;
    use crate::testing::samples;

    /// A textured picture with smooth regions, edges and colour.
    pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
        let mut uniform = uniform(1);
        let mut plane = Plane::new(width as usize, height as usize);
        plane.data.iter_mut().for_each(|v| *v = uniform());
        let (fine, coarse) = (plane.gaussian(1.0), plane.gaussian(9.0));
        RgbImage::from_fn(width, height, |x, y| {
            let i = (y * width + x) as usize;
            let busy = (x as f32 / width as f32 * 6.0).sin().abs();
            let v = 120.0
                + 900.0 * coarse.data[i]
                + 90.0 * busy * fine.data[i]
                + if (x / 90 + y / 70) % 2 == 0 { 30.0 } else { 0.0 };
            Rgb([v, v * 0.9 + 10.0, 0.5 * v + 60.0].map(|v| v.clamp(0.0, 255.0) as u8))
        })
    }

    pub(crate) fn key() -> ImageKey {
        MarkKey::new([9; 32]).image(b"picture")
    }

    #[test]
    fn the_recipient_is_read_after_a_strong_jpeg_and_others_are_not() {
        let image = picture(768, 512);
        let record = record(&image, &[], &key()).unwrap();
        let marked = embed_rgb(&image, &key(), SessionId(42)).unwrap();
        let jpeg = crate::mark::jpeg::encode_at(&marked, record.chroma, 0, 70).unwrap();
        let leak = crate::mark::jpeg::decode(&jpeg).unwrap();
        let score = |session| selftest::aligned_score(&leak, &key(), SessionId(session), &record);
        assert!(score(42) > 12.0, "{}", score(42));
        assert!((0..40).all(|other| score(other).abs() < 5.0));
    }

    #[test]
    fn the_mark_is_faint() {
        let image = picture(320, 240);
        let marked = embed_rgb(&image, &key(), SessionId(1)).unwrap();
        let square: u64 =
            image.as_raw().iter().zip(marked.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
        let psnr = 10.0 * (255.0f64.powi(2) * image.as_raw().len() as f64 / square as f64).log10();
        assert!((40.0..50.0).contains(&psnr), "{psnr}");
    }

    #[test]
    fn transparency_is_kept() {
        let colours = picture(320, 240);
        let image = RgbaImage::from_fn(320, 240, |x, y| {
            let [r, g, b] = colours.get_pixel(x, y).0;
            image::Rgba([r, g, b, (x + y) as u8])
        });
        let marked = embed_rgba(&image, &key(), SessionId(1)).unwrap();
        assert!(image.pixels().zip(marked.pixels()).all(|(a, b)| a[3] == b[3]));
        assert_ne!(image, marked);
    }

    #[test]
    fn a_sticker_names_its_recipient_on_white_and_on_black() {
        let image = samples::sticker(640, 480, 3);
        let size = Size { width: 640, height: 480 };
        let record = record_rgba(&image, &[size], &key()).unwrap();
        let marked = copy_rgba(image.clone(), Some(&record), 0, &key(), SessionId(42), &[]).unwrap();
        for ground in [255, 0] {
            let shown = drawn_on(ground, &marked);
            let leak = crate::mark::jpeg::encode_at(&shown, record.chroma, 0, 75).unwrap();
            let leak = crate::mark::jpeg::decode(&leak).unwrap();
            let score = selftest::aligned_score(&leak, &key(), SessionId(42), &record);
            assert!(score > 9.0, "{ground}: {score}");
        }
        for (before, after) in image.pixels().zip(marked.pixels()) {
            assert!(before.0[3] == after.0[3] && (after.0[3] > 0 || after.0 == [0; 4]));
        }
    }

    #[test]
    fn a_trial_reads_what_is_served_not_the_picture_on_white() {
        // Black ink has no colour to move.
        let image = samples::ink(&samples::page(640, 480), [0; 3]);
        assert!(record(&drawn_on(255, &image), &[], &key()).is_ok());
        let size = Size { width: 640, height: 480 };
        assert_eq!(record_rgba(&image, &[size], &key()), Err(MarkError::Unreadable));
    }

    #[test]
    fn images_that_cannot_carry_a_mark_are_refused() {
        assert_eq!(record(&picture(400, 95), &[], &key()), Err(MarkError::TooSmall));
        assert_eq!(record(&RgbImage::new(200, 200), &[], &key()), Err(MarkError::TooFlat));
    }
}
