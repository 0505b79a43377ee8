//! Reading a leak with the original at hand.
//!
//! Embedding and encoding are deterministic, so the original gives back what all copies share, `(A + B) / 2`: the
//! picture, the pilot, the host cancellation and the codec's own error. What a registered leak shows beyond that is
//! the codeword and noise. A leak is read where it lies if nobody moved it, then where it is found.

use image::RgbImage;

use super::carrier::Carrier;
use super::chips;
use super::effort::Effort;
use super::embed::pair;
use super::jpeg;
use super::key::ImageKey;
use super::plane::Plane;
use super::predict::{Fit, Model};
use super::record::{MarkError, MarkRecord, Size};
use super::refine::{Blocks, Freedom, Waves, refine};
use super::register::{Level, Pyramid, Registered, cut_out, register};
use super::score::Reading;
use super::shape::{alpha, flatness};
use super::spectrum::whiten;
use super::spread::{available_for, spread};
use super::warp::{Homography, Warped, warp};
use crate::scale;

/// An image's full rendition, as intake made it of the uploader's original.
pub(crate) struct Reference<'a> {
    image: &'a RgbImage,
    luma: Plane,
}

/// Half the side of the windows in which light is taken to be even, in pixels.
const LIGHT: usize = 14;
/// A score of the pilot in the residual that no wrong place reaches.
const SEEN: f64 = 9.;

impl<'a> Reference<'a> {
    /// Takes the full rendition before it was marked.
    pub(crate) fn new(image: &'a RgbImage) -> Self {
        Self { image, luma: Plane::from_luma(image) }
    }

    /// Steps of [`Self::read`].
    pub(crate) fn price_of_reading(&self, record: &MarkRecord) -> f64 {
        let pixels: u64 = record.sizes.iter().map(|size| size.pixels()).sum();
        1000. * pixels as f64
    }

    /// The leak's place, leak pixels to those of the full rendition, with the places the pilot suggests tried
    /// first, and what `effort` pays for after them.
    pub(crate) fn place(
        &self,
        leak: &Plane,
        waves: &Waves,
        hints: &[Homography],
        threads: usize,
        effort: &Effort,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Homography> {
        let places = register(leak, &self.luma, hints, threads, effort, stop);
        let leak = Pyramid::new(leak);
        let refined = places.iter().map(|place| self.sharpen(&leak, place, waves));
        refined.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(map, _)| map)
    }

    /// Moves a registered map to where the pilot in the residual is strongest: a flat picture leaves its own place
    /// uncertain by a pixel or so. Gives a figure that compares places.
    fn sharpen(&self, leak: &Pyramid, place: &Registered, waves: &Waves) -> (Homography, f64) {
        const LONG: f64 = 1100.;
        let canvas = (self.luma.width as f64, self.luma.height as f64);
        let (mut map, mut score) = (place.map, 0.);
        for (round, freedom) in
            [Freedom::Affine, Freedom::Perspective, Freedom::Perspective].into_iter().enumerate()
        {
            let Some(level) = Level::new(leak, &self.luma, &map, LONG) else { break };
            let residual =
                level.warped(&level.inward(&map)).and_then(|warped| Model::new(&level.part, 6).fit(&warped));
            let (Some(fit), Some(to_canvas)) = (residual, level.to_part.inverse()) else { break };
            let blocks = Blocks::read(&whiten(&fit.residual), &to_canvas, canvas, waves);
            let refined = refine(&blocks, &to_canvas, waves, freedom, if round == 0 { 4 } else { 1 });
            if refined.score < SEEN.max(score) {
                break;
            }
            score = refined.score;
            map = refined.map.after(&level.to_part).after(&map);
            if refined.moved < 0.05 {
                break;
            }
        }
        (map, score + 10. * place.agreement)
    }

    /// The segments of every rendition, at most [`READINGS`] of each in all; and where the leak lies at the same place on
    /// several, those of them together.
    ///
    /// # Errors
    /// [`MarkError`] when the original does not fit the record; [`MarkError::Cancelled`].
    pub(crate) fn read(
        &self,
        leak: &Plane,
        place: Place<'_>,
        key: &ImageKey,
        record: &MarkRecord,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Reading>, MarkError> {
        let sizes: Vec<usize> = (0..record.sizes.len()).collect();
        let read = |index: &usize| {
            if stop() { Err(MarkError::Cancelled) } else { self.read_size(leak, place, key, record, *index) }
        };
        let threads = record.sizes.first().map_or(1, |size| available_for(*size));
        let readings: Result<Vec<Vec<Reading>>, _> = spread(&sizes, threads, read).into_iter().collect();
        let readings = readings?;
        // A rendition's first reading is of the whole leak.
        let together = Reading::together(readings.iter().filter_map(|of_size| of_size.first()));
        Ok(readings.into_iter().flatten().chain(together).collect())
    }

    fn read_size(
        &self,
        leak: &Plane,
        place: Place<'_>,
        key: &ImageKey,
        record: &MarkRecord,
        index: usize,
    ) -> Result<Vec<Reading>, MarkError> {
        let size = record.sizes[index];
        if matches!(place, Place::Unmoved) && whole(leak, size).is_none() && !is_part(leak, size) {
            return Ok(Vec::new());
        }
        let image = scale::rgb(self.image, size);
        let (commons, carrier) = commons(&image, key, record, index)?;
        let across = f64::from(size.width) / self.luma.width as f64;
        let down = f64::from(size.height) / self.luma.height as f64;
        let maps = match place {
            Place::At(map) => vec![Homography::resize(across, down).after(map)],
            Place::Unmoved => unmoved(leak, &commons[0], size),
        };
        let warped = |map: &Homography| warp(leak, map, size.width as usize, size.height as usize);
        let mut fits: Vec<(Warped, Option<Fit>)> =
            maps.iter().filter_map(warped).map(|warped| (warped, None)).collect();
        // Copies are JPEG files, or for images with transparency pixels as they are: whichever explains more.
        for common in &commons {
            let model = Model::new(common, LIGHT);
            for (warped, best) in &mut fits {
                let fit = model.fit(warped);
                let agreement = |fit: &Option<Fit>| fit.as_ref().map_or(f64::MIN, Fit::agreement);
                if agreement(&fit) > agreement(best) {
                    *best = fit;
                }
            }
        }
        let luma = Plane::from_luma(&image);
        let alpha = alpha(&luma, flatness(&luma));
        let read = |(warped, fit): (Warped, Option<Fit>)| {
            let (y, d) = chips::statistic(&fit?.residual, &carrier, &alpha, Some(&warped.cover));
            Some(Reading::new(index, chips::weigh(&y, &d)))
        };
        Ok(fits.into_iter().filter_map(read).collect())
    }
}

/// Where a leak is taken to lie.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// On the full rendition by this map.
    At(&'a Homography),
    /// On each rendition wherever it lies if nobody moved or bent it, see [`unmoved`].
    Unmoved,
}

/// The most readings of one rendition: one at a place that was found, and two unmoved.
const READINGS: usize = 3;

/// The most readings of an image with this many renditions: of each, and of all together unmoved and at the place found.
pub(crate) fn most_readings(sizes: usize) -> usize {
    READINGS * sizes + 2
}

/// The places that a leak has on a rendition if it is all of it, or cut out of it pixel for pixel; at most two.
///
/// They are taken as they are: least squares would move them by a pixel or two on a flat drawing or in a smooth piece,
/// which is more than the carrier bears.
fn unmoved(leak: &Plane, rendition: &Plane, size: Size) -> Vec<Homography> {
    let part = is_part(leak, size).then(|| cut_out(leak, rendition));
    whole(leak, size).into_iter().chain(part).collect()
}

/// The leak as all of a rendition, if it has its proportions within a percent.
fn whole(leak: &Plane, size: Size) -> Option<Homography> {
    let (across, down) =
        (f64::from(size.width) / leak.width as f64, f64::from(size.height) / leak.height as f64);
    ((across / down).ln().abs() < 0.01).then(|| Homography::resize(across, down))
}

/// Whether the leak fits into a rendition and is not as large.
fn is_part(leak: &Plane, size: Size) -> bool {
    let (width, height) = (size.width as usize, size.height as usize);
    leak.width <= width && leak.height <= height && (leak.width, leak.height) != (width, height)
}

/// What all copies of rendition `index` share, as JPEG files and as pixels, and the rendition's carrier.
fn commons(
    image: &RgbImage,
    key: &ImageKey,
    record: &MarkRecord,
    index: usize,
) -> Result<([Plane; 2], Carrier), MarkError> {
    let variants = pair(image, key, record, index)?;
    let size = record.sizes.get(index).copied().ok_or(MarkError::Record)?;
    let carrier = Carrier::new(key, index, size, record.chroma);
    // Huffman tables change no pixel.
    let decoded = |image: &RgbImage| {
        let file = jpeg::encode(image, record.chroma, carrier.layout.run, None)?;
        jpeg::decode(&file).map(|i| Plane::from_luma(&i))
    };
    let mean = |a: Plane, b: &Plane| a.zip_map(b, |a, b| (a + b) / 2.);
    let [plus, minus] = &variants;
    let coded = mean(decoded(plus)?, &decoded(minus)?);
    Ok(([coded, mean(Plane::from_luma(plus), &Plane::from_luma(minus))], carrier))
}
