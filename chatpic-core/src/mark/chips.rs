//! Reading the codeword's chips: one weighted correlation per segment.

use super::carrier::Carrier;
use super::plane::Plane;

/// Deviations in pixels of the Gaussians whose differences are the bands.
pub(crate) const SIGMAS: [f32; 4] = [0.8, 1.6, 3.2, 6.4];
/// A power, in grey levels squared, below which a band is noise.
pub(crate) const NOISE: f32 = 0.25;

/// The three octave bands the detector reads.
pub(crate) fn subbands(plane: &Plane) -> [Plane; 3] {
    let [a, b, c, d] = SIGMAS.map(|sigma| plane.gaussian(sigma));
    let minus = |p: Plane, q: &Plane| p.zip_map(q, |p, q| p - q);
    [minus(a, &b), minus(b, &c), minus(c, &d)]
}

/// The local power of a band: the mean of order 1/2 of the samples' magnitudes over a Gaussian window of `sigma` samples,
/// squared, and scaled to be the variance where samples are normal.
///
/// A mean of squares would be ruled by the few samples on an edge, and everything within reach of one would count for
/// nothing: letters and lines, those of the visible ID among them, took up to three quarters of a score.
pub(crate) fn power(band: &Plane, sigma: f32) -> Plane {
    // The fourth power of the mean of |x|^(1/2) of a standard normal x: 2^(1/4) gamma(3/4) / sqrt(pi).
    const OF_A_NORMAL: f32 = 0.822_2 * 0.822_2 * 0.822_2 * 0.822_2;
    band.clone().map(|e| e.abs().sqrt()).gaussian(sigma).map(|m| (m * m) * (m * m) / OF_A_NORMAL)
}

/// The matched-filter statistic of every segment: numerators `y` and energies `d`.
///
/// In each band the samples are divided by their local [`power`] over a window as wide as the band's own Gaussian, a
/// locally stationary whitening, so that busy regions do not drown quiet ones. A mark of amplitude `s * alpha * w` gives
/// `y` near `s * d`. `mask`, 0 or 1, leaves out pixels the leak does not show. All planes have the carrier's size.
pub(crate) fn statistic(
    plane: &Plane,
    carrier: &Carrier,
    alpha: &Plane,
    mask: Option<&Plane>,
) -> (Vec<f32>, Vec<f32>) {
    let layout = &carrier.layout;
    let (mut y, mut d) = (vec![0f32; layout.segments], vec![0f32; layout.segments]);
    for ((e, w), sigma) in subbands(plane).iter().zip(&carrier.bands).zip(&SIGMAS[1..]) {
        let power = power(e, *sigma);
        for row in 0..e.height {
            let (e, w, power, alpha) = (e.row(row), w.row(row), power.row(row), alpha.row(row));
            let mask = mask.map(|m| m.row(row));
            for (segment, start, end) in layout.spans(row) {
                let (mut num, mut den) = (0.0, 0.0);
                for x in start..end {
                    let seen = mask.map_or(1.0, |m| m[x]);
                    let aw = alpha[x] * w[x];
                    let weight = seen * aw / (power[x] + NOISE);
                    num += weight * e[x];
                    den += weight * aw;
                }
                y[segment] += num;
                d[segment] += den;
            }
        }
    }
    (y, d)
}

/// The chips a codeword is compared with: each segment's reading clipped at three standard deviations and weighted by
/// its own energy, though by no more than the 95 % quantile. Segments that were not seen give 0.
pub(crate) fn weigh(y: &[f32], d: &[f32]) -> Vec<f32> {
    let mut seen: Vec<f32> = d.iter().copied().filter(|&d| d > 1e-6).collect();
    seen.sort_by(f32::total_cmp);
    let Some(&limit) = seen.get((seen.len().saturating_sub(1) * 95 + 50) / 100) else {
        return vec![0.0; y.len()];
    };
    let chip = |(&y, &d): (&f32, &f32)| {
        if d > 1e-6 { (y / d.sqrt()).clamp(-3.0, 3.0) * d.min(limit).sqrt() } else { 0.0 }
    };
    y.iter().zip(d).map(chip).collect()
}

#[cfg(test)]
mod tests {
    use super::super::plane::tests::uniform;
    use super::*;

    #[test]
    fn the_power_of_noise_is_its_variance_and_an_edge_does_not_reach_beyond_itself() {
        let mut uniform = uniform(1);
        // Twelve uniform numbers make a normal one.
        let mut band = Plane::new(96, 96).map(|_| 0.0);
        band.data.iter_mut().for_each(|v| *v = 3.0 * (0..12).map(|_| uniform()).sum::<f32>());
        let mean = |plane: &Plane| plane.data.iter().sum::<f32>() / plane.data.len() as f32;
        assert!((mean(&power(&band, 12.0)) / 9.0 - 1.0).abs() < 0.1);

        band.data[48 * 96..49 * 96].fill(300.0);
        let beside = power(&band, 3.2).row(54)[48];
        assert!(beside < 60.0, "{beside}: squares would make it over 1000");
    }

    #[test]
    fn chips_are_clipped_weighted_and_zero_where_nothing_was_seen() {
        let mut d = vec![1.0; 100];
        (d[0], d[1]) = (0.0, 1e6);
        let mut y = vec![0.5; 100];
        (y[0], y[1], y[2]) = (9.0, 1e9, -100.0);
        let chips = weigh(&y, &d);
        assert_eq!(chips[..4], [0.0, 3.0, -3.0, 0.5]);
    }
}
