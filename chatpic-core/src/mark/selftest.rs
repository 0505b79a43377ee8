//! How strongly an image must be marked: it is marked on trial, made a poor leak of, and read.
//!
//! The leak is half the size and compressed at quality 50; where it lies is known, so that what is measured is how much
//! of the mark is left. The least of seven strengths is taken that leaves twice the evidence a trace needs, as long as
//! the mark stays fainter than a bound. At most five trials are made, each about as long as preparing the image, and
//! only one where the least strength will do, as on most large images.

use image::RgbImage;

use super::carrier::Pilot;
use super::code::codeword;
use super::embed::Host;
use super::jpeg;
use super::key::ImageKey;
use super::plane::Plane;
use super::record::{Chroma, MarkError, MarkRecord, Size};
use super::refine::{Blocks, Freedom, Wave, Waves, refine};
use super::shape::flat_fraction;
use super::spectrum::whiten;
use super::warp::Homography;
use crate::id::SessionId;

/// The strengths to choose from.
const STRENGTHS: [f32; 7] = [0.6, 0.68, 0.76, 0.85, 0.95, 1.07, 1.2];
/// The score that names one of a thousand sessions with a false-alarm probability of 10^-6.
const DATA_NEEDED: f32 = 6.6;
/// About the pilot score that chance reaches in a search: 7.4 in 30 trials on unmarked images or with a wrong key.
const PILOT_NEEDED: f32 = 8.0;
/// The margin that is aimed at.
const ENOUGH: f32 = 2.0;

/// What one trial gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    /// The codeword's score.
    pub data: f32,
    /// The pilot's score `J`.
    pub pilot: f32,
    /// Peak signal-to-noise ratio of the marked image, in decibels.
    pub psnr: f32,
}

impl Trial {
    fn margin(&self) -> f32 {
        (self.data / DATA_NEEDED).min(self.pilot / PILOT_NEEDED)
    }
}

/// The strength for an image and its margin, as [`MarkRecord`] has them; `luma` has the record's full size, and `shown`
/// is what a copy shows of marked luma.
///
/// # Errors
/// [`MarkError::Unreadable`] when not even the image as it is served would name its session.
pub(crate) fn strength(
    luma: &Plane,
    key: &ImageKey,
    record: &MarkRecord,
    shown: impl Fn(Plane) -> Plane,
) -> Result<(f32, f32), MarkError> {
    let host = Host::new(luma, key, record, 0)?;
    let waves = waves(key, record);
    let faintest = faintest(luma);
    let marked = |level: usize| shown(marked(&host, key, STRENGTHS[level]));
    let attempt = |level: usize| poor_leak(&host, luma, &waves, key, marked(level));

    let mut best = (0, attempt(0)?);
    // The level `low` is not enough, and none above `high` is needed or faint enough.
    let (mut low, mut high) = (0, STRENGTHS.len() - 1);
    if best.1.margin() >= ENOUGH {
        high = 0;
    }
    while low < high {
        let level = (low + high).div_ceil(2);
        let trial = attempt(level)?;
        if trial.psnr < faintest {
            high = level - 1;
        } else if trial.margin() >= ENOUGH {
            best = (level, trial);
            high = level - 1;
        } else {
            low = level;
            if best.1.margin() < ENOUGH {
                best = (level, trial);
            }
        }
    }
    let (level, trial) = best;
    if trial.data < DATA_NEEDED && served(&host, key, &marked(level))? < DATA_NEEDED {
        return Err(MarkError::Unreadable);
    }
    Ok((STRENGTHS[level], trial.margin()))
}

/// The peak signal-to-noise ratio below which a mark is too strong, in decibels. Detail that is seen on a large image
/// takes a fainter mark, and its many segments need no more.
///
/// Photographs are to keep 45 dB at a megapixel and 42 dB at 0.4 in the median. One that needs more to be traced is a
/// busy one, which hides it, and may have a little more.
fn faintest(luma: &Plane) -> f32 {
    if flat_fraction(luma) > 0.1 {
        return 41.2;
    }
    let megapixels = (luma.width * luma.height) as f32 / 1e6;
    (43.15 + 3.9 * megapixels.log10()).clamp(39.5, 43.15)
}

/// The waves of an image's pilot on its full size.
pub(crate) fn waves(key: &ImageKey, record: &MarkRecord) -> Waves {
    let pilot = Pilot::new(key, &record.sizes);
    Waves::new(pilot.waves.iter().map(|w| Wave { x: w.fx, y: w.fy, phase: w.phase }))
}

/// Reads a poor leak of an image that was marked on trial.
pub(crate) fn poor_leak(
    host: &Host,
    luma: &Plane,
    waves: &Waves,
    key: &ImageKey,
    marked: Plane,
) -> Result<Trial, MarkError> {
    let half = marked.halved();
    let psnr = 20.0 * (255.0 / marked.zip_map(luma, |a, b| a - b).rms().max(1e-3)).log10();
    let leak = recompressed(&half, 50)?;
    let canvas = (luma.width as f64, luma.height as f64);
    let map = Homography::resize(canvas.0 / leak.width as f64, canvas.1 / leak.height as f64);
    let blocks = Blocks::read(&whiten(&leak), &map, canvas, waves);
    let pilot = refine(&blocks, &map, waves, Freedom::Affine, 1).score as f32;
    Ok(Trial { data: score(host, key, &leak), pilot, psnr })
}

/// The score of the image about as it is served.
fn served(host: &Host, key: &ImageKey, marked: &Plane) -> Result<f32, MarkError> {
    Ok(score(host, key, &recompressed(marked, 85)?))
}

/// The luma of a session's copy, in whole grey levels.
fn marked(host: &Host, key: &ImageKey, strength: f32) -> Plane {
    let variants = host.variants(strength);
    let code = codeword(key, 0, SessionId::UPLOADER, variants.layout.segments);
    variants.with_signs(|j| code.sign(j)).map(|v| v.clamp(0.0, 255.0).round())
}

fn score(host: &Host, key: &ImageKey, leak: &Plane) -> f32 {
    let chips = host.chips(leak);
    let code = codeword(key, 0, SessionId::UPLOADER, chips.len());
    let power: f32 = chips.iter().map(|v| v * v).sum();
    let sum: f32 = chips.iter().enumerate().map(|(j, v)| v * code.sign(j)).sum();
    sum / power.sqrt().max(1e-9)
}

/// A grey picture after JPEG.
fn recompressed(luma: &Plane, quality: u8) -> Result<Plane, MarkError> {
    let size = Size { width: luma.width as u32, height: luma.height as u32 };
    let pixels = luma.data.iter().flat_map(|v| [v.round() as u8; 3]).collect();
    let image = RgbImage::from_raw(size.width, size.height, pixels).ok_or(MarkError::Record)?;
    Ok(Plane::from_luma(&jpeg::decode(&jpeg::encode_at(&image, Chroma::Half, 0, quality)?)?))
}

/// Exact-geometry score of `session`, by the detector's own reading, on an image of the record's full size: a standard
/// normal number where the session is innocent.
#[cfg(test)]
pub(crate) fn aligned_score(
    image: &RgbImage,
    key: &ImageKey,
    session: SessionId,
    record: &MarkRecord,
) -> f32 {
    use super::carrier::Carrier;
    use super::chips;
    use super::shape::alpha;
    let carrier = Carrier::new(key, 0, record.sizes[0], record.chroma);
    let luma = Plane::from_luma(image);
    let (y, d) = chips::statistic(&luma, &carrier, &alpha(&luma, 0.0), None);
    let chips = chips::weigh(&y, &d);
    let code = codeword(key, 0, session, chips.len());
    let power: f32 = chips.iter().map(|v| v * v).sum();
    chips.iter().enumerate().map(|(j, v)| v * code.sign(j)).sum::<f32>() / power.sqrt().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::super::embed::tests::{key, picture};
    use super::super::embed::{embed_with, record};
    use super::*;
    use crate::testing::samples;

    #[test]
    fn a_large_textured_image_takes_little_strength_and_reads_with_margin() {
        let record = record(&samples::photograph(1400, 1000, 5), &[640], &key()).unwrap();
        assert_eq!(record.strength, STRENGTHS[0]);
        assert!(record.margin.unwrap() >= ENOUGH, "{:?}", record.margin);
    }

    #[test]
    fn what_the_trial_reads_is_what_a_detector_reads() {
        let image = picture(768, 512);
        let record = record(&image, &[], &key()).unwrap();
        let luma = Plane::from_luma(&image);
        let host = Host::new(&luma, &key(), &record, 0).unwrap();
        let marked = embed_with(&image, &key(), SessionId::UPLOADER, &record, 0).unwrap();
        let detector = aligned_score(&marked, &key(), SessionId::UPLOADER, &record);
        let trial = score(&host, &key(), &Plane::from_luma(&marked));
        assert!((trial / detector - 1.0).abs() < 0.12, "{trial} {detector}");
    }

    #[test]
    fn an_image_that_swallows_the_mark_is_not_called_traceable() {
        let mut noise = key().stream("noise");
        let image = RgbImage::from_fn(120, 100, |_, _| {
            image::Rgb([if noise.next_u32().is_multiple_of(2) { 0 } else { 255 }; 3])
        });
        assert_eq!(record(&image, &[], &key()), Err(MarkError::Unreadable));
    }
}
