//! The two keyed patterns: the pilot that finds the geometry and the carrier that holds the codeword.

use std::f64::consts::{PI, TAU};

use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

use super::chips::subbands;
use super::key::ImageKey;
use super::layout::Layout;
use super::plane::Plane;
use super::record::{Chroma, Size};

/// One plane wave, `cos(2 pi (fx x + fy y) + phase)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wave {
    /// Cycles per pixel along x.
    pub fx: f64,
    /// Cycles per pixel along y.
    pub fy: f64,
    /// Radians, at the centre of pixel (0, 0).
    pub phase: f64,
}

/// The pilot: plane waves over the whole canvas, common to every copy of an image. Their frequencies are incommensurate,
/// so the pattern does not repeat and a crop can be placed absolutely.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pilot {
    pub size: Size,
    pub waves: Vec<Wave>,
}

impl Pilot {
    /// Number of waves.
    pub const WAVES: usize = 40;

    /// The pilot of an image on its full canvas; `sizes` are the served sizes, the full one first.
    ///
    /// Angles are stratified over the half plane, radii uniform in area over a band around a tenth of a cycle per
    /// pixel. All widths share one pilot, so the band is lowered until the smallest width carries it below 0.22 cycles
    /// per pixel, where neither its own sampling nor a JPEG file removes it.
    pub fn new(key: &ImageKey, sizes: &[Size]) -> Self {
        let size = sizes.first().copied().unwrap_or(Size { width: 1, height: 1 });
        let scale = band_scale(size);
        let smallest = sizes.iter().map(|s| s.width).min().unwrap_or(size.width).max(1);
        let limit = 0.22 * f64::from(smallest) / f64::from(size.width.max(1));
        let high = (0.125 * scale).min(limit.max(0.05));
        let low = (0.045 * scale).min(0.5 * high);
        let mut stream = key.stream("pilot");
        let order = stream.permutation(Self::WAVES);
        let waves = order.iter().enumerate().map(|(i, &stratum)| {
            let angle = (i as f64 + stream.uniform()) * PI / Self::WAVES as f64;
            let share = (stratum as f64 + stream.uniform()) / Self::WAVES as f64;
            let radius = (low * low + (high * high - low * low) * share).sqrt();
            Wave { fx: radius * angle.cos(), fy: radius * angle.sin(), phase: stream.uniform() * TAU }
        });
        Self { size, waves: waves.collect() }
    }

    /// The same waves as seen on the canvas resized to `size`, pixel centres mapped on pixel centres.
    pub fn scaled(&self, size: Size) -> Self {
        let sx = f64::from(self.size.width) / f64::from(size.width.max(1));
        let sy = f64::from(self.size.height) / f64::from(size.height.max(1));
        let scale = |w: &Wave| Wave {
            fx: w.fx * sx,
            fy: w.fy * sy,
            phase: w.phase + TAU * (w.fx * 0.5 * (sx - 1.0) + w.fy * 0.5 * (sy - 1.0)),
        };
        Self { size, waves: self.waves.iter().map(scale).collect() }
    }

    /// The sum of the waves on the pilot's canvas, with an expected rms of 1.
    pub fn draw(&self) -> Plane {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let gain = (2.0 / self.waves.len().max(1) as f64).sqrt();
        let circle = |turns: f64, phase: f64| {
            let (sin, cos) = (TAU * turns.fract() + phase).sin_cos();
            ((gain.sqrt() * cos) as f32, (gain.sqrt() * sin) as f32)
        };
        let columns: Vec<Vec<(f32, f32)>> =
            self.waves.iter().map(|w| (0..width).map(|x| circle(w.fx * x as f64, 0.0)).collect()).collect();
        let mut plane = Plane::new(width, height);
        for (y, line) in plane.data.chunks_exact_mut(width.max(1)).enumerate() {
            for (wave, column) in self.waves.iter().zip(&columns) {
                let (cos, sin) = circle(wave.fy * y as f64, wave.phase);
                for (out, &(cx, sx)) in line.iter_mut().zip(column) {
                    *out += cos * cx - sin * sx;
                }
            }
        }
        plane
    }
}

/// The data carrier of one rendition: keyed noise, faded out at the edges of the segments.
#[derive(Clone, Debug)]
pub(crate) struct Carrier {
    pub layout: Layout,
    /// The tapered noise; rms 1 over the canvas.
    pub w: Plane,
    /// `w` in the bands the detector reads.
    pub bands: [Plane; 3],
}

impl Carrier {
    /// The carrier of rendition `size_index` of an image.
    pub fn new(key: &ImageKey, size_index: usize, size: Size, chroma: Chroma) -> Self {
        let layout = Layout::new(size, chroma);
        let mut w = noise(key, size_index, size);
        taper(&mut w, &layout);
        let rms = w.rms().max(1e-9);
        w.data.iter_mut().for_each(|v| *v /= rms);
        let bands = subbands(&w);
        Self { layout, w, bands }
    }
}

/// The factor on both bands: small canvases use higher frequencies, since they are scaled down less.
fn band_scale(size: Size) -> f64 {
    (1400.0 / f64::from(size.width.max(size.height).max(1))).sqrt().clamp(0.8, 1.6)
}

/// Gaussian noise in the band 0.03-0.125 cycles per pixel times [`band_scale`], with eighth-order edges.
///
/// It is drawn as a spectrum: independent complex normal numbers on the half plane of frequencies, times the filter.
/// The real part of its inverse transform is a real field of just that spectrum. Only columns inside the band are
/// transformed, so this costs little more than one pass over the rows.
fn noise(key: &ImageKey, size_index: usize, size: Size) -> Plane {
    let (width, height) = (size.width as usize, size.height as usize);
    let scale = band_scale(size);
    let (low, high) = (0.03 * scale, 0.125 * scale);
    // Beyond 1.6 times the upper edge the filter passes less than 2.5 %.
    let end = 1.6 * high;
    let columns = ((end * width as f64) as usize + 1).min(width / 2 + 1);
    let mut stream = key.stream(&format!("carrier {size_index}"));
    let mut planner = FftPlanner::<f32>::new();
    let down = planner.plan_fft_inverse(height.max(1));
    let across = planner.plan_fft_inverse(width.max(1));
    let mut spectrum = vec![Complex32::default(); columns * height];
    for (kx, column) in spectrum.chunks_exact_mut(height.max(1)).enumerate() {
        let fx = kx as f64 / width as f64;
        for (ky, value) in column.iter_mut().enumerate() {
            let fy = ky.min(height - ky) as f64 / height as f64;
            let f = fx.hypot(fy);
            if f > 0.3 * low && f < end {
                let gain = 1.0 / (1.0 + (low / f).powi(8)) / (1.0 + (f / high).powi(8));
                let (re, im) = stream.gaussian_pair();
                *value = Complex32::new(re, im) * gain as f32;
            }
        }
        down.process(column);
    }
    let mut plane = Plane::new(width, height);
    let mut row = vec![Complex32::default(); width];
    let mut scratch = vec![Complex32::default(); across.get_inplace_scratch_len()];
    for (y, line) in plane.data.chunks_exact_mut(width.max(1)).enumerate() {
        row.fill(Complex32::default());
        for (kx, value) in row.iter_mut().take(columns).enumerate() {
            *value = spectrum[kx * height + y];
        }
        across.process_with_scratch(&mut row, &mut scratch);
        line.iter_mut().zip(&row).for_each(|(out, v)| *out = v.re);
    }
    plane
}

/// Fades the two outermost pixels of each segment, so that neighbours of opposite sign do not meet in a step.
fn taper(plane: &mut Plane, layout: &Layout) {
    let edge = |distance: usize| match distance {
        0 => (0.25f32 * std::f32::consts::FRAC_PI_2).sin(),
        1 => (0.75f32 * std::f32::consts::FRAC_PI_2).sin(),
        _ => 1.0,
    };
    let width = plane.width;
    for (y, line) in plane.data.chunks_exact_mut(width.max(1)).enumerate() {
        let inside = y % layout.mcu;
        let down = edge(inside.min(layout.mcu - 1 - inside));
        for (_, start, end) in layout.spans(y) {
            for (x, v) in line.iter_mut().enumerate().take(end).skip(start) {
                *v *= down * edge((x - start).min(end - 1 - x));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::MarkKey;

    fn key() -> ImageKey {
        MarkKey::new([5; 32]).image(b"carrier")
    }

    #[test]
    fn both_patterns_have_unit_power_and_no_mean() {
        let size = Size { width: 500, height: 333 };
        let carrier = Carrier::new(&key(), 0, size, Chroma::Half);
        for plane in [&carrier.w, &Pilot::new(&key(), &[size]).draw()] {
            let mean = plane.data.iter().sum::<f32>() / plane.data.len() as f32;
            assert!((plane.rms() - 1.0).abs() < 0.05 && mean.abs() < 0.02, "{} {mean}", plane.rms());
        }
    }

    #[test]
    fn the_smallest_width_still_carries_every_wave() {
        let sizes = [Size { width: 2048, height: 1365 }, Size { width: 640, height: 427 }];
        let small = Pilot::new(&key(), &sizes).scaled(sizes[1]);
        assert!(small.waves.iter().all(|w| w.fx.hypot(w.fy) <= 0.2205));
    }

    #[test]
    fn a_scaled_wave_has_the_same_value_at_the_same_place_of_the_picture() {
        let sizes = [Size { width: 1200, height: 800 }, Size { width: 600, height: 400 }];
        let full = Pilot::new(&key(), &sizes);
        let half = full.scaled(sizes[1]).draw();
        // Pixel (100, 50) of the half size lies at (200.5, 100.5) of the full size.
        let value: f64 =
            full.waves.iter().map(|w| (TAU * (w.fx * 200.5 + w.fy * 100.5) + w.phase).cos()).sum();
        let value = value * (2.0 / Pilot::WAVES as f64).sqrt();
        assert!((f64::from(half.row(50)[100]) - value).abs() < 1e-3);
    }
}
