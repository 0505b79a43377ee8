//! The inverse DCT of a block (T.81, A.3.3).
//!
//! By Loeffler, Ligtenberg and Moschytz (1989), in integers of the widths that libjpeg-turbo's accurate method uses with
//! vector instructions, so that every sample is the same as browsers show.

/// Fractional bits of the constants, and of the values between the two passes.
const CONSTANT_BITS: i32 = 13;
const BETWEEN_BITS: i32 = 2;

/// A constant with [`CONSTANT_BITS`] behind the point.
const fn fixed(value: f64) -> i32 {
    (value * (1 << CONSTANT_BITS) as f64 + 0.5) as i32
}

/// The samples of a block, row by row, from its coefficients and its quantization table, both row by row.
#[inline(always)]
pub(super) fn inverse(coefficients: &[i16; 64], table: &[u16; 64]) -> [[u8; 8]; 8] {
    let mut rows = [[0i16; 8]; 8];
    for ((value, coefficient), step) in rows.as_flattened_mut().iter_mut().zip(coefficients).zip(table) {
        *value = coefficient.wrapping_mul(*step as i16);
    }
    let columns = if coefficients[8..].iter().all(|coefficient| *coefficient == 0) {
        // Each column is flat. libjpeg-turbo takes this way too, on which coefficients that no encoder makes overflow.
        rows[0].map(|value| [value << BETWEEN_BITS; 8])
    } else {
        transposed(&pass::<{ CONSTANT_BITS - BETWEEN_BITS }>(&rows))
    };
    // The factor 8 of the transform is taken out at the end.
    let samples = transposed(&pass::<{ CONSTANT_BITS + BETWEEN_BITS + 3 }>(&columns));
    let mut out = [[0; 8]; 8];
    for (out, samples) in out.as_flattened_mut().iter_mut().zip(samples.as_flattened()) {
        *out = ((*samples).clamp(-128, 127) + 128) as u8;
    }
    out
}

/// The samples of a block of which only the first coefficient is not zero: all are this one, as [`inverse`] gives it.
#[inline(always)]
pub(super) fn flat(first: i16, step: u16) -> u8 {
    let between = i32::from(first.wrapping_mul(step as i16) << BETWEEN_BITS);
    let shift = BETWEEN_BITS + 3;
    (((between + (1 << (shift - 1))) >> shift).clamp(-128, 127) + 128) as u8
}

#[inline(always)]
fn transposed(rows: &[[i16; 8]; 8]) -> [[i16; 8]; 8] {
    let mut out = [[0; 8]; 8];
    for (y, row) in rows.iter().enumerate() {
        for (x, value) in row.iter().enumerate() {
            out[x][y] = *value;
        }
    }
    out
}

/// One-dimensional transforms of the eight columns, whose results are divided by two to the power of `SHIFT`.
#[inline(always)]
fn pass<const SHIFT: i32>(rows: &[[i16; 8]; 8]) -> [[i16; 8]; 8] {
    // Square roots of two times the cosine of k times pi / 16 (c1 to c7), and sums of them.
    const C6: i32 = fixed(0.541_196_100);
    const C2_LESS_C6: i32 = fixed(0.765_366_865);
    const C2_AND_C6: i32 = fixed(1.847_759_065);
    const C3: i32 = fixed(1.175_875_602);
    const C3_LESS_C5: i32 = fixed(0.390_180_644);
    const C3_AND_C5: i32 = fixed(1.961_570_560);
    const C3_LESS_C7: i32 = fixed(0.899_976_223);
    const C1_AND_C3: i32 = fixed(2.562_915_447);
    const FIRST: i32 = fixed(1.501_321_110);
    const THIRD: i32 = fixed(3.072_711_026);
    const FIFTH: i32 = fixed(2.053_119_869);
    const SEVENTH: i32 = fixed(0.298_631_336);

    let [a0, a1, a2, a3, a4, a5, a6, a7] = rows;
    let sum = zip(a0, a4, |a, b| i32::from(a.wrapping_add(b)) << CONSTANT_BITS);
    let difference = zip(a0, a4, |a, b| i32::from(a.wrapping_sub(b)) << CONSTANT_BITS);
    let inner = mixed(a2, C6, a6, C6 - C2_AND_C6);
    let outer = mixed(a2, C6 + C2_LESS_C6, a6, C6);
    let even =
        [added(&sum, &outer), added(&difference, &inner), less(&difference, &inner), less(&sum, &outer)];

    let third = zip(a7, a3, i16::wrapping_add);
    let fifth = zip(a5, a1, i16::wrapping_add);
    let shared = mixed(&third, C3 - C3_AND_C5, &fifth, C3);
    let crossed = mixed(&third, C3, &fifth, C3 - C3_LESS_C5);
    let odd = [
        added(&mixed(a7, -C3_LESS_C7, a1, FIRST - C3_LESS_C7), &crossed),
        added(&mixed(a5, -C1_AND_C3, a3, THIRD - C1_AND_C3), &shared),
        added(&mixed(a5, FIFTH - C1_AND_C3, a3, -C1_AND_C3), &crossed),
        added(&mixed(a7, SEVENTH - C3_LESS_C7, a1, -C3_LESS_C7), &shared),
    ];
    let [e0, e1, e2, e3] = &even;
    let [o0, o1, o2, o3] = &odd;
    [
        rounded::<SHIFT>(&added(e0, o0)),
        rounded::<SHIFT>(&added(e1, o1)),
        rounded::<SHIFT>(&added(e2, o2)),
        rounded::<SHIFT>(&added(e3, o3)),
        rounded::<SHIFT>(&less(e3, o3)),
        rounded::<SHIFT>(&less(e2, o2)),
        rounded::<SHIFT>(&less(e1, o1)),
        rounded::<SHIFT>(&less(e0, o0)),
    ]
}

/// Combines two rows sample by sample.
#[inline(always)]
fn zip<A: Copy, B: Copy + Default>(a: &[A; 8], b: &[A; 8], combine: impl Fn(A, A) -> B) -> [B; 8] {
    let mut out = [B::default(); 8];
    for i in 0..8 {
        out[i] = combine(a[i], b[i]);
    }
    out
}

#[inline(always)]
fn mixed(a: &[i16; 8], of_a: i32, b: &[i16; 8], of_b: i32) -> [i32; 8] {
    zip(a, b, |a, b| i32::from(a) * of_a + i32::from(b) * of_b)
}

#[inline(always)]
fn added(a: &[i32; 8], b: &[i32; 8]) -> [i32; 8] {
    zip(a, b, i32::wrapping_add)
}

#[inline(always)]
fn less(a: &[i32; 8], b: &[i32; 8]) -> [i32; 8] {
    zip(a, b, i32::wrapping_sub)
}

#[inline(always)]
fn rounded<const SHIFT: i32>(values: &[i32; 8]) -> [i16; 8] {
    let mut out = [0; 8];
    for (out, value) in out.iter_mut().zip(values) {
        let value = value.wrapping_add(1 << (SHIFT - 1)) >> SHIFT;
        *out = value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    }
    out
}
