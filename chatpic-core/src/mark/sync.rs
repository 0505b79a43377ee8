//! The pilot search: how a leak lies on its canvas.
//!
//! A leak is, to first order, `x = A (u - centre) + t`: `A` linear, `u` leak pixels, `x` canvas pixels. Under it a pilot
//! wave of frequency `f` shows at `g = transpose(A) f` in the leak, whatever `t` is. So `A` is found first, by adding up
//! the leak's power at all `g` (the *incoherent* score) over a grid of `A`; then `t`, by adding up the waves' phases
//! (the *coherent* score) for all `t` at once. Only the pilot is used: nothing here knows any session's code.

use super::effort::Effort;
use super::refine::Waves;
use super::spectrum::{HIGHEST, Spectrum};
use super::spread::spread;
use super::warp::Homography;
use crate::wide::wide;
use rustfft::num_complex::Complex32;

/// How hard to look, in the order in which a trace tries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Upright and evenly scaled: crops, resizes, screenshots.
    Upright,
    /// Mirrored, turned by right angles, stretched by up to 14 %.
    Stretched,
    /// Turned by a few degrees, sheared and stretched a little: a camera held by hand.
    Tilted,
    /// Turned by any angle.
    Turned,
}

/// A place the leak may have on the canvas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// `A`, row major.
    pub(crate) linear: [f64; 4],
    /// `t`: the canvas point under the leak's centre.
    pub(crate) shift: [f64; 2],
    /// Coherent score, about 1 per standard deviation; the best of a null search stays below 9.
    pub(crate) coherent: f32,
    /// Incoherent score in standard deviations.
    pub(crate) incoherent: f32,
}

impl Candidate {
    /// What candidates are ranked by.
    pub(crate) fn score(&self) -> f32 {
        self.coherent + 0.12 * self.incoherent.min(30.)
    }
}

/// A linear map worth a closer look, with its incoherent score.
#[derive(Clone, Copy)]
struct Rough {
    linear: [f64; 4],
    score: f32,
}

/// One leak against one canvas.
pub(crate) struct Search<'a> {
    spectrum: &'a Spectrum,
    waves: &'a Waves,
    /// Sides of the plane the spectrum is of.
    extent: (usize, usize),
    canvas: (f64, f64),
    places: Places,
    threads: usize,
    effort: &'a Effort,
}

/// Canvas sides over leak sides beyond which a leak is not looked for (the canvas shown 5 times enlarged).
const SMALLEST_SCALE: f64 = 0.2;
/// Least length, in leak pixels, of the shown canvas's long side.
const SHORTEST_SHOWN: f64 = 180.;

impl<'a> Search<'a> {
    /// `extent`: width and height of the plane behind `spectrum`; `canvas`: those of the full canvas.
    pub(crate) fn new(
        spectrum: &'a Spectrum,
        waves: &'a Waves,
        extent: (usize, usize),
        canvas: (f64, f64),
        threads: usize,
        effort: &'a Effort,
    ) -> Self {
        let places = Places::new(waves, canvas);
        Self { spectrum, waves, extent, canvas, places, threads, effort }
    }

    /// Best candidates of one stage, best first, at most `top`. `zoom`: leak pixels per pixel of the searched plane.
    ///
    /// `stop` is asked between pieces of work; once it says yes the answer is incomplete.
    pub(crate) fn stage(
        &self,
        stage: Stage,
        zoom: f64,
        top: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Candidate> {
        const UPRIGHT: [f64; 4] = [1., 0., 0., 1.];
        const LEVEL: [f64; 4] = [0., -1., 1., 0.];
        let scales = self.scales(zoom);
        let step = 1. / (self.long_side() * self.waves.highest());
        let mut found = Vec::new();
        match stage {
            Stage::Upright => {
                let rough = self.sweep(&[UPRIGHT], &scales, 600, stop);
                self.place_all(&rough, &[1.], &mut found, stop);
            }
            Stage::Stretched => {
                let plain: Vec<_> = [UPRIGHT, LEVEL].into_iter().flat_map(both_hands).collect();
                let rough = self.sweep(&plain, &scales, 200, stop);
                let best = self.place_all(&rough, &[1., -1.], &mut found, stop);
                if best < CONVINCING {
                    let mut forms = Vec::new();
                    for stretch in around(0., 0.14, step) {
                        for turn in [UPRIGHT, LEVEL] {
                            forms.extend(both_hands(form(0., stretch, 0., turn)));
                        }
                    }
                    let rough = self.sweep(&forms, &scales, 300, stop);
                    self.place_all(&rough, &[1., -1.], &mut found, stop);
                }
            }
            Stage::Tilted => {
                let mut forms = Vec::new();
                for angle in around(0., 0.06, step) {
                    for stretch in around(0., 0.06, step) {
                        forms
                            .extend(around(0., 0.06, step).map(|shear| form(angle, stretch, shear, UPRIGHT)));
                    }
                }
                let rough = self.sweep(&forms, &scales, 400, stop);
                self.place_all(&rough, &[1.], &mut found, stop);
            }
            Stage::Turned => {
                let quarter = std::f64::consts::FRAC_PI_2;
                let mut forms = Vec::new();
                for angle in around(0., quarter, 0.75 * step) {
                    forms.extend(both_hands(form(angle, 0., 0., UPRIGHT)));
                }
                let rough = self.sweep(&forms, &scales, 400, stop);
                self.place_all(&rough, &[1., -1.], &mut found, stop);
            }
        }
        self.sharpen(found, top, stop)
    }

    fn long_side(&self) -> f64 {
        self.extent.0.max(self.extent.1) as f64
    }

    /// Canvas pixels per searched pixel, from the canvas enlarged five times to the canvas shown small. Neighbours
    /// differ by two thirds of a cycle of the highest wave over what the leak shows of the canvas.
    fn scales(&self, zoom: f64) -> Vec<f64> {
        let (long, canvas) = (self.long_side(), self.canvas.0.max(self.canvas.1));
        let last = canvas / SHORTEST_SHOWN * zoom;
        let mut scale = (SMALLEST_SCALE * zoom).min(0.5 * canvas / long).min(last);
        let mut scales = Vec::new();
        while scale <= last {
            scales.push(scale);
            scale *= 1. + 0.65 / ((long * scale).min(canvas) * self.waves.highest());
        }
        scales
    }

    /// Incoherent scores of every form at every scale; the best `keep`, best first.
    fn sweep(
        &self,
        forms: &[[f64; 4]],
        scales: &[f64],
        keep: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Rough> {
        let paid = self.effort.pay_for(forms.len(), scales.len() as f64 * self.price_of_power());
        let forms = &forms[..paid];
        let pieces: Vec<&[[f64; 4]]> = forms.chunks(forms.len().div_ceil(64).max(1)).collect();
        let kept = spread(&pieces, self.threads, |piece| {
            let mut best: Vec<Rough> = Vec::new();
            let mut bar = f32::MIN;
            let mut towards = Vec::new();
            for form in *piece {
                if stop() {
                    break;
                }
                self.waves.seen_through(form, &mut towards);
                for scale in scales {
                    let score = self.power_at(&towards, *scale as f32);
                    if score > bar {
                        best.push(Rough { linear: form.map(|v| v * scale), score });
                        if best.len() >= 4 * keep {
                            best.select_nth_unstable_by(keep, |a, b| b.score.total_cmp(&a.score));
                            bar = best[keep].score;
                            best.truncate(keep);
                        }
                    }
                }
            }
            best
        });
        let mut all: Vec<Rough> = kept.into_iter().flatten().collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all.truncate(keep);
        all
    }

    fn incoherent(&self, linear: &[f64; 4]) -> f32 {
        let mut towards = Vec::new();
        self.waves.seen_through(linear, &mut towards);
        self.power_at(&towards, 1.)
    }

    /// Steps of [`Self::power_at`]: the spectrum does not fit into a core's own memory.
    fn price_of_power(&self) -> f64 {
        6. * self.waves.iter().len() as f64
    }

    /// Power above the mean at all waves, in standard deviations of that sum; -1 if fewer than a third are in reach.
    fn power_at(&self, towards: &[(f32, f32)], scale: f32) -> f32 {
        let mut sum = 0.;
        let mut count = 0;
        for (x, y) in towards {
            let (x, y) = (x * scale, y * scale);
            if x.abs() < HIGHEST && y.abs() < HIGHEST {
                sum += self.spectrum.power(x, y);
                count += 1;
            }
        }
        if count * 3 < towards.len() {
            return -1.;
        }
        let count = count as f32;
        (sum - count * self.spectrum.mean()) / (count.sqrt() * self.spectrum.deviation())
    }

    /// Places the rough maps, each turned by all `signs`, best first; stops early once two in a row convince.
    /// Returns the best score.
    fn place_all(
        &self,
        rough: &[Rough],
        signs: &[f64],
        found: &mut Vec<Candidate>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> f32 {
        let mut best = f32::MIN;
        for (round, some) in rough.chunks(16).enumerate() {
            if stop() || best > CONVINCING || (best > LIKELY && round > 0) {
                break;
            }
            let turned: Vec<(Rough, f64)> =
                some.iter().flat_map(|r| signs.iter().map(move |sign| (*r, *sign))).collect();
            if !self.effort.pay(turned.len() as f64 * self.places.price()) {
                break;
            }
            for candidate in spread(&turned, self.threads, |(rough, sign)| self.place(rough, *sign)) {
                best = best.max(candidate.score());
                found.push(candidate);
            }
        }
        best
    }

    fn place(&self, rough: &Rough, sign: f64) -> Candidate {
        let linear = rough.linear.map(|v| v * sign);
        let (coherent, shift) = self.places.best(self.waves, self.spectrum, &linear);
        Candidate { linear, shift, coherent, incoherent: rough.score }
    }

    /// Keeps the best `top` that differ, moves each uphill in all four entries of its map, and places it again.
    fn sharpen(
        &self,
        mut found: Vec<Candidate>,
        top: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Candidate> {
        found.sort_by(|a, b| b.score().total_cmp(&a.score()));
        let apart = 1. / (self.long_side() * self.waves.highest());
        let mut kept: Vec<Candidate> = Vec::new();
        for candidate in found {
            let near = |other: &Candidate| {
                candidate.linear.iter().zip(other.linear).all(|(a, b)| (a - b).abs() < apart)
            };
            if !kept.iter().any(near) {
                kept.push(candidate);
                if kept.len() >= top {
                    break;
                }
            }
        }
        let price = CLIMBS as f64 * 81. * self.price_of_power() + self.places.price();
        let paid = self.effort.pay_for(kept.len(), price);
        let mut sharp = spread(&kept[..paid], self.threads, |candidate| {
            if stop() {
                return *candidate;
            }
            let moved = self.place(&self.climb(candidate), 1.);
            if moved.coherent > candidate.coherent { moved } else { *candidate }
        });
        sharp.extend_from_slice(&kept[paid..]);
        sharp.sort_by(|a, b| b.score().total_cmp(&a.score()));
        sharp
    }

    /// Hill climbing of the incoherent score over the 81 neighbours, the step halved when none is better.
    fn climb(&self, from: &Candidate) -> Rough {
        let mut best = Rough { linear: from.linear, score: self.incoherent(&from.linear) };
        let mut step = 0.35 / (self.long_side() * self.waves.highest());
        for _ in 0..CLIMBS {
            let here = best.linear;
            for neighbour in 0..81usize {
                let mut linear = here;
                let mut digits = neighbour;
                for entry in &mut linear {
                    *entry += step * ((digits % 3) as f64 - 1.);
                    digits /= 3;
                }
                let score = self.incoherent(&linear);
                if score > best.score {
                    best = Rough { linear, score };
                }
            }
            if best.linear == here {
                step /= 2.;
            }
        }
        best
    }

    /// The map, searched plane to canvas, of a candidate.
    pub(crate) fn map(&self, candidate: &Candidate) -> Homography {
        let centre = [(self.extent.0 as f64 - 1.) / 2., (self.extent.1 as f64 - 1.) / 2.];
        Homography::affine(candidate.linear, centre, candidate.shift)
    }
}

/// Rounds of hill climbing.
const CLIMBS: usize = 4;
/// Score at which a stage is content with what it has.
const CONVINCING: f32 = 14.;
/// Score at which it is content after a first round.
const LIKELY: f32 = 12.;

/// The map itself and its mirror image.
fn both_hands(form: [f64; 4]) -> [[f64; 4]; 2] {
    let [a, b, c, d] = form;
    [form, [-a, b, -c, d]]
}

/// Turn by `angle`, then shear, then stretch by `exp(stretch)` across and its inverse down, after `first`.
fn form(angle: f64, stretch: f64, shear: f64, first: [f64; 4]) -> [f64; 4] {
    let (s, c) = angle.sin_cos();
    let (wide, high) = (stretch.exp(), (-stretch).exp());
    let [a, b, d, e] = [wide * (c + shear * s), wide * (shear * c - s), high * s, high * c];
    let [p, q, r, t] = first;
    [a * p + b * r, a * q + b * t, d * p + e * r, d * q + e * t]
}

/// Values `step` apart from `middle - reach` to `middle + reach`, the middle among them.
fn around(middle: f64, reach: f64, step: f64) -> impl Iterator<Item = f64> {
    let each = (reach / step).floor() as i64;
    (-each..=each).map(move |i| middle + i as f64 * step)
}

/// Columns and rows handled at once by the product in [`Places::best`]; more of either was slower.
const LANES: usize = 16;
const ROWS: usize = 2;

/// Tables of the waves' phases along both axes, at every place the leak's centre may have: the canvas and 12 % more.
struct Places {
    step: f64,
    first: (f64, f64),
    /// For each group of [`LANES`] columns: per wave the cosines, then per wave the sines.
    across: Vec<[f32; LANES]>,
    /// Per row: per wave (cosine, sine).
    down: Vec<(f32, f32)>,
    rows: usize,
    columns: usize,
}

impl Places {
    fn new(waves: &Waves, canvas: (f64, f64)) -> Self {
        const BEYOND: f64 = 0.12;
        let step = 0.45 / waves.highest();
        let first = (-BEYOND * canvas.0, -BEYOND * canvas.1);
        let count = |side: f64| ((1. + 2. * BEYOND) * side / step).ceil() as usize + 1;
        let (columns, rows) = (count(canvas.0), count(canvas.1));
        let angle = |f: f64, first: f64, i: usize| std::f64::consts::TAU * f * (first + i as f64 * step);
        let mut across = Vec::new();
        for group in 0..columns.div_ceil(LANES) {
            for part in [f64::cos, f64::sin] {
                across.extend(waves.iter().map(|wave| {
                    std::array::from_fn(|i| part(angle(wave.x, first.0, group * LANES + i)) as f32)
                }));
            }
        }
        let mut down = Vec::new();
        for row in 0..rows {
            down.extend(waves.iter().map(|wave| {
                let (sin, cos) = angle(wave.y, first.1, row).sin_cos();
                (cos as f32, sin as f32)
            }));
        }
        Self { step, first, across, down, rows, columns }
    }

    /// Steps of [`Self::best`].
    fn price(&self) -> f64 {
        0.15 * (self.rows * self.columns) as f64 * (self.down.len() / self.rows.max(1)) as f64
    }

    /// The best coherent score of a linear map over all places, and the place.
    ///
    /// The score at `t` is the sum over the waves of `Re z exp(-2 pi i f.t)`, with `z` the leak's field at the wave's
    /// place, its phase undone and its size clipped. As products of cosines and sines along the two axes that is one
    /// matrix product, rows by waves by columns.
    fn best(&self, waves: &Waves, spectrum: &Spectrum, linear: &[f64; 4]) -> (f32, [f64; 2]) {
        let (z, valid) = waves.read(spectrum, linear);
        let norm = 0.8 * ((z.len() / 3).max(valid) as f32 / 2.).sqrt();
        let (score, column, row) = wide!(self.highest(&z));
        (score / norm, [self.first.0 + column as f64 * self.step, self.first.1 + row as f64 * self.step])
    }

    /// The greatest sum, its column and its row.
    #[inline(always)]
    fn highest(&self, z: &[Complex32]) -> (f32, usize, usize) {
        let count = z.len();
        let mut left = vec![[0f32; ROWS]; 2 * count];
        let mut best = (f32::MIN, 0, 0);
        for row in (0..self.rows).step_by(ROWS) {
            // `left` holds the rows side by side.
            let (reals, imaginaries) = left.split_at_mut(count);
            for lane in 0..ROWS {
                let table = &self.down[(row + lane).min(self.rows - 1) * count..][..count];
                let halves = reals.iter_mut().zip(imaginaries.iter_mut());
                for (((re, im), (cos, sin)), z) in halves.zip(table).zip(z) {
                    re[lane] = z.re * cos + z.im * sin;
                    im[lane] = z.im * cos - z.re * sin;
                }
            }
            for (group, right) in self.across.chunks_exact(2 * count).enumerate() {
                let mut sums = [[0f32; LANES]; ROWS];
                for (l, r) in left.iter().zip(right) {
                    for i in 0..LANES {
                        sums[0][i] += l[0] * r[i];
                        sums[1][i] += l[1] * r[i];
                    }
                }
                let highest = sums.iter().flatten().fold(f32::MIN, |a, b| a.max(*b));
                if highest > best.0 {
                    for (lane, line) in sums.iter().enumerate() {
                        for (i, value) in line.iter().enumerate() {
                            if *value > best.0 && group * LANES + i < self.columns && row + lane < self.rows {
                                best = (*value, group * LANES + i, row + lane);
                            }
                        }
                    }
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::plane::Plane;
    use crate::mark::plane::tests::uniform;
    use crate::mark::refine::tests::waves;

    /// The pilot as a leak of `width` x `height` shows it, over noise that changes from pixel to pixel.
    fn leak(waves: &Waves, width: usize, height: usize, map: &Homography) -> Plane {
        let mut plane = Plane::new(width, height);
        let mut uniform = uniform(1);
        for y in 0..height {
            for x in 0..width {
                let (u, v) = map.apply(x as f64, y as f64);
                let sum: f64 =
                    waves.iter().map(|w| (std::f64::consts::TAU * (w.x * u + w.y * v) + w.phase).cos()).sum();
                plane.data[y * width + x] = 128. + 0.1 * sum as f32 + 12. * uniform();
            }
        }
        plane
    }

    fn search_finds(stage: Stage, map: Homography, (width, height): (usize, usize)) {
        let waves = waves();
        let plane = leak(&waves, width, height, &map);
        let spectrum = Spectrum::new(&super::super::spectrum::whiten(&plane));
        let effort = Effort::new(u64::MAX);
        let search = Search::new(&spectrum, &waves, (width, height), (600., 400.), 2, &effort);
        let best = search.stage(stage, 1., 5, &|| false)[0];
        let found = search.map(&best);
        for (x, y) in [(0., 0.), (width as f64, 0.), (width as f64 / 2., height as f64)] {
            let ((a, b), (c, d)) = (map.apply(x, y), found.apply(x, y));
            assert!((a - c).hypot(b - d) < 6., "{stage:?}: {:?} for {:?}", (c, d), (a, b));
        }
    }

    #[test]
    fn an_upright_crop_is_placed_whatever_its_scale() {
        search_finds(
            Stage::Upright,
            Homography::affine([1.3, 0., 0., 1.3], [0., 0.], [71., 33.]),
            (300, 240),
        );
    }

    #[test]
    fn a_mirrored_leak_is_placed() {
        search_finds(
            Stage::Stretched,
            Homography::affine([-1., 0., 0., 1.], [0., 0.], [520., 20.]),
            (400, 300),
        );
    }

    #[test]
    fn a_turned_leak_is_placed() {
        let (s, c) = 0.4f64.sin_cos();
        search_finds(
            Stage::Turned,
            Homography::affine([c, -s, s, c], [200., 150.], [310., 190.]),
            (400, 300),
        );
    }

    #[test]
    fn the_matrix_product_agrees_with_the_sum_it_stands_for() {
        let waves = waves();
        let plane = leak(&waves, 200, 160, &Homography::IDENTITY);
        let spectrum = Spectrum::new(&super::super::spectrum::whiten(&plane));
        let places = Places::new(&waves, (260., 180.));
        let linear = [1.02, 0.1, -0.05, 0.97];
        let (score, at) = places.best(&waves, &spectrum, &linear);
        let (z, valid) = waves.read(&spectrum, &linear);
        let norm = 0.8 * (valid as f32 / 2.).sqrt();
        let slow = |t: [f64; 2]| {
            let sum: f32 = waves
                .iter()
                .zip(&z)
                .map(|(w, z)| {
                    let (sin, cos) = (-std::f64::consts::TAU * (w.x * t[0] + w.y * t[1])).sin_cos();
                    (z * Complex32::new(cos as f32, sin as f32)).re
                })
                .sum();
            sum / norm
        };
        assert!((slow(at) - score).abs() < 1e-3);
        for row in 0..places.rows {
            for column in 0..places.columns {
                let t =
                    [places.first.0 + column as f64 * places.step, places.first.1 + row as f64 * places.step];
                assert!(slow(t) < score + 1e-3);
            }
        }
    }
}
