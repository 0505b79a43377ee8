//! What a leak would look like if it were the original and nothing else: blur and light fitted, to be subtracted.

use super::plane::Plane;
use super::refine::solve;
use super::warp::Warped;

/// An original and smoother copies of it.
///
/// A leak is modelled as one small symmetric filter of the original (scaling, blurring and sharpening are such), then a
/// gain and an offset that change slowly over the picture (light, contrast, gamma).
pub(crate) struct Model {
    copies: Vec<Plane>,
    radius: usize,
}

/// A leak against the model.
pub(crate) struct Fit {
    /// The leak less what the model says; 0 where the leak does not cover it.
    pub(crate) residual: Plane,
    /// Power of the leak's detail and of the residual, summed.
    power: f64,
    left: f64,
}

/// The smoothed copies' deviations, pixels.
const SMOOTH: [f32; 3] = [0.7, 1.3, 2.4];
/// Variance, in squared grey levels, below which a window has no contrast to fit a gain to.
const NOISE: f32 = 4.;

impl Model {
    /// `radius`: half the side, in pixels, of the windows in which the light is taken to be even.
    pub(crate) fn new(original: &Plane, radius: usize) -> Self {
        let mut copies = vec![original.clone()];
        copies.extend(SMOOTH.map(|sigma| original.gaussian(sigma)));
        Self { copies, radius }
    }

    /// Fits a leak redrawn on the original; `None` where it covers next to nothing.
    pub(crate) fn fit(&self, warped: &Warped) -> Option<Fit> {
        let cover = &warped.cover;
        let seen = cover.data.iter().filter(|c| **c > 0.).count();
        if seen < 200 {
            return None;
        }
        let mean = |plane: &Plane| plane.box_mean(self.radius).box_mean(self.radius / 2);
        let share = mean(cover);
        // Means over the covered pixels of each window only.
        let local = |plane: &Plane| {
            mean(&plane.clone().zip_map(cover, |v, c| v * c)).zip_map(&share, |v, s| v / (s + 1e-3))
        };
        let leak = warped.plane.clone().zip_map(&local(&warped.plane), |v, m| v - m);
        let filtered = self.filter(&leak, cover, &local);
        let evened = local(&filtered);
        let model = filtered.zip_map(&evened, |v, m| v - m);
        let product = local(&model.clone().zip_map(&leak, |a, b| a * b));
        let square = local(&model.clone().map(|v| v * v));
        let gain = product.zip_map(&square, |p, s| p / (s + NOISE));
        let mut residual = leak.clone();
        let (mut power, mut left) = (0., 0.);
        for (i, r) in residual.data.iter_mut().enumerate() {
            let c = cover.data[i];
            let whole = *r * c;
            *r = (*r - gain.data[i] * model.data[i]) * c;
            // Strong edges would else be all that counts.
            power += f64::from((whole * whole).min(400.));
            left += f64::from((*r * *r).min(400.));
        }
        Some(Fit { residual, power, left })
    }

    /// The combination of the copies that comes nearest to the leak's detail, by least squares.
    fn filter(&self, leak: &Plane, cover: &Plane, local: &dyn Fn(&Plane) -> Plane) -> Plane {
        const N: usize = SMOOTH.len() + 1;
        let details: Vec<Plane> =
            self.copies.iter().map(|copy| copy.clone().zip_map(&local(copy), |v, m| v - m)).collect();
        let mut system = [[0f64; N]; N];
        let mut right = [0f64; N];
        for (i, c) in cover.data.iter().enumerate() {
            if *c == 0. || leak.data[i].abs() > 60. {
                continue;
            }
            let values: [f64; N] = std::array::from_fn(|k| f64::from(details[k].data[i]));
            for (j, v) in values.iter().enumerate() {
                right[j] += v * f64::from(leak.data[i]);
                for (k, w) in values.iter().enumerate().take(j + 1) {
                    system[j][k] += v * w;
                }
            }
        }
        // The copies are much alike; a small ridge keeps their weights small.
        let ridge = 1e-5 * (0..N).map(|k| system[k][k]).sum::<f64>() + 1e-9;
        system.iter_mut().enumerate().for_each(|(k, row)| row[k] += ridge);
        let weights = solve(&system, &right, N).unwrap_or([1., 0., 0., 0.]);
        let mut out = Plane::new(leak.width, leak.height);
        for (copy, weight) in self.copies.iter().zip(weights) {
            out.data.iter_mut().zip(&copy.data).for_each(|(o, v)| *o += weight as f32 * v);
        }
        out
    }
}

impl Fit {
    /// The share of the leak's detail that the model explains: 1 at most, 0 or less for another picture.
    pub(crate) fn agreement(&self) -> f64 {
        if self.power > 0. { 1. - self.left / self.power } else { 0. }
    }
}
