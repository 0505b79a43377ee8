//! How strong the mark may be at each pixel.

use super::plane::Plane;

/// The amplitude of the mark in grey levels, from the texture around each pixel; `flat` is the image's [`flatness`], or
/// 0 for a leak, which may have lost its flat grounds.
///
/// `alpha = min(floor + 0.13 * texture, cap)`. The floor is 0.6 grey levels, and up to 0.9 on drawings and screens, whose
/// flat grounds would else round the mark away. The cap is 4, or as much lower as brings the rms amplitude to its bound,
/// which spares busy regions before quiet ones.
pub(crate) fn alpha(luma: &Plane, flat: f32) -> Plane {
    coarse_alpha(luma, flat).doubled(luma.width, luma.height)
}

/// [`alpha`] at half the size, where it is computed: it changes slowly.
pub(crate) fn coarse_alpha(luma: &Plane, flat: f32) -> Plane {
    let floor = 0.6 + 0.3 * flat;
    let bound = 1.75 - 0.45 * flat;
    let alpha = texture(luma).map(|t| floor + 0.13 * t);
    let is_within = |cap: f32| alpha.rms_of(|a| a.min(cap)) <= bound;
    let (mut low, mut high) = (floor, 4.0);
    if is_within(high) {
        low = high;
    }
    while high - low > 0.05 {
        let cap = (low + high) / 2.0;
        if is_within(cap) { low = cap } else { high = cap }
    }
    alpha.map(|a| a.min(low))
}

/// Local activity in grey levels at half the size: the root of the smallest of five overlapping 14 x 14 means of the
/// squared detail, so that a lone edge does not pass for texture. Lengths are in pixels of the image.
fn texture(luma: &Plane) -> Plane {
    let half = luma.halved();
    // Two samples' mean has blurred by half a pixel already.
    let smooth = half.gaussian((9.0f32 - 0.25).sqrt() / 2.0).doubled(luma.width, luma.height);
    let detail = smooth.zip_map(luma, |smooth, v| (v - smooth) * (v - smooth)).halved().box_mean(3);
    let (w, h) = (detail.width, detail.height);
    let mut least = detail.clone();
    for y in 0..h {
        for row in [y.saturating_sub(4), (y + 4).min(h - 1)] {
            let row = detail.row(row);
            for (x, out) in least.data[y * w..(y + 1) * w].iter_mut().enumerate() {
                *out = out.min(row[x.saturating_sub(4)]).min(row[(x + 4).min(w - 1)]);
            }
        }
    }
    least.gaussian(1.5).map(|v| v.max(0.0).sqrt())
}

/// How flat an image is: from 0 for photographs to 1 for drawings and screens of whose blocks 30 % or more are flat.
pub(crate) fn flatness(luma: &Plane) -> f32 {
    (flat_fraction(luma) / 0.3).min(1.0)
}

/// The share of 8 x 8 blocks whose brightest and darkest sample differ by at most one grey level, between 0 and 1:
/// near 0 for photographs, often above 0.3 for drawings and screens.
pub(crate) fn flat_fraction(luma: &Plane) -> f32 {
    let (columns, rows) = (luma.width / 8, luma.height / 8);
    let mut flat = 0;
    for by in 0..rows {
        for bx in 0..columns {
            let samples = (by * 8..by * 8 + 8).flat_map(|y| &luma.row(y)[bx * 8..bx * 8 + 8]);
            let (low, high) = samples.fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
            flat += usize::from(high - low <= 1.0);
        }
    }
    flat as f32 / (columns * rows).max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texture_earns_more_than_a_flat_ground_and_a_lone_edge_earns_little() {
        let mut luma = Plane::new(192, 64).map(|_| 100.0);
        for y in 0..64 {
            for x in 0..64 {
                luma.data[y * 192 + x] += if (x * 7 + y * 13) % 11 < 5 { 30.0 } else { -30.0 };
                luma.data[y * 192 + 128 + x] += if x > 32 { 90.0 } else { 0.0 };
            }
        }
        let alpha = alpha(&luma, 0.0);
        let (busy, flat, edge) = (alpha.row(32)[32], alpha.row(32)[96], alpha.row(32)[160]);
        assert!(busy > 4.0 * flat && edge < 2.5 * flat, "{busy} {flat} {edge}");
    }

    /// The definition at full size.
    fn slow_alpha(luma: &Plane) -> Plane {
        let detail = luma.gaussian(3.0).zip_map(luma, |smooth, v| (v - smooth) * (v - smooth)).box_mean(6);
        let (w, h) = (detail.width, detail.height);
        let mut least = detail.clone();
        for (i, out) in least.data.iter_mut().enumerate() {
            let (x, y) = (i % w, i / w);
            for y in [y.saturating_sub(8), (y + 8).min(h - 1)] {
                for x in [x.saturating_sub(8), (x + 8).min(w - 1)] {
                    *out = out.min(detail.row(y)[x]);
                }
            }
        }
        let alpha = least.gaussian(3.0).map(|v| 0.6 + 0.13 * v.max(0.0).sqrt());
        let mut cap = 4.0f32;
        while alpha.rms_of(|a| a.min(cap)) > 1.75 {
            cap *= 0.95;
        }
        alpha.map(|a| a.min(cap))
    }

    #[test]
    fn the_amplitude_computed_at_half_size_is_that_of_the_full_size() {
        let luma = Plane::from_luma(&crate::testing::samples::photograph(301, 222, 3));
        let (fast, slow) = (alpha(&luma, 0.0), slow_alpha(&luma));
        let off = fast.zip_map(&slow, |a, b| a - b).rms() / slow.rms();
        assert!(off < 0.08, "{off}");
    }

    #[test]
    fn the_flat_fraction_counts_flat_blocks() {
        let mut luma = Plane::new(32, 16);
        luma.data[0] = 50.0;
        assert_eq!(flat_fraction(&luma), 7.0 / 8.0);
    }
}
