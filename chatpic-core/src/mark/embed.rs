//! Drawing the mark into pixels: the common base of all copies and the step that spells the codeword.

use image::{Rgb, RgbImage, RgbaImage};

use super::carrier::{Carrier, Pilot};
use super::chips;
use super::code::codeword;
use super::key::ImageKey;
use super::label::Label;
use super::plane::Plane;
use super::record::{Chroma, MarkError, MarkRecord, Size};
use super::shape::{Floor, alpha, flat_fraction};
use crate::id::SessionId;

/// The pilot's share of the mark's rms amplitude; the carrier's is `sqrt(1 - PILOT^2)`.
const PILOT: f32 = 0.6;
const DATA: f32 = 0.8;
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
    pub base: Plane,
    pub step: Plane,
}

impl Variants {
    /// The variants of an image with the given luma; `pilot` and `carrier` are drawn for its size.
    pub fn new(luma: &Plane, pilot: &Pilot, carrier: &Carrier, strength: f32) -> Self {
        let alpha = alpha(luma, Floor::Adaptive).map(|a| a * strength);
        // Flat images take less cancellation, since their segments' own correlation is small and its remedy is seen.
        let bound = 1.5 - 0.7 * (flat_fraction(luma) / 0.3).min(1.0);
        // White and black grounds get room to swing both ways.
        let room = luma.map(|v| v.clamp(2.0, 253.0));
        let mut base = room.zip_map(&alpha.zip_map(&pilot.draw(), |a, p| PILOT * a * p), |v, p| v + p);
        let step = alpha.zip_map(&carrier.w, |a, w| DATA * a * w);
        let (y, d) = chips::statistic(&base, carrier, &alpha, None);
        let cancel = |(&y, &d): (&f32, &f32)| (-CANCEL * y / (d * DATA).max(1e-6)).clamp(-bound, bound);
        let host: Vec<f32> = y.iter().zip(&d).map(cancel).collect();
        add_signed(&mut base, &step, carrier, |segment| host[segment]);
        Self { base, step }
    }

    /// The luma with segment `j` taken at `sign(j)` times the step.
    pub fn with_signs(&self, carrier: &Carrier, sign: impl Fn(usize) -> f32) -> Plane {
        let mut luma = self.base.clone();
        add_signed(&mut luma, &self.step, carrier, sign);
        luma
    }
}

/// Adds `step` times a factor per segment to `plane`.
fn add_signed(plane: &mut Plane, step: &Plane, carrier: &Carrier, factor: impl Fn(usize) -> f32) {
    let width = plane.width;
    for (y, line) in plane.data.chunks_exact_mut(width.max(1)).enumerate() {
        for (segment, start, end) in carrier.layout.spans(y) {
            let factor = factor(segment);
            for (out, step) in line[start..end].iter_mut().zip(&step.row(y)[start..end]) {
                *out += factor * step;
            }
        }
    }
}

/// The image with its luma moved from `old` to `new`: the same whole number of grey levels on red, green and blue, so
/// that colour differences stay.
pub(crate) fn move_luma(image: &RgbImage, old: &Plane, new: &Plane) -> RgbImage {
    let mut out = image.clone();
    for (pixel, (old, new)) in out.pixels_mut().zip(old.data.iter().zip(&new.data)) {
        let delta = (new - old).round() as i16;
        *pixel = Rgb(pixel.0.map(|v| (i16::from(v) + delta).clamp(0, 255) as u8));
    }
    out
}

/// The record of an image that is to be served in its own size and scaled down to `widths`, without marking it yet.
/// Widths not below the image's own are left out, and so are those too small for a mark.
///
/// # Errors
/// [`MarkError::TooSmall`] below 96 pixels on the short side, [`MarkError::TooFlat`] for a single-coloured image.
pub fn record(image: &RgbImage, widths: &[u32]) -> Result<MarkRecord, MarkError> {
    let full = Size { width: image.width(), height: image.height() };
    if !carries(full) {
        return Err(MarkError::TooSmall);
    }
    let flat = flat_fraction(&Plane::from_luma(image));
    if flat > FLATTEST {
        return Err(MarkError::TooFlat);
    }
    let mut sizes = vec![full];
    sizes.extend(smaller_sizes(full, widths).into_iter().filter(|&size| carries(size)));
    Ok(MarkRecord {
        version: MarkRecord::VERSION,
        sizes,
        strength: 1.0,
        chroma: chroma(full, flat),
        margin: None,
    })
}

/// The record of an image that is marked pixel by pixel for each session, in the sizes it is served in, the full one
/// first; `None` when it is too small to carry a mark.
pub fn record_of(sizes: &[Size]) -> Option<MarkRecord> {
    let full = *sizes.first()?;
    let carries = carries(full);
    carries.then(|| MarkRecord {
        version: MarkRecord::VERSION,
        sizes: sizes.to_vec(),
        strength: 1.0,
        chroma: chroma(full, 0.0),
        margin: None,
    })
}

/// The chroma resolution for an image: full for drawings, screens and small images.
pub(crate) fn chroma(full: Size, flat: f32) -> Chroma {
    if flat > 0.3 || full.pixels() < 250_000 { Chroma::Full } else { Chroma::Half }
}

fn carries(size: Size) -> bool {
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

/// The carrier and the scaled pilot of rendition `index` of a record.
fn patterns(key: &ImageKey, record: &MarkRecord, index: usize) -> Result<(Pilot, Carrier), MarkError> {
    let size = *record.sizes.get(index).ok_or(MarkError::Record)?;
    let pilot = Pilot::new(key, &record.sizes).scaled(size);
    Ok((pilot, Carrier::new(key, index, size, record.chroma)))
}

/// The pixels of variants A and B of rendition `index`, and the cut into segments.
pub(crate) fn pair(
    image: &RgbImage,
    key: &ImageKey,
    record: &MarkRecord,
    index: usize,
) -> Result<([RgbImage; 2], Carrier), MarkError> {
    let (pilot, carrier) = patterns(key, record, index)?;
    if (pilot.size.width, pilot.size.height) != image.dimensions() {
        return Err(MarkError::Record);
    }
    let luma = Plane::from_luma(image);
    let variants = Variants::new(&luma, &pilot, &carrier, record.strength);
    let draw = |sign: f32| {
        move_luma(image, &luma, &variants.base.zip_map(&variants.step, |base, step| base + sign * step))
    };
    Ok(([draw(1.0), draw(-1.0)], carrier))
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
    let (pilot, carrier) = patterns(key, record, index)?;
    if (pilot.size.width, pilot.size.height) != image.dimensions() {
        return Err(MarkError::Record);
    }
    let luma = Plane::from_luma(image);
    let variants = Variants::new(&luma, &pilot, &carrier, record.strength);
    let code = codeword(key, index, session, carrier.layout.segments);
    Ok(move_luma(image, &luma, &variants.with_signs(&carrier, |j| code.sign(j))))
}

/// Marks an image that is served in one size only; the ledger keeps `record(image, &[])`.
///
/// # Errors
/// As [`record`].
pub fn embed_rgb(image: &RgbImage, key: &ImageKey, session: SessionId) -> Result<RgbImage, MarkError> {
    let size = Size { width: image.width(), height: image.height() };
    embed_with(image, key, session, &record_of(&[size]).ok_or(MarkError::TooSmall)?, 0)
}

/// Marks the colours of an image with transparency as [`embed_rgb`] does and keeps its alpha plane. The record is that
/// of the colours alone.
///
/// # Errors
/// As [`record`].
pub fn embed_rgba(image: &RgbaImage, key: &ImageKey, session: SessionId) -> Result<RgbaImage, MarkError> {
    let size = Size { width: image.width(), height: image.height() };
    let record = record_of(&[size]).ok_or(MarkError::TooSmall)?;
    copy_rgba(image.clone(), Some(&record), 0, key, session, &[])
}

/// A session's copy of an image with transparency: rendition `index` of `record`, if there is one, marked; labels
/// drawn, and opaque where they are. The alpha plane stays otherwise.
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
    if let Some(record) = record {
        let colours = RgbImage::from_fn(image.width(), image.height(), |x, y| {
            let [r, g, b, _] = image.get_pixel(x, y).0;
            Rgb([r, g, b])
        });
        let marked = embed_with(&colours, key, session, record, index)?;
        for (pixel, colour) in image.pixels_mut().zip(marked.pixels()) {
            pixel.0[..3].copy_from_slice(&colour.0);
        }
    }
    for (x, y, label) in labels.iter().flat_map(Label::places) {
        if let Some(pixel) = image.get_pixel_mut_checked(x, y) {
            pixel.0[..3].iter_mut().for_each(|v| *v = label.over(*v));
            pixel.0[3] = pixel.0[3].max(label.weight);
        }
    }
    Ok(image)
}

/// Exact-geometry score of `session` on an image of the size of rendition `index`: a standard normal number where the
/// session is innocent.
#[cfg(test)]
pub(crate) fn aligned_score(
    image: &RgbImage,
    key: &ImageKey,
    session: SessionId,
    record: &MarkRecord,
    index: usize,
) -> f32 {
    let carrier = Carrier::new(key, index, record.sizes[index], record.chroma);
    let luma = Plane::from_luma(image);
    let (y, d) = chips::statistic(&luma, &carrier, &alpha(&luma, Floor::Photo), None);
    let chips = chips::weigh(&y, &d);
    let code = codeword(key, index, session, chips.len());
    let power: f32 = chips.iter().map(|v| v * v).sum();
    chips.iter().enumerate().map(|(j, v)| v * code.sign(j)).sum::<f32>() / power.sqrt().max(1e-9)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::mark::MarkKey;

    /// A textured picture with smooth regions, edges and colour.
    pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
        let mut state = 1u32;
        let mut plane = Plane::new(width as usize, height as usize);
        plane.data.iter_mut().for_each(|v| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *v = (state >> 8) as f32 / 16_777_216.0 - 0.5;
        });
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
        let record = record(&image, &[]).unwrap();
        let marked = embed_rgb(&image, &key(), SessionId(42)).unwrap();
        let jpeg = crate::mark::jpeg::encode_at(&marked, record.chroma, 0, 70).unwrap();
        let leak = crate::mark::jpeg::decode(&jpeg).unwrap();
        let score = |session| aligned_score(&leak, &key(), SessionId(session), &record, 0);
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
        let image = RgbaImage::from_fn(128, 100, |x, y| {
            let v = ((x * 7) ^ (y * 13)) as u8;
            image::Rgba([v, v, v, (x + y) as u8])
        });
        let marked = embed_rgba(&image, &key(), SessionId(1)).unwrap();
        assert!(image.pixels().zip(marked.pixels()).all(|(a, b)| a[3] == b[3]));
        assert_ne!(image, marked);
    }

    #[test]
    fn images_that_cannot_carry_a_mark_are_refused() {
        assert_eq!(record(&picture(400, 95), &[]), Err(MarkError::TooSmall));
        assert_eq!(record(&RgbImage::new(200, 200), &[]), Err(MarkError::TooFlat));
    }
}
