//! Plane geometry of a trace: where each point of a leak lies on the canvas, and the leak redrawn there.
//!
//! Pixel centres lie at whole numbers, in the leak and on the canvas alike.

use super::plane::Plane;

/// A projective map of the plane, leak pixels to canvas pixels unless said otherwise; row major, last entry 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Homography(pub(crate) [f64; 9]);

impl Homography {
    /// The map that moves nothing.
    #[cfg(test)]
    pub(crate) const IDENTITY: Self = Self([1., 0., 0., 0., 1., 0., 0., 0., 1.]);

    /// `x = linear (u - centre) + shift`, with `linear` row major.
    pub(crate) fn affine(linear: [f64; 4], centre: [f64; 2], shift: [f64; 2]) -> Self {
        let [a, b, c, d] = linear;
        Self([
            a,
            b,
            shift[0] - a * centre[0] - b * centre[1],
            c,
            d,
            shift[1] - c * centre[0] - d * centre[1],
            0.,
            0.,
            1.,
        ])
    }

    /// Resizing by `fx`, `fy`: the outer edges of the pictures meet, so centres shift by half a pixel's difference.
    pub(crate) fn resize(fx: f64, fy: f64) -> Self {
        Self([fx, 0., (fx - 1.) / 2., 0., fy, (fy - 1.) / 2., 0., 0., 1.])
    }

    /// The eight ways in which a whole picture of one size can be a whole picture of another, turned by right angles
    /// and mirrored; upright first, then its mirror image.
    pub(crate) fn wholes(from: (usize, usize), to: (f64, f64)) -> Vec<Self> {
        let (width, height) = (from.0 as f64, from.1 as f64);
        let unit = Self([1. / width, 0., 0.5 / width, 0., 1. / height, 0.5 / height, 0., 0., 1.]);
        let paint = Self([to.0, 0., -0.5, 0., to.1, -0.5, 0., 0., 1.]);
        let mirror = Self([-1., 0., 1., 0., 1., 0., 0., 0., 1.]);
        let turn = Self([0., -1., 1., 1., 0., 0., 0., 0., 1.]);
        let mut way = unit;
        let mut ways = Vec::with_capacity(8);
        for _ in 0..4 {
            ways.push(paint.after(&way));
            ways.push(paint.after(&mirror.after(&way)));
            way = turn.after(&way);
        }
        ways
    }

    /// Where the point `(x, y)` goes.
    pub(crate) fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        let m = &self.0;
        let w = m[6] * x + m[7] * y + m[8];
        ((m[0] * x + m[1] * y + m[2]) / w, (m[3] * x + m[4] * y + m[5]) / w)
    }

    /// Partial derivatives at `(x, y)`, row major: the linear map that best stands in for this one there.
    pub(crate) fn jacobian(&self, x: f64, y: f64) -> [f64; 4] {
        let m = &self.0;
        let w = m[6] * x + m[7] * y + m[8];
        let (px, py) = self.apply(x, y);
        [(m[0] - px * m[6]) / w, (m[1] - px * m[7]) / w, (m[3] - py * m[6]) / w, (m[4] - py * m[7]) / w]
    }

    /// First `first`, then `self`.
    pub(crate) fn after(&self, first: &Self) -> Self {
        let mut out = [0.; 9];
        for (i, entry) in out.iter_mut().enumerate() {
            let (row, col) = (i / 3, i % 3);
            *entry = (0..3).map(|k| self.0[row * 3 + k] * first.0[k * 3 + col]).sum();
        }
        Self(out).scaled()
    }

    /// The map back, or `None` if this one flattens the plane.
    pub(crate) fn inverse(&self) -> Option<Self> {
        let m = &self.0;
        let minor = |a: usize, b: usize, c: usize, d: usize| m[a] * m[d] - m[b] * m[c];
        let adjugate = [
            minor(4, 5, 7, 8),
            -minor(1, 2, 7, 8),
            minor(1, 2, 4, 5),
            -minor(3, 5, 6, 8),
            minor(0, 2, 6, 8),
            -minor(0, 2, 3, 5),
            minor(3, 4, 6, 7),
            -minor(0, 1, 6, 7),
            minor(0, 1, 3, 4),
        ];
        let determinant = m[0] * adjugate[0] + m[1] * adjugate[3] + m[2] * adjugate[6];
        (determinant.abs() > 1e-12 && adjugate[8].abs() > 1e-12).then(|| Self(adjugate).scaled())
    }

    fn scaled(mut self) -> Self {
        let last = self.0[8];
        if last != 0. {
            self.0.iter_mut().for_each(|entry| *entry /= last);
        }
        self
    }
}

/// A leak redrawn on the canvas.
pub(crate) struct Warped {
    /// The picture; where the leak does not reach it holds the median-like fill given by [`warp`].
    pub(crate) plane: Plane,
    /// 1 where the leak covers the canvas pixel and its two neighbours on every side, else 0.
    pub(crate) cover: Plane,
}

/// Redraws `leak` on a canvas of `width` x `height`; `map` takes leak pixels to canvas pixels.
///
/// Cubic interpolation (Keys 1981, a = -0.75), after a Gaussian that keeps detail finer than the canvas from folding
/// over when the canvas is the coarser grid. Canvas pixels outside the leak take the mean of those inside.
/// `None` if the map cannot be turned round.
pub(crate) fn warp(leak: &Plane, map: &Homography, width: usize, height: usize) -> Option<Warped> {
    let back = map.inverse()?;
    let middle = back.jacobian(width as f64 / 2., height as f64 / 2.);
    let shrink = (middle[0] * middle[3] - middle[1] * middle[2]).abs().sqrt(); // leak pixels per canvas pixel
    let smooth;
    let source = if shrink > 1.33 {
        smooth = leak.gaussian((0.45 * (shrink * shrink - 1.).sqrt()) as f32);
        &smooth
    } else {
        leak
    };
    let mut plane = Plane::new(width, height);
    let mut inside = Plane::new(width, height);
    let (lw, lh) = (leak.width as f64 - 1., leak.height as f64 - 1.);
    let (mut sum, mut count) = (0f64, 0usize);
    let m = &back.0;
    for y in 0..height {
        let row = &mut plane.data[y * width..(y + 1) * width];
        let flags = &mut inside.data[y * width..(y + 1) * width];
        let fy = y as f64;
        let (bx, by, bw) = (m[1] * fy + m[2], m[4] * fy + m[5], m[7] * fy + m[8]);
        for (x, (pixel, flag)) in row.iter_mut().zip(flags).enumerate() {
            let fx = x as f64;
            let w = m[6] * fx + bw;
            let (u, v) = ((m[0] * fx + bx) / w, (m[3] * fx + by) / w);
            if w > 0. && u >= -0.5 && v >= -0.5 && u <= lw + 0.5 && v <= lh + 0.5 {
                *pixel = cubic(source, u.clamp(0., lw) as f32, v.clamp(0., lh) as f32);
                *flag = 1.;
                sum += f64::from(*pixel);
                count += 1;
            }
        }
    }
    if count < width * height {
        let mean = if count > 0 { (sum / count as f64) as f32 } else { 0. };
        for (pixel, flag) in plane.data.iter_mut().zip(&inside.data) {
            if *flag == 0. {
                *pixel = mean;
            }
        }
    }
    Some(Warped { plane, cover: erode(inside) })
}

/// The plane's value at a point inside it.
fn cubic(plane: &Plane, u: f32, v: f32) -> f32 {
    let (iu, iv) = (u as usize, v as usize);
    let (wu, wv) = (weights(u - iu as f32), weights(v - iv as f32));
    let width = plane.width;
    if iu >= 1 && iv >= 1 && iu + 2 < width && iv + 2 < plane.height {
        let mut sum = 0.;
        let mut at = (iv - 1) * width + iu - 1;
        for weight in wv {
            let p = &plane.data[at..at + 4];
            sum += weight * (wu[0] * p[0] + wu[1] * p[1] + wu[2] * p[2] + wu[3] * p[3]);
            at += width;
        }
        return sum;
    }
    let mut sum = 0.;
    for (j, weight_v) in wv.into_iter().enumerate() {
        let y = (iv + j).saturating_sub(1).min(plane.height - 1);
        for (i, weight_u) in wu.into_iter().enumerate() {
            let x = (iu + i).saturating_sub(1).min(width - 1);
            sum += weight_v * weight_u * plane.data[y * width + x];
        }
    }
    sum
}

/// Keys' cubic at distances 1 + t, t, 1 - t, 2 - t.
fn weights(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let far = |d: f32| ((A * d - 5. * A) * d + 8. * A) * d - 4. * A;
    let near = |d: f32| ((A + 2.) * d - (A + 3.)) * d * d + 1.;
    [far(1. + t), near(t), near(1. - t), far(2. - t)]
}

/// Keeps a 1 only where the 5 x 5 around it is all 1; what lies off the plane counts as 0.
fn erode(mut plane: Plane) -> Plane {
    let (width, height) = (plane.width, plane.height);
    if plane.data.iter().all(|flag| *flag > 0.) && width > 4 && height > 4 {
        for (i, flag) in plane.data.iter_mut().enumerate() {
            let (x, y) = (i % width, i / width);
            *flag = f32::from(x > 1 && y > 1 && x + 2 < width && y + 2 < height);
        }
        return plane;
    }
    let run = |line: &mut [f32], scratch: &mut Vec<f32>| {
        scratch.clear();
        scratch.extend_from_slice(line);
        for (i, flag) in line.iter_mut().enumerate() {
            let all = i >= 2 && i + 2 < scratch.len() && scratch[i - 2..=i + 2].iter().all(|s| *s > 0.);
            *flag = f32::from(all);
        }
    };
    let mut scratch = Vec::new();
    for row in plane.data.chunks_exact_mut(width) {
        run(row, &mut scratch);
    }
    let mut column = vec![0.; height];
    for x in 0..width {
        for (y, flag) in column.iter_mut().enumerate() {
            *flag = plane.data[y * width + x];
        }
        run(&mut column, &mut scratch);
        for (y, flag) in column.iter().enumerate() {
            plane.data[y * width + x] = *flag;
        }
    }
    plane
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_and_its_inverse_bring_every_point_home() {
        let map = Homography([1.1, 0.2, 5., -0.1, 0.9, -3., 1e-4, -2e-4, 1.]);
        let back = map.inverse().unwrap();
        for (x, y) in [(0., 0.), (100., 20.), (-30., 400.)] {
            let (u, v) = map.apply(x, y);
            let (p, q) = back.apply(u, v);
            assert!((p - x).abs() < 1e-9 && (q - y).abs() < 1e-9);
        }
        let (u, v) = back.after(&map).apply(7., 9.);
        assert!((u - 7.).abs() < 1e-9 && (v - 9.).abs() < 1e-9);
    }

    #[test]
    fn the_jacobian_is_the_slope_of_the_map() {
        let map = Homography([1.1, 0.2, 5., -0.1, 0.9, -3., 1e-4, -2e-4, 1.]);
        let (x, y, e) = (50., 70., 1e-5);
        let j = map.jacobian(x, y);
        let (p, right, down) = (map.apply(x, y), map.apply(x + e, y), map.apply(x, y + e));
        let slopes = [right.0 - p.0, down.0 - p.0, right.1 - p.1, down.1 - p.1];
        for (a, b) in j.iter().zip(slopes) {
            assert!((a - b / e).abs() < 1e-6);
        }
    }

    #[test]
    fn warping_by_whole_pixels_moves_the_picture_and_marks_what_it_covers() {
        let mut leak = Plane::new(20, 16);
        for (i, v) in leak.data.iter_mut().enumerate() {
            *v = ((i * 37) % 101) as f32;
        }
        let map = Homography::affine([1., 0., 0., 1.], [0., 0.], [6., 3.]);
        let out = warp(&leak, &map, 40, 30).unwrap();
        for y in 0..16 {
            for x in 0..20 {
                let got = out.plane.data[(y + 3) * 40 + x + 6];
                assert!((got - leak.data[y * 20 + x]).abs() < 1e-3);
            }
        }
        assert_eq!(out.cover.data[5 * 40 + 8], 1.);
        assert_eq!(out.cover.data[4 * 40 + 8], 0.);
        assert_eq!(out.cover.data[5 * 40 + 7], 0.);
        assert_eq!(out.cover.data.iter().filter(|f| **f > 0.).count(), 16 * 12);
    }
}
