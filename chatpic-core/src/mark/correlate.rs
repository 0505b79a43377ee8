//! An image's own correlation with the carrier, as the detector will read it: the fast way.
//!
//! It is the statistic of `chips` with three savings: bands are sampled no finer than their detail, each Gaussian is made
//! from the next finer one, and a band's local power is taken once for each square of 8 x 8 pixels. Unlike the
//! detector's, it need not be exact: it only says how much of the image's own correlation to cancel.

use std::borrow::Cow;

use super::carrier::{Noise, taper};
use super::layout::Layout;
use super::plane::Plane;

/// Side in pixels of the squares that share one power; it divides every unit.
const SQUARE: usize = 8;
/// Deviations in pixels of the detector's Gaussians.
const SIGMAS: [f32; 4] = [0.8, 1.6, 3.2, 6.4];

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
        let weighted = bands(&noise.plane.zip_map(&fading, |w, f| w * f), noise.step).map(|band| {
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
        let size = self.layout.size;
        let (columns, rows) =
            ((size.width as usize).div_ceil(SQUARE), (size.height as usize).div_ceil(SQUARE));
        let (mut y, mut d) = (vec![0f32; self.layout.segments], vec![0f32; self.layout.segments]);
        for (e, w) in bands(plane, self.step).iter().zip(&self.weighted) {
            let cell = SQUARE / e.step;
            let (e, w, samples) = (&e.plane, &w.plane, (e.step / self.step).pow(2) as f32);
            let [mut num, mut den, mut power] = [(); 3].map(|()| Plane::new(columns, rows));
            for (line, (e, w)) in e.data.chunks_exact(e.width).zip(w.data.chunks_exact(w.width)).enumerate() {
                let at = line / cell * columns;
                for (i, (e, w)) in e.chunks(cell).zip(w.chunks(cell)).enumerate() {
                    let (mut ew, mut ww, mut ee) = (0.0, 0.0, 0.0);
                    for (e, w) in e.iter().zip(w) {
                        (ew, ww, ee) = (ew + e * w, ww + w * w, ee + e * e);
                    }
                    num.data[at + i] += ew;
                    den.data[at + i] += ww;
                    power.data[at + i] += ee;
                }
            }
            // The squares have blurred by 8 / sqrt(12) pixels of the detector's 8 already.
            let scale = 1.0 / (cell * cell) as f32;
            let power = power.map(|p| p * scale).gaussian((1.0f32 - 1.0 / 12.0).sqrt());
            for row in 0..rows {
                for column in 0..columns {
                    let segment = self.layout.segment_of(column * SQUARE, row * SQUARE);
                    let at = row * columns + column;
                    let weight = samples / (power.data[at] + 0.25);
                    y[segment] += weight * num.data[at];
                    d[segment] += weight * den.data[at];
                }
            }
        }
        (y, d)
    }
}

/// The detector's octave bands of a plane of one sample every `step` pixels. A plane that has been smoothed enough is
/// halved before the next.
fn bands(plane: &Plane, mut step: usize) -> [Band; 3] {
    // Means over 2 x 2 samples have a variance of a quarter.
    let mut variance = if step == 2 { 0.25f32 } else { 0.0 };
    let smooth = |plane: &Plane, sigma: f32, variance: &mut f32, step: usize| {
        let more = (sigma * sigma - *variance).sqrt() / step as f32;
        *variance = sigma * sigma;
        plane.gaussian(more)
    };
    let mut fine = smooth(plane, SIGMAS[0], &mut variance, step);
    [1, 2, 3].map(|i| {
        let coarse = smooth(&fine, SIGMAS[i], &mut variance, step);
        let band = Band { step, plane: fine.zip_map(&coarse, |a, b| a - b) };
        fine = coarse;
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
    use super::super::shape::{Floor, coarse_alpha};
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
            let alpha = coarse_alpha(&luma, Floor::Photo);
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
