//! Reading the codeword's chips: one weighted correlation per segment.

use super::carrier::Carrier;
use super::plane::Plane;

/// The three octave bands the detector reads: differences of Gaussians of sigma 0.8, 1.6, 3.2 and 6.4 pixels.
pub(crate) fn subbands(plane: &Plane) -> [Plane; 3] {
    let [a, b, c, d] = [0.8, 1.6, 3.2, 6.4].map(|sigma| plane.gaussian(sigma));
    let minus = |p: &Plane, q: &Plane| p.zip_map(q, |p, q| p - q);
    [minus(&a, &b), minus(&b, &c), minus(&c, &d)]
}

/// The matched-filter statistic of every segment: numerators `y` and energies `d`.
///
/// In each band the samples are divided by their local power, a locally stationary whitening, so that busy regions do
/// not drown quiet ones. A mark of amplitude `s * alpha * w` gives `y` near `s * d`. `mask`, 0 or 1, leaves out pixels
/// the leak does not show. All planes have the carrier's size.
pub(crate) fn statistic(
    plane: &Plane,
    carrier: &Carrier,
    alpha: &Plane,
    mask: Option<&Plane>,
) -> (Vec<f32>, Vec<f32>) {
    let layout = &carrier.layout;
    let (mut y, mut d) = (vec![0f32; layout.segments], vec![0f32; layout.segments]);
    for (e, w) in subbands(plane).iter().zip(&carrier.bands) {
        let power = e.map(|e| e * e).gaussian(8.0);
        for row in 0..e.height {
            let (e, w, power, alpha) = (e.row(row), w.row(row), power.row(row), alpha.row(row));
            let mask = mask.map(|m| m.row(row));
            for (segment, start, end) in layout.spans(row) {
                let (mut num, mut den) = (0.0, 0.0);
                for x in start..end {
                    let seen = mask.map_or(1.0, |m| m[x]);
                    let aw = alpha[x] * w[x];
                    let weight = seen * aw / (power[x] + 0.25);
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
    use super::*;

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
