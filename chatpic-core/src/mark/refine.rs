//! The pilot read block by block: is it really there, and where exactly does each part of the leak lie?
//!
//! In a small block of the leak each wave is a plane wave of known frequency. Its complex amplitude `D` there
//! (demodulation against the map believed so far) turns by `2 pi f.d` if the block truly lies `d` canvas pixels further
//! on. The map is refined by the smooth displacement `d(x)` that makes the waves of all blocks agree:
//! `J = sum over blocks and waves of Re D exp(-2 pi i f.d(x)) / sqrt(sum |D|^2 / 2)`, of unit variance where there is
//! no pilot. Only the pilot is used: nothing here knows any session's code.

use super::plane::Plane;
use super::spectrum::Spectrum;
use super::warp::Homography;
use crate::wide::wide;
use rustfft::num_complex::{Complex32, Complex64};
use std::f64::consts::TAU;

/// One wave of a pilot: `cos(2 pi (x X + y Y) + phase)` at canvas pixel `(X, Y)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wave {
    /// Cycles per canvas pixel across.
    pub(crate) x: f64,
    /// Cycles per canvas pixel down.
    pub(crate) y: f64,
    /// Radians.
    pub(crate) phase: f64,
}

/// All waves of a pilot.
#[derive(Clone, Debug)]
pub(crate) struct Waves {
    waves: Vec<Wave>,
    highest: f64,
}

impl Waves {
    /// Takes the waves as they are; at least one, none of frequency zero.
    pub(crate) fn new(waves: impl IntoIterator<Item = Wave>) -> Self {
        let waves: Vec<Wave> = waves.into_iter().collect();
        let highest = waves.iter().map(|w| w.x.hypot(w.y)).fold(1e-9, f64::max);
        Self { waves, highest }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Wave> {
        self.waves.iter()
    }

    /// Highest frequency, cycles per canvas pixel.
    pub(crate) fn highest(&self) -> f64 {
        self.highest
    }

    /// The frequencies, in cycles per leak pixel, at which the waves show through a linear map (row major).
    pub(crate) fn seen_through(&self, linear: &[f64; 4], out: &mut Vec<(f32, f32)>) {
        let [a, b, c, d] = linear;
        out.clear();
        out.extend(self.iter().map(|w| ((a * w.x + c * w.y) as f32, (b * w.x + d * w.y) as f32)));
    }

    /// The leak's field where the waves show, their phases undone, none larger than 2.4; and how many are in reach.
    pub(crate) fn read(&self, spectrum: &Spectrum, linear: &[f64; 4]) -> (Vec<Complex32>, usize) {
        const LARGEST: f32 = 2.4;
        let mut towards = Vec::new();
        self.seen_through(linear, &mut towards);
        let values: Vec<Complex32> = towards
            .iter()
            .zip(&self.waves)
            .map(|((x, y), wave)| {
                let value = spectrum.field(*x, *y) * Complex32::from_polar(1., -wave.phase as f32);
                value * (LARGEST / value.norm().max(LARGEST))
            })
            .collect();
        let valid = values.iter().filter(|v| **v != Complex32::ZERO).count();
        (values, valid)
    }
}

/// The waves' complex amplitudes in the blocks of a leak.
pub(crate) struct Blocks {
    /// Canvas point under each block's centre.
    centres: Vec<(f64, f64)>,
    /// Real and imaginary parts, per block [`Self::groups`] groups of waves; the last group is filled up with zeros.
    real: Vec<[f32; LANES]>,
    imaginary: Vec<[f32; LANES]>,
    groups: usize,
}

/// Waves handled at once: a processor's wide registers hold four or eight numbers.
const LANES: usize = 8;

/// Side of a block in pixels of the whitened plane.
const BLOCK: usize = 48;

impl Blocks {
    /// The amplitudes in a whitened leak that lies on the canvas by `map` (its pixels to canvas pixels), the waves evened
    /// out. Blocks off the canvas are left out.
    pub(crate) fn read(whitened: &Plane, map: &Homography, canvas: (f64, f64), waves: &Waves) -> Self {
        let mut blocks = Self::demodulated(whitened, map, canvas, waves);
        wide!(blocks.even_waves());
        blocks
    }

    fn demodulated(whitened: &Plane, map: &Homography, canvas: (f64, f64), waves: &Waves) -> Self {
        let groups = waves.iter().len().div_ceil(LANES);
        let mut blocks = Self { centres: Vec::new(), real: Vec::new(), imaginary: Vec::new(), groups };
        let (columns, rows) = (whitened.width.div_ceil(BLOCK), whitened.height.div_ceil(BLOCK));
        let mut phasors = Phasors::default();
        for row in 0..rows {
            for column in 0..columns {
                let x = column * whitened.width / columns..(column + 1) * whitened.width / columns;
                let y = row * whitened.height / rows..(row + 1) * whitened.height / rows;
                let middle = ((x.start + x.end - 1) as f64 / 2., (y.start + y.end - 1) as f64 / 2.);
                let centre = map.apply(middle.0, middle.1);
                if !(centre.0 > 0. && centre.1 > 0. && centre.0 < canvas.0 && centre.1 < canvas.1) {
                    continue;
                }
                let slope = map.jacobian(middle.0, middle.1);
                phasors.aim(waves, slope);
                wide!(blocks.add(whitened, (x, y), centre, waves, &phasors));
            }
        }
        blocks
    }

    /// Brings each wave to the same mean power over the blocks, nearly all of which is noise, and shortens amplitudes of
    /// more than twice the rms. Coarse waves lie where pictures are strongest; unevened, they would drown the fine ones.
    #[inline(always)]
    fn even_waves(&mut self) {
        const LONGEST: f32 = 2.;
        let mut power = vec![[0f32; LANES]; self.groups];
        for (real, imaginary) in self.each() {
            for ((power, re), im) in power.iter_mut().zip(real).zip(imaginary) {
                for i in 0..LANES {
                    power[i] += re[i] * re[i] + im[i] * im[i];
                }
            }
        }
        let count = self.len().max(1) as f32;
        let gains: Vec<[f32; LANES]> =
            power.iter().map(|power| power.map(|p| 1. / (p / count).sqrt().max(1e-9))).collect();
        let (reals, imaginaries) =
            (self.real.chunks_exact_mut(self.groups), self.imaginary.chunks_exact_mut(self.groups));
        for (real, imaginary) in reals.zip(imaginaries) {
            for ((gain, re), im) in gains.iter().zip(real).zip(imaginary) {
                for i in 0..LANES {
                    let length = gain[i] * (re[i] * re[i] + im[i] * im[i]).sqrt();
                    let factor = gain[i] * (LONGEST / length.max(LONGEST));
                    re[i] *= factor;
                    im[i] *= factor;
                }
            }
        }
    }

    #[inline(always)]
    fn add(
        &mut self,
        plane: &Plane,
        (x, y): (std::ops::Range<usize>, std::ops::Range<usize>),
        centre: (f64, f64),
        waves: &Waves,
        phasors: &Phasors,
    ) {
        let width = x.len();
        let mut real = [0f32; BLOCK];
        let mut imaginary = [0f32; BLOCK];
        let (real, imaginary) = (&mut real[..width], &mut imaginary[..width]);
        self.centres.push(centre);
        let first = self.real.len();
        self.real.resize(first + self.groups, [0.; LANES]);
        self.imaginary.resize(first + self.groups, [0.; LANES]);
        let line = |y: usize| &plane.data[y * plane.width + x.start..][..width];
        for (k, wave) in waves.iter().enumerate() {
            real.fill(0.);
            imaginary.fill(0.);
            let (fours, rest) = phasors.down[k][..y.len()].as_chunks::<4>();
            // Four lines at a time, so that the sums are read and written a quarter as often.
            for (turns, top) in fours.iter().zip(y.clone().step_by(4)) {
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| line(top + i));
                let sums = real.iter_mut().zip(imaginary.iter_mut());
                for ((re, im), (((a, b), c), d)) in sums.zip(a.iter().zip(b).zip(c).zip(d)) {
                    *re += a * turns[0].re + b * turns[1].re + c * turns[2].re + d * turns[3].re;
                    *im += a * turns[0].im + b * turns[1].im + c * turns[2].im + d * turns[3].im;
                }
            }
            for (turn, y) in rest.iter().zip(y.start + 4 * fours.len()..) {
                for ((re, im), pixel) in real.iter_mut().zip(imaginary.iter_mut()).zip(line(y)) {
                    *re += pixel * turn.re;
                    *im += pixel * turn.im;
                }
            }
            let mut sum = Complex32::ZERO;
            for ((re, im), turn) in real.iter().zip(imaginary.iter()).zip(&phasors.across[k]) {
                sum += Complex32::new(*re, *im) * turn;
            }
            let (gx, gy) = phasors.towards[k];
            // From the block's first pixel to its centre.
            let inward = (gx * (width as f64 - 1.) + gy * (y.len() as f64 - 1.)) / 2.;
            let phase = TAU * (wave.x * centre.0 + wave.y * centre.1 - inward).fract() + wave.phase;
            let amplitude = sum * Complex32::from_polar(1., -phase as f32);
            self.real[first + k / LANES][k % LANES] = amplitude.re;
            self.imaginary[first + k / LANES][k % LANES] = amplitude.im;
        }
    }

    /// Each block's amplitudes, real and imaginary parts.
    fn each(&self) -> impl Iterator<Item = (&[[f32; LANES]], &[[f32; LANES]])> {
        self.real.chunks_exact(self.groups).zip(self.imaginary.chunks_exact(self.groups))
    }

    /// How many blocks there are.
    pub(crate) fn len(&self) -> usize {
        self.centres.len()
    }
}

/// `exp(-2 pi i g.u)` along both axes of a block, for every wave, `u` from the block's first pixel; kept from block to
/// block while the slope of the map stays the same, as it does for affine maps.
#[derive(Default)]
struct Phasors {
    slope: Option<[f64; 4]>,
    /// `g`, cycles per pixel across and down.
    towards: Vec<(f64, f64)>,
    across: Vec<[Complex32; BLOCK]>,
    down: Vec<[Complex32; BLOCK]>,
}

impl Phasors {
    fn aim(&mut self, waves: &Waves, slope: [f64; 4]) {
        let same = |old: [f64; 4]| slope.iter().zip(old).all(|(a, b)| (a - b).abs() < 1e-9);
        if self.slope.is_some_and(same) {
            return;
        }
        self.slope = Some(slope);
        let [a, b, c, d] = slope;
        self.towards.clear();
        self.towards.extend(waves.iter().map(|wave| (a * wave.x + c * wave.y, b * wave.x + d * wave.y)));
        let run = |cycles: f64| {
            let step = Complex64::from_polar(1., -TAU * cycles);
            let mut turn = Complex64::ONE;
            [(); BLOCK].map(|()| {
                let here = Complex32::new(turn.re as f32, turn.im as f32);
                turn *= step;
                here
            })
        };
        self.across = self.towards.iter().map(|(x, _)| run(*x)).collect();
        self.down = self.towards.iter().map(|(_, y)| run(*y)).collect();
    }
}

/// Unknowns of a displacement: six of an affine one, two more for perspective.
pub(crate) const UNKNOWNS: usize = 8;
pub(crate) type Vector = [f64; UNKNOWNS];
pub(crate) type Matrix = [[f64; UNKNOWNS]; UNKNOWNS];

/// How each unknown moves the point `(u, v)`, across and down; the last two are perspective to first order.
pub(crate) fn basis(u: f64, v: f64) -> (Vector, Vector) {
    ([1., u, v, 0., 0., 0., u * u, u * v], [0., 0., 0., 1., u, v, u * v, v * v])
}

/// The displacement with coefficients `q` as a map of the plane onto itself, in coordinates with their origin at
/// `middle` and their unit `spread`; `q` itself is in pixels.
pub(crate) fn displacement(q: &Vector, middle: (f64, f64), spread: f64) -> Homography {
    let s = spread;
    let unit = Homography([
        1. + q[1] / s,
        q[2] / s,
        q[0] / s,
        q[4] / s,
        1. + q[5] / s,
        q[3] / s,
        -q[6] / s,
        -q[7] / s,
        1.,
    ]);
    let (mx, my) = middle;
    let to = Homography([1. / s, 0., -mx / s, 0., 1. / s, -my / s, 0., 0., 1.]);
    let from = Homography([s, 0., mx, 0., s, my, 0., 0., 1.]);
    from.after(&unit.after(&to))
}

/// A refined map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refined {
    /// Leak pixels to canvas pixels.
    pub(crate) map: Homography,
    /// `J`: about 7 at most where there is no pilot, 8 to 100 where there is.
    pub(crate) score: f64,
    /// The largest coefficient of the last displacement, canvas pixels.
    pub(crate) moved: f64,
}

/// What [`refine`] may change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Freedom {
    Affine,
    Perspective,
}

/// Steps of reading a plane's blocks and refining a map from `starts` starting points.
pub(crate) fn price(whitened: &Plane, waves: &Waves, starts: usize) -> f64 {
    let (pixels, waves) = ((whitened.width * whitened.height) as f64, waves.iter().len() as f64);
    let blocks = pixels / (BLOCK * BLOCK) as f64;
    waves * (0.3 * pixels + 60. * blocks * starts as f64)
}

/// Refines `map` by the displacement of greatest `J`, from `starts` starting points: none, then fixed pseudo-random
/// ones of a few pixels' size.
pub(crate) fn refine(
    blocks: &Blocks,
    map: &Homography,
    waves: &Waves,
    freedom: Freedom,
    starts: usize,
) -> Refined {
    if blocks.len() < 2 {
        return Refined { map: *map, score: 0., moved: 0. };
    }
    let problem = Problem::new(blocks, waves, freedom);
    let mut dice = Dice(0x9E37_79B9);
    let reach = match freedom {
        Freedom::Affine => [1.0, 1.5, 1.5, 1.0, 1.5, 1.5, 0., 0.],
        Freedom::Perspective => [1.0, 2.0, 2.0, 1.0, 2.0, 2.0, 2.5, 2.5],
    };
    let (mut best, mut at) = (f64::MIN, [0.; UNKNOWNS]);
    for start in 0..starts.max(1) {
        let from = if start == 0 { [0.; UNKNOWNS] } else { reach.map(|r| r * dice.throw()) };
        let (score, q) = problem.climb(from);
        if score > best {
            (best, at) = (score, q);
        }
    }
    let moved = at.iter().fold(0f64, |a, b| a.max(b.abs()));
    Refined { map: displacement(&at, problem.middle, problem.spread).after(map), score: best, moved }
}

/// Roughly normal numbers, the same ones every time.
struct Dice(u32);

impl Dice {
    fn throw(&mut self) -> f64 {
        let mut sum = -2.;
        for _ in 0..4 {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            sum += f64::from(self.0 >> 8) / f64::from(1u32 << 24);
        }
        sum * 1.7 // four uniform numbers have a variance of a third
    }
}

/// The displacement that best explains the blocks' amplitudes.
struct Problem<'a> {
    blocks: &'a Blocks,
    /// The waves' frequencies across and down, grouped as the blocks have them.
    across: Vec<[f32; LANES]>,
    down: Vec<[f32; LANES]>,
    unknowns: usize,
    middle: (f64, f64),
    spread: f64,
    norm: f64,
    /// Largest curvature the sum can have, per block: `sum |D| (2 pi)^2 f f'` as (xx, xy, yy).
    ceiling: Vec<[f64; 3]>,
}

impl<'a> Problem<'a> {
    fn new(blocks: &'a Blocks, waves: &Waves, freedom: Freedom) -> Self {
        let count = blocks.len() as f64;
        let sum = blocks.centres.iter().fold((0., 0.), |s, c| (s.0 + c.0, s.1 + c.1));
        let middle = (sum.0 / count, sum.1 / count);
        let spread = blocks
            .centres
            .iter()
            .map(|c| (c.0 - middle.0).abs().max((c.1 - middle.1).abs()))
            .fold(50., f64::max);
        let (mut across, mut down) = (vec![[0.; LANES]; blocks.groups], vec![[0.; LANES]; blocks.groups]);
        for (k, wave) in waves.iter().enumerate() {
            across[k / LANES][k % LANES] = wave.x as f32;
            down[k / LANES][k % LANES] = wave.y as f32;
        }
        let mut power = 0.;
        let mut ceiling = Vec::with_capacity(blocks.len());
        for (real, imaginary) in blocks.each() {
            let mut out = [0.; 3];
            let amplitudes = real.iter().flatten().zip(imaginary.iter().flatten());
            for ((re, im), (x, y)) in amplitudes.zip(across.iter().flatten().zip(down.iter().flatten())) {
                let square = f64::from(re * re + im * im);
                let (weight, x, y) = (TAU * TAU * square.sqrt(), f64::from(*x), f64::from(*y));
                power += square;
                out = [out[0] + weight * x * x, out[1] + weight * x * y, out[2] + weight * y * y];
            }
            ceiling.push(out);
        }
        let unknowns = if freedom == Freedom::Affine { 6 } else { 8 };
        let norm = (power / 2. + 1e-12).sqrt();
        Self { blocks, across, down, unknowns, middle, spread, norm, ceiling }
    }

    fn place(&self, block: usize) -> (f64, f64) {
        let (x, y) = self.blocks.centres[block];
        ((x - self.middle.0) / self.spread, (y - self.middle.1) / self.spread)
    }

    /// `J` alone.
    fn value(&self, q: &Vector) -> f64 {
        wide!(self.sum(q)) / self.norm
    }

    #[inline(always)]
    fn sum(&self, q: &Vector) -> f64 {
        let mut sum = 0.;
        for (b, (real, imaginary)) in self.blocks.each().enumerate() {
            let (dx, dy) = self.move_of(b, q);
            let mut lanes = [0f32; LANES];
            for ((re, im), (x, y)) in real.iter().zip(imaginary).zip(self.across.iter().zip(&self.down)) {
                for i in 0..LANES {
                    let (sin, cos) = quick_sin_cos(x[i] * dx + y[i] * dy);
                    lanes[i] += re[i] * cos + im[i] * sin;
                }
            }
            sum += f64::from(lanes.iter().sum::<f32>());
        }
        sum
    }

    /// By how many canvas pixels block `block` is moved.
    fn move_of(&self, block: usize, q: &Vector) -> (f32, f32) {
        let (u, v) = self.place(block);
        let (bx, by) = basis(u, v);
        let along = |basis: &Vector| basis.iter().zip(q).map(|(b, q)| b * q).sum::<f64>() as f32;
        (along(&bx), along(&by))
    }

    /// The gradient of `J`, minus its second derivatives, and the ceiling of those.
    #[inline(always)]
    fn slopes(&self, q: &Vector) -> (Vector, Matrix, Matrix) {
        let mut gradient = [0.; UNKNOWNS];
        let mut curvature = [[0.; UNKNOWNS]; UNKNOWNS];
        let mut ceiling = [[0.; UNKNOWNS]; UNKNOWNS];
        for (b, (real, imaginary)) in self.blocks.each().enumerate() {
            let (dx, dy) = self.move_of(b, q);
            let mut sums = [[0f32; LANES]; 5];
            for ((re, im), (x, y)) in real.iter().zip(imaginary).zip(self.across.iter().zip(&self.down)) {
                for i in 0..LANES {
                    let (sin, cos) = quick_sin_cos(x[i] * dx + y[i] * dy);
                    let along = re[i] * cos + im[i] * sin;
                    let across = im[i] * cos - re[i] * sin;
                    sums[0][i] += across * x[i];
                    sums[1][i] += across * y[i];
                    sums[2][i] += along * x[i] * x[i];
                    sums[3][i] += along * x[i] * y[i];
                    sums[4][i] += along * y[i] * y[i];
                }
            }
            let [gx, gy, xx, xy, yy] = sums.map(|lanes| f64::from(lanes.iter().sum::<f32>()) * TAU);
            let own = [xx, xy, yy].map(|sum| sum * TAU);
            let (u, v) = self.place(b);
            let (bx, by) = basis(u, v);
            for i in 0..self.unknowns {
                gradient[i] += (bx[i] * gx + by[i] * gy) / self.norm;
                for (sum, [xx, xy, yy]) in [(&mut curvature, own), (&mut ceiling, self.ceiling[b])] {
                    for j in 0..=i {
                        sum[i][j] +=
                            (bx[i] * bx[j] * xx + (bx[i] * by[j] + by[i] * bx[j]) * xy + by[i] * by[j] * yy)
                                / self.norm;
                    }
                }
            }
        }
        (gradient, curvature, ceiling)
    }

    /// Newton's method, held to steps that climb: the second derivatives are mixed with their ceiling, under which every
    /// step is sure to climb, by as much as it takes.
    fn climb(&self, mut q: Vector) -> (f64, Vector) {
        let mut value = self.value(&q);
        let mut caution = 0.1;
        for _ in 0..25 {
            let (gradient, curvature, ceiling) = wide!(self.slopes(&q));
            let mut gained = None;
            while caution <= 1.5 {
                let mut system = curvature;
                for (row, high) in system.iter_mut().zip(&ceiling) {
                    row.iter_mut().zip(high).for_each(|(c, h)| *c += caution * h);
                }
                if let Some(step) = solve(&system, &gradient, self.unknowns) {
                    let mut next = q;
                    next.iter_mut().zip(step).for_each(|(q, s)| *q += s);
                    let there = self.value(&next);
                    if there > value {
                        gained = Some((there, next));
                        break;
                    }
                }
                caution *= 3.;
            }
            caution = (caution / 4.).clamp(0.003, 1.);
            let Some((there, next)) = gained else { break };
            let little = there - value < 1e-4 * (1. + there.abs());
            (value, q) = (there, next);
            if little {
                break;
            }
        }
        (value, q)
    }
}

/// Sine and cosine of `cycles` turns, fewer than a million, within 1e-4: Taylor's series of half the angle, then
/// doubled. It has no branch, so that many are computed at once; phases of block amplitudes are far noisier than that.
#[inline(always)]
fn quick_sin_cos(cycles: f32) -> (f32, f32) {
    // Adding and taking away 1.5 * 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.;
    let x = (cycles - ((cycles + ROUND) - ROUND)) * std::f32::consts::PI;
    let square = x * x;
    let sin = x
        * (1. - square * (1. / 6. - square * (1. / 120. - square * (1. / 5040. - square * (1. / 362_880.)))));
    let cos = 1. - square * (0.5 - square * (1. / 24. - square * (1. / 720. - square * (1. / 40_320.))));
    (2. * sin * cos, 1. - 2. * sin * sin)
}

/// Solves the first `size` rows of a positive definite system by Cholesky's method; only the lower triangle is read.
/// `None` if it is not.
pub(crate) fn solve<const N: usize>(
    system: &[[f64; N]; N],
    right: &[f64; N],
    size: usize,
) -> Option<[f64; N]> {
    let mut factor = [[0.; N]; N];
    for i in 0..size {
        for j in 0..=i {
            let rest: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let value = system[i][j] - rest;
            if i == j {
                if value <= 1e-9 * system[i][i].abs() || !value.is_finite() {
                    return None;
                }
                factor[i][i] = value.sqrt();
            } else {
                factor[i][j] = value / factor[j][j];
            }
        }
    }
    let mut out = [0.; N];
    for i in 0..size {
        let rest: f64 = (0..i).map(|k| factor[i][k] * out[k]).sum();
        out[i] = (right[i] - rest) / factor[i][i];
    }
    for i in (0..size).rev() {
        let rest: f64 = (i + 1..size).map(|k| factor[k][i] * out[k]).sum();
        out[i] = (out[i] - rest) / factor[i][i];
    }
    Some(out)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::plane::tests::uniform;
    use super::*;

    /// The pilot that tests look for.
    pub(crate) fn waves() -> Waves {
        Waves::new((0..40).map(|k| {
            let angle = (k as f64 + 0.37) * std::f64::consts::PI / 40.;
            let radius = 0.06 + 0.07 * ((k * 17 % 40) as f64 / 40.);
            Wave { x: radius * angle.cos(), y: radius * angle.sin(), phase: (k * k) as f64 }
        }))
    }

    fn leak(waves: &Waves, map: &Homography) -> Plane {
        let (width, height) = (500, 360);
        let mut plane = Plane::new(width, height);
        let mut uniform = uniform(7);
        for y in 0..height {
            for x in 0..width {
                let (u, v) = map.apply(x as f64, y as f64);
                let sum: f64 = waves.iter().map(|w| (TAU * (w.x * u + w.y * v) + w.phase).cos()).sum();
                plane.data[y * width + x] = 0.15 * sum as f32 + 8. * uniform();
            }
        }
        plane
    }

    #[test]
    fn a_map_a_few_pixels_off_is_brought_home_and_scores_high() {
        let waves = waves();
        let truth = Homography([1.02, 0.01, 3.2, -0.013, 0.99, -2.1, 2e-5, -1e-5, 1.]);
        let plane = leak(&waves, &truth);
        let mut map = Homography::IDENTITY;
        let mut score = 0.;
        for freedom in [Freedom::Affine, Freedom::Affine, Freedom::Perspective, Freedom::Perspective] {
            let refined = refine(&Blocks::read(&plane, &map, (520., 380.), &waves), &map, &waves, freedom, 8);
            (map, score) = (refined.map, refined.score);
        }
        assert!(score > 30., "{score}");
        for (x, y) in [(0., 0.), (500., 0.), (0., 360.), (500., 360.)] {
            let ((a, b), (c, d)) = (truth.apply(x, y), map.apply(x, y));
            assert!((a - c).hypot(b - d) < 0.3, "{:?} for {:?}", (c, d), (a, b));
        }
    }

    #[test]
    fn another_pilot_does_not_score() {
        let plane = leak(&waves(), &Homography::IDENTITY);
        let other = Waves::new(waves().iter().map(|w| Wave { x: -w.y, y: w.x * 1.07, phase: 2. * w.phase }));
        let blocks = Blocks::read(&plane, &Homography::IDENTITY, (500., 360.), &other);
        let refined = refine(&blocks, &Homography::IDENTITY, &other, Freedom::Affine, 8);
        assert!(refined.score < 12., "{}", refined.score);
    }

    #[test]
    fn block_amplitudes_agree_with_the_sum_they_stand_for() {
        let waves = waves();
        let map = Homography([1.02, 0.1, 3.2, -0.13, 0.99, 40., 0., 0., 1.]);
        let plane = leak(&waves, &map);
        let blocks = Blocks::demodulated(&plane, &map, (1e3, 1e3), &waves);
        let wave = waves.iter().nth(5).unwrap();
        let mut slow = Complex64::new(0., 0.);
        let (width, height) = (500 / 500usize.div_ceil(BLOCK), 360 / 360usize.div_ceil(BLOCK));
        for y in 0..height {
            for x in 0..width {
                let (u, v) = map.apply(x as f64, y as f64);
                let turn = Complex64::from_polar(1., -(TAU * (wave.x * u + wave.y * v) + wave.phase));
                slow += turn * f64::from(plane.data[y * 500 + x]);
            }
        }
        let (re, im) = (f64::from(blocks.real[0][5]), f64::from(blocks.imaginary[0][5]));
        assert!((re - slow.re).hypot(im - slow.im) < 0.05, "{re} {im} {slow}");
    }

    #[test]
    fn no_wave_outweighs_another() {
        let waves = waves();
        let mut plane = leak(&waves, &Homography::IDENTITY);
        let coarse = waves.iter().min_by(|a, b| a.x.hypot(a.y).total_cmp(&b.x.hypot(b.y))).unwrap();
        plane.data.iter_mut().enumerate().for_each(|(i, v)| {
            *v += 9. * ((TAU * (coarse.x * (i % 500) as f64 + coarse.y * (i / 500) as f64)) as f32).sin();
        });
        let blocks = Blocks::read(&plane, &Homography::IDENTITY, (500., 360.), &waves);
        for k in 0..40 {
            let power = |(re, im): (&[[f32; LANES]], &[[f32; LANES]])| {
                re[k / LANES][k % LANES].powi(2) + im[k / LANES][k % LANES].powi(2)
            };
            let mean = blocks.each().map(power).sum::<f32>() / blocks.len() as f32;
            assert!((0.7..1.01).contains(&mean), "{k}: {mean}");
        }
    }

    #[test]
    fn the_slopes_are_those_of_the_value() {
        let waves = waves();
        let plane = leak(&waves, &Homography::IDENTITY);
        let blocks = Blocks::read(&plane, &Homography::IDENTITY, (500., 360.), &waves);
        let problem = Problem::new(&blocks, &waves, Freedom::Perspective);
        let q = [0.5, -0.3, 0.8, 0.1, 0.9, -0.4, 0.3, -0.7];
        let (gradient, ..) = problem.slopes(&q);
        for i in 0..UNKNOWNS {
            let (mut up, mut down) = (q, q);
            up[i] += 0.02;
            down[i] -= 0.02;
            let slope = (problem.value(&up) - problem.value(&down)) / 0.04;
            assert!((slope - gradient[i]).abs() < 0.02 * (1. + slope.abs()), "{i}: {slope} {}", gradient[i]);
        }
    }

    #[test]
    fn the_quick_sine_is_a_sine() {
        for i in -1000..1000 {
            let cycles = i as f32 * 0.0137;
            let (sin, cos) = quick_sin_cos(cycles);
            let (s, c) = (f64::from(cycles) * TAU).sin_cos();
            assert!((f64::from(sin) - s).abs() < 1e-4 && (f64::from(cos) - c).abs() < 1e-4, "{cycles}");
        }
    }
}
