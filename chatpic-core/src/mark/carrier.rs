//! The two keyed patterns: the pilot that finds the geometry and the carrier that holds the codeword.

use std::f64::consts::{PI, TAU};

use realfft::RealFftPlanner;
use rustfft::FftPlanner;
use rustfft::num_complex::{Complex32, Complex64};

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

    /// The sum of the waves on the pilot's canvas, with an expected rms of 1, in the middles of squares of
    /// `step` x `step` pixels.
    pub fn draw_every(&self, step: usize) -> Plane {
        let (width, height) =
            ((self.size.width as usize).div_ceil(step), (self.size.height as usize).div_ceil(step));
        let first = (step - 1) as f64 / 2.0;
        let gain = (2.0 / self.waves.len().max(1) as f64).sqrt();
        // A wave's values along one axis: one turn further from sample to sample.
        let turning = |frequency: f64, phase: f64| {
            let turn = Complex64::cis(TAU * frequency * step as f64);
            let start = Complex64::from_polar(gain.sqrt(), phase + TAU * frequency * first);
            let values = std::iter::successors(Some(start), move |value| Some(value * turn));
            values.map(|value| (value.re as f32, value.im as f32))
        };
        let columns: Vec<(Vec<f32>, Vec<f32>)> =
            self.waves.iter().map(|wave| turning(wave.fx, 0.0).take(width).unzip()).collect();
        let mut rows: Vec<_> = self.waves.iter().map(|wave| turning(wave.fy, wave.phase)).collect();
        let mut plane = Plane::new(width, height);
        for line in plane.data.chunks_exact_mut(width.max(1)) {
            let values = rows.iter_mut().filter_map(Iterator::next);
            for ((cos, sin), (cosines, sines)) in values.zip(&columns) {
                for ((out, cx), sx) in line.iter_mut().zip(cosines).zip(sines) {
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
        let noise = Noise::new(key, size_index, size);
        let mut w = noise.full(noise.plane.clone(), size);
        taper(&mut w, &layout);
        let rms = w.rms().max(1e-9);
        w.data.iter_mut().for_each(|v| *v /= rms);
        let bands = subbands(&w);
        Self { layout, w, bands }
    }
}

/// The carrier before it is faded out at the segments' edges. It holds no fine detail, so that on large canvases every
/// second sample is enough.
pub(crate) struct Noise {
    /// Pixels per sample, 1 or 2, both ways; samples lie in the middle of their pixels.
    pub step: usize,
    /// The samples; rms 1.
    pub plane: Plane,
}

impl Noise {
    /// The noise of rendition `size_index` of an image.
    pub fn new(key: &ImageKey, size_index: usize, size: Size) -> Self {
        let (high, _) = band(size);
        // Two pixels a sample, where interpolation keeps nearly all of the band's power. The pilot, drawn on the same
        // grid, may go to 0.44 cycles per sample on the smallest width, which lost it about a hundredth of its score.
        let step = if 2.0 * high < 0.38 { 2 } else { 1 };
        let mut plane = noise(key, size_index, size, step);
        let rms = plane.rms().max(1e-9);
        plane.data.iter_mut().for_each(|v| *v /= rms);
        Self { step, plane }
    }

    /// A plane of this sampling at every pixel.
    pub fn full(&self, plane: Plane, size: Size) -> Plane {
        match self.step {
            2 => plane.doubled(size.width as usize, size.height as usize),
            _ => plane,
        }
    }
}

/// The factor on both bands: small canvases use higher frequencies, since they are scaled down less.
fn band_scale(size: Size) -> f64 {
    (1400.0 / f64::from(size.width.max(size.height).max(1))).sqrt().clamp(0.8, 1.6)
}

/// Middle of the upper edge of the carrier's band, in cycles per pixel, and where it ends: there the filter passes less
/// than 2.5 %, or for small canvases 15 %. No more than two pixels a sample can hold.
fn band(size: Size) -> (f64, f64) {
    let high = 0.125 * band_scale(size);
    (high, (1.6 * high).min(0.25))
}

/// Gaussian noise in the band 0.03-0.125 cycles per pixel times [`band_scale`], with eighth-order edges, at every
/// `step`-th pixel.
///
/// It is drawn as a spectrum: independent random numbers on the half plane of frequencies, times the filter. They are
/// uniform; their sums over thousands of frequencies are normal all the same. The real part of the inverse transform is
/// a real field of just that spectrum. Only columns inside the band are transformed.
fn noise(key: &ImageKey, size_index: usize, size: Size, step: usize) -> Plane {
    let (width, height) = ((size.width as usize).div_ceil(step), (size.height as usize).div_ceil(step));
    let (high, end) = band(size);
    let low = 0.03 / 0.125 * high;
    let per_pixel = 1.0 / step as f64;
    let columns = ((end * step as f64 * width as f64) as usize + 1).min(width / 2 + 1);
    let mut stream = key.stream(&format!("carrier {size_index}"));
    let down = FftPlanner::<f32>::new().plan_fft_inverse(height.max(1));
    let across = RealFftPlanner::<f32>::new().plan_fft_inverse(width.max(1));
    let mut scratch = vec![Complex32::default(); down.get_inplace_scratch_len()];
    let mut spectrum = vec![Complex32::default(); columns * height];
    for (kx, column) in spectrum.chunks_exact_mut(height.max(1)).enumerate() {
        let fx = kx as f64 / width as f64 * per_pixel;
        for (ky, value) in column.iter_mut().enumerate() {
            let fy = ky.min(height - ky) as f64 / height as f64 * per_pixel;
            let square = fx * fx + fy * fy;
            if square > (0.3 * low).powi(2) && square < end * end {
                let gain =
                    1.0 / (1.0 + (low * low / square).powi(4)) / (1.0 + (square / (high * high)).powi(4));
                let bits = stream.next_u32();
                let part = |half: u32| f32::from(half as u16 as i16) + 0.5;
                *value = Complex32::new(part(bits), part(bits >> 16)) * gain as f32;
            }
        }
        down.process_with_scratch(column, &mut scratch);
    }
    let mut plane = Plane::new(width, height);
    let mut row = across.make_input_vec();
    let mut scratch = across.make_scratch_vec();
    for (y, line) in plane.data.chunks_exact_mut(width.max(1)).enumerate() {
        row.fill(Complex32::default());
        for (kx, value) in row.iter_mut().take(columns).enumerate() {
            *value = spectrum[kx * height + y];
        }
        // The mean of a real signal is real, and so is its fastest alternation.
        row[0].im = 0.0;
        if let (0, Some(last)) = (width % 2, row.last_mut()) {
            last.im = 0.0;
        }
        // Fails only for buffers of another length or such a mean.
        drop(across.process_with_scratch(&mut row, line, &mut scratch));
    }
    plane
}

/// What is left of the carrier in the outermost two pixels of a segment, and in all others.
fn edge(distance: usize) -> f32 {
    match distance {
        0 => (0.25f32 * std::f32::consts::FRAC_PI_2).sin(),
        1 => (0.75f32 * std::f32::consts::FRAC_PI_2).sin(),
        _ => 1.0,
    }
}

/// The root of the mean square of what [`taper`] multiplies pixels with.
pub(crate) fn faded_rms(layout: &Layout) -> f32 {
    let mut line = Plane::new(layout.size.width as usize, 1);
    let mut sum = 0.0;
    // Rows of units differ where runs go on from one to the next; rows within a unit only by their own factor.
    for unit in 0..layout.rows {
        let rows = layout.mcu.min(layout.size.height as usize - unit * layout.mcu);
        let down: f32 = (0..rows).map(|y| edge(y.min(layout.mcu - 1 - y)).powi(2)).sum();
        line.data.fill(1.0);
        taper_line(&mut line.data, unit * layout.mcu, layout);
        sum += f64::from(down) * line.data.iter().map(|v| f64::from(v * v)).sum::<f64>();
    }
    (sum / layout.size.pixels().max(1) as f64).sqrt() as f32
}

/// Fades the two outermost pixels of each segment, so that neighbours of opposite sign do not meet in a step.
pub(crate) fn taper(plane: &mut Plane, layout: &Layout) {
    let width = plane.width;
    for (y, line) in plane.data.chunks_exact_mut(width.max(1)).enumerate() {
        let inside = y % layout.mcu;
        let down = edge(inside.min(layout.mcu - 1 - inside));
        if down < 1.0 {
            line.iter_mut().for_each(|v| *v *= down);
        }
        taper_line(line, y, layout);
    }
}

/// Fades the left and right ends of the segments in row `y`; a pixel at both ends is faded once.
fn taper_line(line: &mut [f32], y: usize, layout: &Layout) {
    for (_, start, end) in layout.spans(y) {
        let span = &mut line[start..end];
        let length = span.len();
        for distance in 0..2.min(length.div_ceil(2)) {
            span[distance] *= edge(distance);
            if length - 1 - distance != distance {
                span[length - 1 - distance] *= edge(distance);
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
        for plane in [&carrier.w, &Pilot::new(&key(), &[size]).draw_every(1)] {
            let mean = plane.data.iter().sum::<f32>() / plane.data.len() as f32;
            assert!((plane.rms() - 1.0).abs() < 0.05 && mean.abs() < 0.02, "{} {mean}", plane.rms());
        }
    }

    #[test]
    fn noise_drawn_at_every_second_pixel_is_the_noise_of_the_full_size() {
        for (width, height) in [(1440, 900), (640, 480)] {
            let size = Size { width, height };
            let fast = Noise::new(&key(), 0, size);
            assert_eq!(fast.step, 2);
            // The same spectrum on a grid twice as fine: every second sample is the same.
            let slow = noise(&key(), 0, size, 1);
            let rms = slow.rms();
            for (x, y) in (0..width / 2).flat_map(|x| (0..height / 2).map(move |y| (x as usize, y as usize)))
            {
                let (a, b) = (fast.plane.row(y)[x], slow.row(2 * y)[2 * x] / rms);
                assert!((a - b).abs() < 0.01, "{width} {x} {y}: {a} {b}");
            }
            // Interpolated, it keeps its power.
            let between = fast.full(fast.plane.clone(), size);
            assert!((between.rms() - 1.0).abs() < 0.02, "{}", between.rms());
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
        let half = full.scaled(sizes[1]).draw_every(1);
        // Pixel (100, 50) of the half size lies at (200.5, 100.5) of the full size.
        let value: f64 =
            full.waves.iter().map(|w| (TAU * (w.fx * 200.5 + w.fy * 100.5) + w.phase).cos()).sum();
        let value = value * (2.0 / Pilot::WAVES as f64).sqrt();
        assert!((f64::from(half.row(50)[100]) - value).abs() < 1e-3);
    }
}
