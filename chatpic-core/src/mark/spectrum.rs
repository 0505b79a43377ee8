//! The leak as the pilot search sees it: host structure whitened away, then a spectrum in which every bin has the same
//! expected power, so that a wave of the pilot stands out wherever it lies.

use super::chips::power;
use super::plane::Plane;
use realfft::RealFftPlanner;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

/// A power, in grey levels squared, below which a band is noise. The pilot's waves run through ground of all kinds, and
/// the little that JPEG leaves on flat ground is not to have all the say.
const NOISE: f32 = 0.8;

/// Evens out a picture: four octave bands of differences of Gaussians (sigma 0.8 to 12.8), each divided by its local
/// [`power`] over a window as wide as the coarser of the two, brought to unit rms, clipped at 3 and added up.
///
/// Dividing by the power rather than by its root gives smooth ground, where a weak wave is easiest to see, the say over
/// texture: it is the maximum-likelihood weight of a known wave in noise of that local variance.
pub(crate) fn whiten(luma: &Plane) -> Plane {
    let mut out = Plane::new(luma.width, luma.height);
    let mut fine = luma.gaussian(0.8);
    let mut sigma = 0.8f32;
    for _ in 0..4 {
        // A Gaussian of 2 sigma is one of sigma followed by one of sqrt(3) sigma.
        let coarse = fine.gaussian(sigma * 3f32.sqrt());
        let mut band = fine;
        for (b, c) in band.data.iter_mut().zip(&coarse.data) {
            *b -= c;
        }
        let power = power(&band, 2. * sigma);
        let mut square = 0f64;
        for (b, p) in band.data.iter_mut().zip(&power.data) {
            *b /= p + NOISE;
            square += f64::from(*b * *b);
        }
        let rms = (square / band.data.len().max(1) as f64).sqrt() as f32 + 1e-9;
        for (o, b) in out.data.iter_mut().zip(&band.data) {
            *o += (b / rms).clamp(-3., 3.);
        }
        fine = coarse;
        sigma *= 2.;
    }
    out
}

/// Bins either side over which the mean log power is taken.
const NEIGHBOURHOOD: usize = 28;
/// Power of a bin, in units of its neighbourhood's, above which more says no more.
const POWER_CAP: f32 = 12.;
/// Steps of [`Spectrum::power`] per unit.
const POWER_STEP: f32 = 255. / POWER_CAP;
/// Highest frequency, in cycles per pixel along either axis, that is read.
pub(crate) const HIGHEST: f32 = 0.47;

/// The evened spectrum of a plane; frequencies are read at the nearest bin of a transform padded to twice the size.
pub(crate) struct Spectrum {
    width: usize,
    height: usize,
    stride: usize,
    power: Tiles,
    /// One row per vertical frequency from -1/2 up; columns are the horizontal ones from 0 (the rest is the mirror).
    field: Vec<Complex32>,
    /// Mean and standard deviation of `power`, in its steps.
    mean: f32,
    deviation: f32,
}

impl Spectrum {
    /// Transforms a whitened plane. The phase origin is the plane's centre, `((w - 1) / 2, (h - 1) / 2)`.
    pub(crate) fn new(whitened: &Plane) -> Self {
        let (width, height) = (even_size(2 * whitened.width), even_size(2 * whitened.height));
        let stride = width / 2 + 1;
        let raw = transform(whitened, width, height);
        let level = levels(&raw, stride, height);
        // Rows go to -1/2.. order and the phase origin to the plane's centre.
        let (cx, cy) = ((whitened.width as f64 - 1.) / 2., (whitened.height as f64 - 1.) / 2.);
        let turn = |cycles: f64| {
            let (sin, cos) = (std::f64::consts::TAU * cycles).sin_cos();
            Complex32::new(cos as f32, sin as f32)
        };
        let across: Vec<Complex32> = (0..stride).map(|x| turn(x as f64 * cx / width as f64)).collect();
        let mut field = vec![Complex32::ZERO; stride * height];
        let mut sharp = vec![0f32; stride * height];
        for row in 0..height {
            let source = (row + height - height / 2) % height;
            let down = turn((row as f64 - (height / 2) as f64) * cy / height as f64);
            let span = source * stride..(source + 1) * stride;
            let out = row * stride..(row + 1) * stride;
            let bins = raw[span.clone()].iter().zip(&level[span]).zip(&across);
            for (((bin, level), across), (f, s)) in
                bins.zip(field[out.clone()].iter_mut().zip(&mut sharp[out]))
            {
                let even = *bin / *level;
                *s = even.norm_sqr().min(POWER_CAP);
                *f = even * down * across;
            }
        }
        drop((raw, level));
        let power = smooth_to_steps(&sharp, stride, height);
        let count = power.len().max(1) as f64;
        let mean = power.iter().map(|p| f64::from(*p)).sum::<f64>() / count;
        let square = power.iter().map(|p| f64::from(*p).powi(2)).sum::<f64>() / count;
        Self {
            width,
            height,
            stride,
            power: Tiles::new(&power, stride),
            field,
            mean: mean as f32,
            deviation: (square - mean * mean).max(1e-6).sqrt() as f32,
        }
    }

    /// The smoothed power at frequency `(x, y)`, both within [`HIGHEST`]: steps above the mean, in standard deviations
    /// once divided by [`Self::deviation`].
    #[inline]
    pub(crate) fn power(&self, x: f32, y: f32) -> f32 {
        let (x, y) = if x < 0. { (-x, -y) } else { (x, y) };
        let column = (x * self.width as f32 + 0.5) as usize;
        let row = (y * self.height as f32 + 0.5 + (self.height / 2) as f32) as usize;
        f32::from(self.power.at(column, row))
    }

    /// Mean of [`Self::power`] over the spectrum.
    pub(crate) fn mean(&self) -> f32 {
        self.mean
    }

    /// Standard deviation of [`Self::power`] over the spectrum.
    pub(crate) fn deviation(&self) -> f32 {
        self.deviation
    }

    /// The evened amplitude and phase at frequency `(x, y)`; zero beyond [`HIGHEST`].
    pub(crate) fn field(&self, x: f32, y: f32) -> Complex32 {
        if x.abs() >= HIGHEST || y.abs() >= HIGHEST {
            return Complex32::ZERO;
        }
        let mirrored = x < 0.;
        let (x, y) = if mirrored { (-x, -y) } else { (x, y) };
        let column = (x * self.width as f32 + 0.5) as usize;
        let row = (y * self.height as f32 + 0.5 + (self.height / 2) as f32) as usize;
        let value = self.field.get(row * self.stride + column).copied().unwrap_or(Complex32::ZERO);
        if mirrored { value.conj() } else { value }
    }
}

/// Side of a [`Tile`].
const TILE: usize = 8;

/// A square of bins that fills one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Tile([u8; TILE * TILE]);

/// Rows of bins laid out in squares: a search that follows a ray, in whatever direction, finds the next bins at hand.
struct Tiles {
    across: usize,
    tiles: Vec<Tile>,
}

impl Tiles {
    fn new(rows: &[u8], stride: usize) -> Self {
        let across = stride.div_ceil(TILE);
        let down = (rows.len() / stride.max(1)).div_ceil(TILE);
        let mut tiles = vec![Tile([0; TILE * TILE]); across * down];
        for (y, row) in rows.chunks_exact(stride.max(1)).enumerate() {
            let line = tiles[y / TILE * across..].iter_mut();
            for (tile, bins) in line.zip(row.chunks(TILE)) {
                tile.0[y % TILE * TILE..][..bins.len()].copy_from_slice(bins);
            }
        }
        Self { across, tiles }
    }

    /// The bin at `(x, y)`, `x` within a row; 0 below the last one.
    #[inline]
    fn at(&self, x: usize, y: usize) -> u8 {
        let tile = self.tiles.get(y / TILE * self.across + x / TILE);
        tile.map_or(0, |tile| tile.0[y % TILE * TILE + x % TILE])
    }
}

/// The least even number >= `least` with no prime factor above 5.
pub(crate) fn even_size(least: usize) -> usize {
    let smooth = |mut n: usize| {
        for p in [2, 3, 5] {
            while n.is_multiple_of(p) {
                n /= p;
            }
        }
        n == 1
    };
    let mut n = least.max(8).next_multiple_of(2);
    while !smooth(n) {
        n += 2;
    }
    n
}

/// A plane faded out towards its borders by Tukey's window, two fifths of which are slopes: where a ramp breaks off there
/// is detail that is not the picture's.
pub(crate) fn windowed(mut plane: Plane) -> Plane {
    let across = tukey(plane.width);
    for (row, down) in plane.data.chunks_exact_mut(plane.width.max(1)).zip(tukey(plane.height)) {
        row.iter_mut().zip(&across).for_each(|(v, across)| *v *= across * down);
    }
    plane
}

fn tukey(n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| {
            let x = (i as f32 + 0.5) / n as f32;
            let t = x.min(1. - x) / 0.2;
            if t < 1. { 0.5 - 0.5 * (std::f32::consts::PI * t).cos() } else { 1. }
        })
        .collect()
}

/// Two-dimensional transform of the windowed plane, padded with zeros: rows of `width / 2 + 1`, plain order.
fn transform(plane: &Plane, width: usize, height: usize) -> Vec<Complex32> {
    let stride = width / 2 + 1;
    let mut out = vec![Complex32::ZERO; stride * height];
    let plane = windowed(plane.clone());
    let rows = RealFftPlanner::<f32>::new().plan_fft_forward(width);
    let mut line = rows.make_input_vec();
    let mut scratch = rows.make_scratch_vec();
    let sources = plane.data.chunks_exact(plane.width.max(1));
    for (source, target) in sources.zip(out.chunks_exact_mut(stride)) {
        line.fill(0.);
        line[..source.len()].copy_from_slice(source);
        // Cannot fail: the three lengths are the plan's own.
        let _ = rows.process_with_scratch(&mut line, target, &mut scratch);
    }
    const TOGETHER: usize = 16; // columns gathered at once, a cache line's worth and more
    let columns = FftPlanner::<f32>::new().plan_fft_forward(height);
    let mut block = vec![Complex32::ZERO; TOGETHER * height];
    let mut scratch = vec![Complex32::ZERO; columns.get_inplace_scratch_len()];
    for first in (0..stride).step_by(TOGETHER) {
        let many = TOGETHER.min(stride - first);
        for (y, row) in out.chunks_exact(stride).enumerate() {
            for (i, value) in row[first..first + many].iter().enumerate() {
                block[i * height + y] = *value;
            }
        }
        columns.process_with_scratch(&mut block[..many * height], &mut scratch);
        for (y, row) in out.chunks_exact_mut(stride).enumerate() {
            for (i, value) in row[first..first + many].iter_mut().enumerate() {
                *value = block[i * height + y];
            }
        }
    }
    out
}

/// For each bin the amplitude expected there: the root of the exponential of the mean log power around it, plus
/// Euler's constant (the mean of the log of an exponential variable is minus that).
fn levels(raw: &[Complex32], stride: usize, height: usize) -> Vec<f32> {
    const K: usize = NEIGHBOURHOOD;
    let logs: Vec<f32> = raw.iter().map(|f| (f.norm_sqr() + 1e-9).ln()).collect();
    // Across, with the mirror image (-x, -y) standing in beyond both ends; k is small against the stride or clamped.
    let k = K.min(stride.saturating_sub(2));
    let mut across = vec![0f32; logs.len()];
    let mut line = vec![0f32; stride + 2 * k];
    for y in 0..height {
        let here = &logs[y * stride..(y + 1) * stride];
        let mirror = &logs[(height - y) % height * stride..][..stride];
        for i in 0..k {
            line[k - 1 - i] = mirror[i + 1];
            line[k + stride + i] = mirror[stride - 2 - i];
        }
        line[k..k + stride].copy_from_slice(here);
        let mut sum: f64 = line[..2 * k].iter().map(|v| f64::from(*v)).sum();
        for (x, cell) in across[y * stride..(y + 1) * stride].iter_mut().enumerate() {
            sum += f64::from(line[x + 2 * k]);
            *cell = sum as f32;
            sum -= f64::from(line[x]);
        }
    }
    // Down, around the ends.
    let k_down = K.min((height - 1) / 2);
    let mut sums = vec![0f64; stride];
    for y in 0..2 * k_down {
        let row = &across[(y + height - k_down) % height * stride..][..stride];
        sums.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
    }
    let share = 1. / ((2 * k + 1) * (2 * k_down + 1)) as f64;
    let mut out = vec![0f32; logs.len()];
    for y in 0..height {
        let enter = &across[(y + k_down) % height * stride..][..stride];
        let leave = &across[(y + height - k_down) % height * stride..][..stride];
        let row = &mut out[y * stride..(y + 1) * stride];
        for (((cell, sum), enter), leave) in row.iter_mut().zip(&mut sums).zip(enter).zip(leave) {
            *sum += f64::from(*enter);
            *cell = (((*sum * share) as f32 + 0.577_2) / 2.).exp();
            *sum -= f64::from(*leave);
        }
    }
    out
}

/// Smooths by 1-2-1 both ways, mirror beyond the sides and around the ends, and rounds to steps.
fn smooth_to_steps(sharp: &[f32], stride: usize, height: usize) -> Vec<u8> {
    let row = |y: usize| &sharp[y % height * stride..][..stride];
    // Rows run from -1/2: the mirror of row y is row (height - y) % height when the height is even.
    let down = |y: usize, out: &mut Vec<f32>| {
        out.clear();
        let rows = row(y + height - 1).iter().zip(row(y)).zip(row(y + 1));
        out.extend(rows.map(|((a, b), c)| 0.25 * a + 0.5 * b + 0.25 * c));
    };
    let (mut here, mut mirror) = (Vec::new(), Vec::new());
    let mut out = Vec::with_capacity(sharp.len());
    for y in 0..height {
        down(y, &mut here);
        down((height - y) % height, &mut mirror);
        for x in 0..stride {
            let left = if x == 0 { mirror[1] } else { here[x - 1] };
            let right = if x + 1 == stride { mirror[stride - 2] } else { here[x + 1] };
            out.push(((0.25 * left + 0.5 * here[x] + 0.25 * right) * POWER_STEP + 0.5) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_the_rows_they_were_made_of() {
        for (stride, height) in [(1, 1), (8, 16), (13, 21)] {
            let rows: Vec<u8> = (0..stride * height).map(|i| (i * 7 % 251) as u8 + 1).collect();
            let tiles = Tiles::new(&rows, stride);
            for (i, bin) in rows.iter().enumerate() {
                assert_eq!(tiles.at(i % stride, i / stride), *bin);
            }
            assert_eq!(tiles.at(0, height), 0);
        }
    }
}
