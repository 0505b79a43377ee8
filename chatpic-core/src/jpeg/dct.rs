//! The inverse DCT of a block (T.81, A.3.3).
//!
//! By Loeffler, Ligtenberg and Moschytz (1989), in integers of the widths that libjpeg-turbo's accurate method uses with
//! vector instructions, so that every sample is the same as browsers show.

/// Bits behind the point of the constants, and of what lies between both passes.
const CONSTANT_BITS: i32 = 13;
const BETWEEN_BITS: i32 = 2;

/// A constant with [`CONSTANT_BITS`] behind the point.
const fn fixed(value: f64) -> i32 {
    (value * (1 << CONSTANT_BITS) as f64 + 0.5) as i32
}

/// The samples of a block, row by row, from its coefficients and its quantization table, both row by row.
pub(super) fn inverse(coefficients: &[i16; 64], table: &[u16; 64]) -> [[u8; 8]; 8] {
    let mut rows = [[0i16; 8]; 8];
    for (row, (coefficients, steps)) in
        rows.iter_mut().zip(coefficients.as_chunks::<8>().0.iter().zip(table.as_chunks::<8>().0))
    {
        for ((value, coefficient), step) in row.iter_mut().zip(coefficients).zip(steps) {
            *value = coefficient.wrapping_mul(*step as i16);
        }
    }
    let columns = transposed(&pass::<{ CONSTANT_BITS - BETWEEN_BITS }>(&rows));
    // The factor 8 of the transform is taken out at the end.
    let samples = transposed(&pass::<{ CONSTANT_BITS + BETWEEN_BITS + 3 }>(&columns));
    samples.map(|row| row.map(|sample| (sample.clamp(-128, 127) + 128) as u8))
}

/// The samples of a block of which only the first coefficient is not zero: all are this one.
pub(super) fn flat(first: i16, step: u16) -> u8 {
    let first = first.wrapping_mul(step as i16);
    ((i32::from(first.wrapping_shl(BETWEEN_BITS as u32)) + 16 >> 5).clamp(-128, 127) + 128) as u8
}

fn transposed(rows: &[[i16; 8]; 8]) -> [[i16; 8]; 8] {
    std::array::from_fn(|y| std::array::from_fn(|x| rows[x][y]))
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

    let mut out = [[0; 8]; 8];
    for i in 0..8 {
        let [a0, a1, a2, a3, a4, a5, a6, a7] = rows.map(|row| row[i]);
        let wide = |value: i16| i32::from(value);

        let (sum, difference) = (wide(a0.wrapping_add(a4)), wide(a0.wrapping_sub(a4)));
        let (sum, difference) = (sum << CONSTANT_BITS, difference << CONSTANT_BITS);
        let inner = wide(a2) * C6 + wide(a6) * (C6 - C2_AND_C6);
        let outer = wide(a2) * (C6 + C2_LESS_C6) + wide(a6) * C6;
        let even = [sum + outer, difference + inner, difference - inner, sum - outer];

        let (third, fifth) = (wide(a7.wrapping_add(a3)), wide(a5.wrapping_add(a1)));
        let shared = third * (C3 - C3_AND_C5) + fifth * C3;
        let crossed = third * C3 + fifth * (C3 - C3_LESS_C5);
        let odd = [
            wide(a7) * -C3_LESS_C7 + wide(a1) * (FIRST - C3_LESS_C7) + crossed,
            wide(a5) * -C1_AND_C3 + wide(a3) * (THIRD - C1_AND_C3) + shared,
            wide(a5) * (FIFTH - C1_AND_C3) + wide(a3) * -C1_AND_C3 + crossed,
            wide(a7) * (SEVENTH - C3_LESS_C7) + wide(a1) * -C3_LESS_C7 + shared,
        ];
        for k in 0..4 {
            let rounded = |value: i32| {
                let value = value.wrapping_add(1 << (SHIFT - 1)) >> SHIFT;
                value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
            };
            out[k][i] = rounded(even[k].wrapping_add(odd[k]));
            out[7 - k][i] = rounded(even[k].wrapping_sub(odd[k]));
        }
    }
    out
}
