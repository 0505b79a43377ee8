//! An image's own correlation with the carrier, as the detector will read it: the fast way.
//!
//! It is the statistic of `chips` with two savings: bands are sampled no finer than their detail, and each Gaussian is
//! made from the next finer one. Unlike the detector's, it need not be exact: it only says how much of the image's own
//! correlation to cancel.

use std::borrow::Cow;

use super::carrier::{Noise, taper};
use super::chips::{NOISE, SIGMAS, power};
use super::layout::Layout;
use super::plane::Plane;

/// Side in pixels of the squares that sums are taken of; it divides every unit.
const SQUARE: usize = 8;

/// The carrier's part of the statistic.
pub(crate) struct Correlator {
    layout: Layout,
    step: usize,
    /// The carrier at its amplitude, in the detector's bands.
    weighted: [Band; 3],
}

/// An octave of a plane, on a grid as coarse as its detail allows.
struct Band {
    /// Pixels per sample, both ways; a power of two of at most [`SQUARE`].
    step: usize,
    plane: Plane,
}

impl Correlator {
    /// `alpha` is the amplitude on the grid of `noise`; `gain` takes `alpha * noise` to the step between variants.
    pub fn new(noise: &Noise, alpha: &Plane, gain: f32, layout: &Layout) -> Self {
        let mut fading = Plane::new(layout.size.width as usize, layout.size.height as usize).map(|_| gain);
        taper(&mut fading, layout);
        let fading = if noise.step == 2 { fading.halved() } else { fading };
        let weighted = bands(&fading.zip_map(&noise.plane, |f, w| f * w), noise.step, 0.0).map(|band| {
            let mut alpha = Cow::Borrowed(alpha);
            while alpha.width > band.plane.width {
                alpha = Cow::Owned(alpha.halved());
            }
            Band { plane: band.plane.zip_map(&alpha, |w, a| w * a), ..band }
        });
        Self { layout: layout.clone(), step: noise.step, weighted }
    }

    /// Numerator and energy of every segment, as `chips::statistic` gives them, for `plane` on the grid of the noise;
    /// their quotient is in steps between variants at strength 1.
    pub fn read(&self, plane: &Plane) -> (Vec<f32>, Vec<f32>) {
        let (mut y, mut d) = (vec![0f32; self.layout.segments], vec![0f32; self.layout.segments]);
        // Means over 2 x 2 samples have a variance of a quarter.
        let smoothed = if self.step == 2 { 0.25 } else { 0.0 };
        for (i, (e, w)) in bands(plane, self.step, smoothed).iter().zip(&self.weighted).enumerate() {
            let cell = SQUARE / e.step;
            let power = power(&e.plane, SIGMAS[i + 1] / e.step as f32);
            // How many samples of the noise's grid one of this grid stands for.
            let samples = (e.step / self.step).pow(2) as f32;
            for line in 0..e.plane.height {
                let (e, w, power) = (e.plane.row(line), w.plane.row(line), power.row(line));
                let cells = e.chunks(cell).zip(w.chunks(cell)).zip(power.chunks(cell));
                for (column, ((e, w), power)) in cells.enumerate() {
                    let (mut num, mut den) = (0.0, 0.0);
                    for ((e, w), power) in e.iter().zip(w).zip(power) {
                        let weight = w / (power + NOISE);
                        (num, den) = (num + weight * e, den + weight * w);
                    }
                    let segment = self.layout.segment_of(column * SQUARE, line / cell * SQUARE);
                    y[segment] += samples * num;
                    d[segment] += samples * den;
                }
            }
        }
        (y, d)
    }
}

/// The detector's octave bands of a plane of one sample every `step` pixels, smoothed with `variance` already. A plane
/// that has been smoothed enough is halved before the next.
fn bands(plane: &Plane, mut step: usize, mut variance: f32) -> [Band; 3] {
    let smooth = |plane: &Plane, sigma: f32, variance: &mut f32, step: usize| {
        let more = (sigma * sigma - *variance).sqrt() / step as f32;
        *variance = sigma * sigma;
        plane.gaussian(more)
    };
    let mut fine = smooth(plane, SIGMAS[0], &mut variance, step);
    [1, 2, 3].map(|i| {
        let coarse = smooth(&fine, SIGMAS[i], &mut variance, step);
        let finer = std::mem::replace(&mut fine, coarse);
        let band = Band { step, plane: finer.zip_map(&fine, |a, b| a - b) };
        if SIGMAS[i] >= 1.5 * step as f32 && i < 3 {
            fine = fine.halved();
            variance += (step * step) as f32 / 4.0;
            step *= 2;
        }
        band
    })
}

#[cfg(test)]
mod tests {
    use super::super::carrier::{Carrier, faded_rms};
    use super::super::chips;
    use super::super::shape::coarse_alpha;
    use super::*;
    use crate::mark::{Chroma, MarkKey, Size};
    use crate::testing::samples;

    #[test]
    fn the_fast_reading_is_close_to_the_detectors() {
        for (width, height) in [(640, 431), (1402, 801)] {
            let size = Size { width, height };
            let key = MarkKey::new([4; 32]).image(b"correlate");
            let luma = Plane::from_luma(&samples::photograph(width, height, 8));
            let carrier = Carrier::new(&key, 0, size, Chroma::Half);
            let noise = Noise::new(&key, 0, size);
            let alpha = coarse_alpha(&luma, 0.0);
            let full = alpha.doubled(luma.width, luma.height);
            let (alpha, coarse) =
                if noise.step == 2 { (alpha, luma.halved()) } else { (full.clone(), luma.clone()) };
            let gain = 1.0 / faded_rms(&carrier.layout);
            let steps = |(y, d): (Vec<f32>, Vec<f32>)| -> Vec<f32> {
                y.iter().zip(&d).map(|(y, d)| y / d.max(1e-6)).collect()
            };
            let fast = steps(Correlator::new(&noise, &alpha, gain, &carrier.layout).read(&coarse));
            let slow = steps(chips::statistic(&luma, &carrier, &full, None));
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let alike = dot(&fast, &slow) / (dot(&fast, &fast) * dot(&slow, &slow)).sqrt();
            let scale = dot(&fast, &slow) / dot(&slow, &slow);
            assert!(alike > 0.95 && (scale - 1.0).abs() < 0.1, "{width}: {alike} {scale}");
        }
    }
}
