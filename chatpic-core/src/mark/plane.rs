//! One channel of floating-point samples, and the smoothing the mark is built on.

use std::f32::consts::PI;

use image::RgbImage;

use crate::wide::wide;

/// A grey image: `width * height` samples, row by row, in grey levels of 0-255 unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plane {
    pub width: usize,
    pub height: usize,
    pub data: Vec<f32>,
}

impl Plane {
    /// A plane of zeros.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, data: vec![0.0; width * height] }
    }

    /// The luma of an RGB image, by the weights JFIF uses.
    pub fn from_luma(image: &RgbImage) -> Self {
        let data = image
            .pixels()
            .map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]))
            .collect();
        Self { width: image.width() as usize, height: image.height() as usize, data }
    }

    /// One row of samples.
    pub fn row(&self, y: usize) -> &[f32] {
        &self.data[y * self.width..(y + 1) * self.width]
    }

    /// Each sample through `f`, in place: fresh memory for every intermediate plane costs more than most sums on it.
    pub fn map(mut self, f: impl Fn(f32) -> f32) -> Self {
        self.data.iter_mut().for_each(|v| *v = f(*v));
        self
    }

    /// Each sample with its neighbour of the same place in `other`, which has the same size.
    pub fn zip_map(mut self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        debug_assert_eq!((self.width, self.height), (other.width, other.height));
        self.data.iter_mut().zip(&other.data).for_each(|(a, &b)| *a = f(*a, b));
        self
    }

    /// The root of the mean square of all samples.
    pub fn rms(&self) -> f32 {
        self.rms_of(|v| v)
    }

    /// The root of the mean square of all samples through `f`.
    pub fn rms_of(&self, f: impl Fn(f32) -> f32) -> f32 {
        // Sums of a few samples each, side by side, are what a processor is quick at.
        let total: f64 = self
            .data
            .chunks(4096)
            .map(|chunk| {
                let mut lanes = [0f32; 16];
                for samples in chunk.chunks(16) {
                    for (lane, &v) in lanes.iter_mut().zip(samples) {
                        *lane += f(v) * f(v);
                    }
                }
                lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
            })
            .sum();
        (total / self.data.len().max(1) as f64).sqrt() as f32
    }

    /// Gaussian smoothing with standard deviation `sigma` pixels; the border mirrors (reflect 101).
    ///
    /// Small deviations are convolved with the kernel, cut at 3.5 sigma; large ones are three box means, whose cost
    /// does not grow with sigma (Wells, "Efficient synthesis of Gaussian filters by cascaded uniform filters", 1986).
    pub fn gaussian(&self, sigma: f32) -> Self {
        if sigma > LARGEST_KERNEL {
            return box_radii(sigma).into_iter().fold(self.clone(), |plane, radius| plane.box_mean(radius));
        }
        let radius = (3.5 * sigma).ceil().max(1.0) as usize;
        let mut half: Vec<f32> = (0..=radius).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
        let total = half[0] + 2.0 * half[1..].iter().sum::<f32>();
        half.iter_mut().for_each(|v| *v /= total);
        wide!(self.convolve(&half))
    }

    /// The mean over squares of `2 * radius + 1` pixels; the border mirrors.
    pub fn box_mean(&self, radius: usize) -> Self {
        let (w, h, r) = (self.width, self.height, radius as isize);
        let scale = 1.0 / (2 * radius + 1) as f64;
        let mut rows = Self::new(w, h);
        let mut padded = vec![0f64; w + 2 * radius];
        for (input, out) in self.data.chunks_exact(w.max(1)).zip(rows.data.chunks_exact_mut(w.max(1))) {
            let (left, rest) = padded.split_at_mut(radius);
            let (middle, right) = rest.split_at_mut(w);
            left.iter_mut().zip(-r..).for_each(|(cell, x)| *cell = f64::from(input[mirror(x, w)]));
            middle.iter_mut().zip(input).for_each(|(cell, v)| *cell = f64::from(*v));
            right.iter_mut().zip(w as isize..).for_each(|(cell, x)| *cell = f64::from(input[mirror(x, w)]));
            let mut sum: f64 = padded[..2 * radius].iter().sum();
            for ((out, enter), leave) in out.iter_mut().zip(&padded[2 * radius..]).zip(&padded) {
                sum += enter;
                *out = (sum * scale) as f32;
                sum -= leave;
            }
        }
        let mut result = Self::new(w, h);
        let mut sums = vec![0f64; w];
        let add = |sums: &mut [f64], y: isize, sign: f64| {
            sums.iter_mut().zip(rows.row(mirror(y, h))).for_each(|(sum, v)| *sum += sign * f64::from(*v));
        };
        for y in -r..if h > 0 { r } else { -r } {
            add(&mut sums, y, 1.0);
        }
        for (y, out) in (0isize..).zip(result.data.chunks_exact_mut(w.max(1))) {
            add(&mut sums, y + r, 1.0);
            out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = (sum * scale) as f32);
            add(&mut sums, y - r, -1.0);
        }
        result
    }

    /// Half the size, rounded up: means over squares of 2 x 2 samples.
    pub fn halved(&self) -> Self {
        let mut half = Self::new(self.width.div_ceil(2), self.height.div_ceil(2));
        for (y, out) in half.data.chunks_exact_mut(half.width.max(1)).enumerate() {
            let (upper, lower) = (self.row(2 * y), self.row((2 * y + 1).min(self.height - 1)));
            for ((out, a), b) in out.iter_mut().zip(upper.chunks_exact(2)).zip(lower.chunks_exact(2)) {
                *out = 0.25 * (a[0] + a[1] + b[0] + b[1]);
            }
            if let (1, Some(out)) = (self.width % 2, out.last_mut()) {
                *out = 0.5 * (upper[self.width - 1] + lower[self.width - 1]);
            }
        }
        half
    }

    /// Twice the size, cut to `width` x `height`, by a Lanczos kernel of eight samples across and eight down; what
    /// [`Plane::halved`] made of samples `2i` and `2i + 1` lies between the two. True to two parts in a hundred up to
    /// 0.34 cycles per sample. The border repeats its last sample.
    pub fn doubled(&self, width: usize, height: usize) -> Self {
        // Reversed, they are those of samples i - 3 to i + 4 for the place i + 1/4.
        let before = lanczos();
        let mut behind = before;
        behind.reverse();
        let (w, h) = (self.width, self.height);
        let mut out = Self::new(width, height);
        let mut padded = vec![0.0f32; w + TAPS];
        let (mut evens, mut odds) = (vec![0.0f32; w], vec![0.0f32; w]);
        for (y, line) in out.data.chunks_exact_mut(width.max(1)).enumerate() {
            let down = if y % 2 == 0 { before } else { behind };
            let row = |i: usize| self.row((y / 2 + i).saturating_sub(4 - y % 2).min(h - 1));
            weighted_sum(&mut padded[4..4 + w], down, row);
            let (first, last) = (padded[4], padded[3 + w]);
            padded[..4].fill(first);
            padded[4 + w..].fill(last);
            weighted_sum(&mut evens, before, |i| &padded[i..i + w]);
            weighted_sum(&mut odds, behind, |i| &padded[i + 1..i + 1 + w]);
            for (pair, (even, odd)) in line.chunks_mut(2).zip(evens.iter().zip(&odds)) {
                pair[0] = *even;
                if let Some(second) = pair.get_mut(1) {
                    *second = *odd;
                }
            }
        }
        out
    }

    /// Scaled by area averaging; for making smaller.
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let mut rows = Self::new(width, self.height);
        let lines = self.data.chunks_exact(self.width.max(1)).zip(rows.data.chunks_exact_mut(width.max(1)));
        for (source, target) in lines {
            for (x, out) in target.iter_mut().enumerate() {
                *out = shares(x, self.width, width).map(|(at, share)| source[at] * share).sum();
            }
        }
        let mut result = Self::new(width, height);
        for (y, target) in result.data.chunks_exact_mut(width.max(1)).enumerate() {
            for (at, share) in shares(y, self.height, height) {
                target.iter_mut().zip(rows.row(at)).for_each(|(out, v)| *out += v * share);
            }
        }
        result
    }

    /// Convolution of rows and columns with a symmetric kernel, given by its centre and right half.
    #[inline(always)]
    fn convolve(&self, half: &[f32]) -> Self {
        let (w, h, r) = (self.width, self.height, half.len() - 1);
        if w == 0 || h == 0 {
            return self.clone();
        }
        let mut rows = Self::new(w, h);
        let mut padded = vec![0.0f32; w + 2 * r];
        for (input, out) in self.data.chunks_exact(w).zip(rows.data.chunks_exact_mut(w)) {
            padded[r..r + w].copy_from_slice(input);
            for i in 1..=r {
                padded[r - i] = input[mirror(-(i as isize), w)];
                padded[r + w + i - 1] = input[mirror((w + i - 1) as isize, w)];
            }
            symmetric_sum(out, &padded[r..r + w], half, |i| {
                (&padded[r - i..r - i + w], &padded[r + i..r + i + w])
            });
        }
        let mut out = Self::new(w, h);
        for (y, line) in out.data.chunks_exact_mut(w).enumerate() {
            let at = |i: isize| rows.row(mirror(y as isize + i, h));
            symmetric_sum(line, at(0), half, |i| (at(-(i as isize)), at(i as isize)));
        }
        out
    }
}

/// Samples that one between them is made of.
const TAPS: usize = 8;

/// The weights of samples i - 4 to i + 3 for the place i - 1/4 (Duchon, "Lanczos filtering in one and two dimensions",
/// 1979).
fn lanczos() -> [f32; TAPS] {
    let reach = (TAPS / 2) as f32;
    let sinc = |x: f32| (PI * x).sin() / (PI * x);
    let weights: [f32; TAPS] = std::array::from_fn(|i| {
        let x = reach - 0.25 - i as f32;
        sinc(x) * sinc(x / reach)
    });
    let sum: f32 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

/// `out = sum of weights[i] * term(i)`, term by term, which a processor does for many samples at once.
fn weighted_sum<'a>(out: &mut [f32], weights: [f32; TAPS], term: impl Fn(usize) -> &'a [f32]) {
    out.fill(0.0);
    for (i, weight) in weights.into_iter().enumerate() {
        out.iter_mut().zip(term(i)).for_each(|(out, v)| *out += weight * v);
    }
}

/// `out = half[0] * centre + sum of half[i] * (left_i + right_i)`.
#[inline(always)]
fn symmetric_sum<'a>(
    out: &mut [f32],
    centre: &[f32],
    half: &[f32],
    pair: impl Fn(usize) -> (&'a [f32], &'a [f32]),
) {
    for (o, &c) in out.iter_mut().zip(centre) {
        *o = c * half[0];
    }
    for (i, &k) in half.iter().enumerate().skip(1) {
        let (a, b) = pair(i);
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o += k * (a + b);
        }
    }
}

/// Above this deviation a Gaussian is made of box means, which take as long as a kernel of about this size.
const LARGEST_KERNEL: f32 = 7.0;

/// Three box radii whose joint variance comes nearest to `sigma` squared.
fn box_radii(sigma: f32) -> [usize; 3] {
    let variance = |radius: usize| ((2 * radius + 1).pow(2) as f32 - 1.0) / 12.0;
    let radius = (0..).take_while(|r| 3.0 * variance(*r) <= sigma * sigma).last().unwrap_or(0);
    let missing = sigma * sigma - 3.0 * variance(radius);
    let wider = (missing / (variance(radius + 1) - variance(radius))).round() as usize;
    std::array::from_fn(|i| radius + usize::from(i < wider))
}

/// Which of `from` samples the sample `at` of `to` covers, and the share that each has in it.
fn shares(at: usize, from: usize, to: usize) -> impl Iterator<Item = (usize, f32)> {
    let ratio = from as f64 / to as f64;
    let (start, end) = (at as f64 * ratio, (at + 1) as f64 * ratio);
    let last = (end.ceil() as usize).min(from);
    (start as usize..last).map(move |i| {
        let covered = end.min((i + 1) as f64) - start.max(i as f64);
        (i, (covered / ratio) as f32)
    })
}

/// The place inside `0..n` that mirrors `i` without repeating the edge (reflect 101).
fn mirror(i: isize, n: usize) -> usize {
    if n < 2 {
        return 0;
    }
    let period = 2 * (n - 1);
    let i = i.rem_euclid(period as isize) as usize;
    i.min(period - i)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Numbers between -1/2 and 1/2, the same ones for the same seed.
    pub(crate) fn uniform(mut seed: u32) -> impl FnMut() -> f32 {
        move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 16_777_216.0 - 0.5
        }
    }

    /// The definition, sample by sample.
    fn slow(plane: &Plane, half: &[f32]) -> Plane {
        let r = half.len() as isize - 1;
        let mut out = Plane::new(plane.width, plane.height);
        for y in 0..plane.height {
            for x in 0..plane.width {
                let mut sum = 0.0;
                for dy in -r..=r {
                    for dx in -r..=r {
                        let v = plane.row(mirror(y as isize + dy, plane.height))
                            [mirror(x as isize + dx, plane.width)];
                        sum += v * half[dx.unsigned_abs()] * half[dy.unsigned_abs()];
                    }
                }
                out.data[y * plane.width + x] = sum;
            }
        }
        out
    }

    #[test]
    fn the_fast_convolution_is_the_definition_also_where_the_kernel_is_wider_than_the_plane() {
        for (w, h) in [(1, 1), (2, 3), (9, 5), (17, 1)] {
            let mut plane = Plane::new(w, h);
            plane.data.iter_mut().enumerate().for_each(|(i, v)| *v = ((i * 37) % 23) as f32);
            let half = [0.4, 0.2, 0.07, 0.02, 0.01];
            let (fast, slow) = (plane.convolve(&half), slow(&plane, &half));
            assert!(fast.data.iter().zip(&slow.data).all(|(a, b)| (a - b).abs() < 1e-3));
        }
    }

    #[test]
    fn box_means_are_the_definition_and_three_come_near_a_gaussian() {
        for (w, h, radius) in [(1, 1, 3), (2, 3, 4), (19, 15, 2)] {
            let mut plane = Plane::new(w, h);
            plane.data.iter_mut().enumerate().for_each(|(i, v)| *v = ((i * 37) % 23) as f32);
            let slow = slow(&plane, &vec![1.0 / (2 * radius + 1) as f32; radius + 1]);
            let fast = plane.box_mean(radius);
            assert!(fast.data.iter().zip(&slow.data).all(|(a, b)| (a - b).abs() < 1e-3));
        }
        for sigma in [7.5f32, 8.0, 12.0, 20.0] {
            let variance: f32 =
                box_radii(sigma).iter().map(|r| ((2 * r + 1).pow(2) as f32 - 1.0) / 12.0).sum();
            assert!((variance.sqrt() / sigma - 1.0).abs() < 0.06, "{sigma}: {}", variance.sqrt());
        }
    }

    #[test]
    fn halving_and_doubling_keep_a_slow_wave() {
        for (w, h) in [(64, 48), (51, 33), (9, 7)] {
            let wave = |x: f32, y: f32| (0.35 * x + 0.2 * y).sin() * 50.0;
            let mut plane = Plane::new(w, h);
            plane.data.iter_mut().enumerate().for_each(|(i, v)| *v = wave((i % w) as f32, (i / w) as f32));
            // Means over 2 x 2 samples lower this wave by 2 %.
            let back = plane.halved().map(|v| v / 0.98).doubled(w, h);
            for y in 6..h.saturating_sub(6) {
                for x in 6..w.saturating_sub(6) {
                    let (a, b) = (plane.row(y)[x], back.row(y)[x]);
                    assert!((a - b).abs() < 1.0, "{x} {y}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn doubling_keeps_a_wave_of_a_third_of_a_cycle_per_sample() {
        let wave = |x: f32, y: f32| (2.0 * PI * (0.3 * x + 0.16 * y)).sin();
        let mut plane = Plane::new(60, 40);
        plane.data.iter_mut().enumerate().for_each(|(i, v)| *v = wave((i % 60) as f32, (i / 60) as f32));
        let doubled = plane.doubled(119, 80);
        for (x, y) in (10..110).flat_map(|x| (10..70).map(move |y| (x, y))) {
            // The two samples made of one lie a quarter to either side of it.
            let place = |i: usize| (i as f32 - 0.5) / 2.0;
            let (a, b) = (doubled.row(y)[x], wave(place(x), place(y)));
            assert!((a - b).abs() < 0.03, "{x} {y}: {a} {b}");
        }
    }

    #[test]
    fn making_smaller_keeps_the_mean() {
        let mut plane = Plane::new(60, 44);
        plane.data.iter_mut().enumerate().for_each(|(i, v)| *v = ((i * 37) % 23) as f32);
        let mean = |p: &Plane| p.data.iter().sum::<f32>() / p.data.len() as f32;
        assert!((mean(&plane) - mean(&plane.resized(17, 9))).abs() < 1e-2);
    }

    #[test]
    fn smoothing_keeps_a_flat_plane() {
        let flat = Plane::new(31, 20).map(|_| 77.0);
        assert!(
            flat.gaussian(8.0).data.iter().chain(&flat.box_mean(6).data).all(|v| (v - 77.0).abs() < 1e-2)
        );
    }
}
