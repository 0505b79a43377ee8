//! From a reading of the segments to accusations that are proved not to be chance.
//!
//! For a session that had no part in the leak, its signs `c_j` are fair coins that know nothing of the readings `y_j`:
//! they come from a keyed cipher stream, and neither the leak nor anything done to find its place has seen them. So for
//! whatever readings, `S = sum c_j y_j` is a weighted sum of independent fair coins, and by Chernoff's bound (1952)
//!
//! `P(S >= s) <= min over u > 0 of exp(sum_j ln cosh(u y_j) - u s)`,
//!
//! since `E exp(u c y) = cosh(u y)`. (With `cosh x <= exp(x^2 / 2)` that is Hoeffding's `exp(-z^2 / 2)` of 1963, which is
//! larger.) By symmetry the same holds for `-S`. All comparisons of a trace are added up (Boole's inequality).
//!
//! Three colluders who take, wherever their copies differ, the variant that only one of them has, leave the *product*
//! of their three signs, and no trace of any one of them. The product is looked for too. If even one of a triple is
//! innocent, the product of the three is again a row of fair coins independent of the leak, so the bound holds and all
//! three may be named. Triples are far more numerous than sessions; they get a tenth of the false-alarm probability of
//! their own, so that they hardly raise the bar for single sessions.

use super::code::{Codeword, codeword, every_third_byte};
use super::key::ImageKey;
use super::spread::spread;
use crate::id::SessionId;

/// The readings of one rendition's segments, made without any codeword.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The rendition's place in the record.
    pub(crate) size: usize,
    /// Signed and weighted; 0 where nothing was seen.
    pub(crate) chips: Vec<f32>,
}

/// The share of the false-alarm probability that triples may use up.
pub(crate) const TRIPLES: f64 = 0.1;
/// The most sessions among which triples are looked for: their number grows with the third power.
pub(crate) const IN_TRIPLES: usize = 200;

impl Reading {
    fn norm(&self) -> f64 {
        self.chips.iter().map(|y| f64::from(*y).powi(2)).sum::<f64>().sqrt()
    }

    /// `sum ln cosh(u y)` and its slope, `sum y tanh(u y)`.
    fn cumulant(&self, u: f64) -> (f64, f64) {
        self.chips.iter().fold((0., 0.), |(value, slope), y| {
            let y = f64::from(*y);
            let x = (u * y).abs();
            let tail = (-2. * x).exp();
            (value + x + (tail / 2. + 0.5).ln(), slope + y.abs() * (1. - tail) / (1. + tail))
        })
    }

    /// Chernoff's bound on the logarithm of the probability that fair coins reach `sum`.
    pub(crate) fn log_chance(&self, sum: f64) -> f64 {
        let sum = sum.abs();
        // The exponent is convex in u; its slope `cumulant' - sum` rises through zero at the minimum.
        let (mut low, mut high) = (0., 1.);
        while self.cumulant(high).1 < sum && high < 1e6 {
            (low, high) = (high, 2. * high);
        }
        for _ in 0..40 {
            let middle = (low + high) / 2.;
            if self.cumulant(middle).1 < sum { low = middle } else { high = middle }
        }
        // Every u gives a bound, so the search need not be exact.
        (self.cumulant(low).0 - low * sum).min(0.)
    }

    /// A sum that fair coins reach with a probability of at most `exp(log_chance)`; infinite if none is rare enough.
    pub(crate) fn bar(&self, log_chance: f64) -> f64 {
        // At u the bound is tight for the sum `cumulant'(u)`, and the bound falls as u grows.
        let tight = |u: f64| {
            let (value, slope) = self.cumulant(u);
            (value - u * slope, slope)
        };
        let (mut low, mut high) = (0., 1e-3);
        while tight(high).0 > log_chance {
            (low, high) = (high, 2. * high);
            if high > 1e6 {
                return f64::INFINITY;
            }
        }
        for _ in 0..40 {
            let middle = (low + high) / 2.;
            if tight(middle).0 > log_chance { low = middle } else { high = middle }
        }
        tight(high).1
    }

    /// For each byte of a codeword and each value it may have, its part of the sum.
    fn table(&self) -> Vec<[f32; 256]> {
        let part = |chips: &[f32]| {
            let mut out = [0.; 256];
            out[0] = -chips.iter().sum::<f32>();
            for value in 1..256usize {
                let bit = value.trailing_zeros() as usize;
                out[value] = out[value & (value - 1)] + 2. * chips.get(bit).copied().unwrap_or(0.);
            }
            out
        };
        self.chips.chunks(8).map(part).collect()
    }

    /// The triple of sessions whose product of signs has the greatest sum, with the sum, if it reaches `bar`.
    pub(crate) fn triple(
        &self,
        key: &ImageKey,
        sessions: &[SessionId],
        bar: f64,
        threads: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<([SessionId; 3], f64)> {
        if sessions.len() < 3 || !bar.is_finite() {
            return None;
        }
        let sieve = Sieve::new(self, bar);
        let codes: Vec<Vec<u8>> =
            sessions.iter().map(|s| codeword(key, self.size, *s, self.chips.len()).bits).collect();
        let thirds: Vec<Vec<u8>> =
            codes.iter().map(|code| code.iter().step_by(3).copied().collect()).collect();
        // The product of signs is that of the exclusive or of their bits.
        let multiply = |out: &mut Vec<u8>, a: &[u8], b: &[u8]| {
            out.clear();
            out.extend(a.iter().zip(b).map(|(a, b)| a ^ b));
        };
        let firsts: Vec<usize> = (0..sessions.len() - 2).collect();
        let best = spread(&firsts, threads, |&i| {
            let mut best = (f32::MIN, i, i);
            let (mut pair, mut pair_thirds, mut product) = (Vec::new(), Vec::new(), Vec::new());
            for j in i + 1..codes.len() - 1 {
                if stop() {
                    break;
                }
                multiply(&mut pair, &codes[i], &codes[j]);
                multiply(&mut pair_thirds, &thirds[i], &thirds[j]);
                for k in j + 1..codes.len() {
                    multiply(&mut product, &pair_thirds, &thirds[k]);
                    if quick_sum(&product, &sieve.thirds) < sieve.hopeful {
                        continue;
                    }
                    multiply(&mut product, &pair, &codes[k]);
                    let sum = quick_sum(&product, &sieve.table);
                    if sum > best.0 {
                        best = (sum, j, k);
                    }
                }
            }
            (best.0, [i, best.1, best.2])
        });
        let (sum, triple) = best.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        let sum = f64::from(sum) - 1e-3 * self.norm();
        (sum >= bar).then(|| (triple.map(|i| sessions[i]), sum))
    }

    /// A sum in standard deviations of fair coins' sums.
    pub(crate) fn deviations(&self, sum: f64) -> f32 {
        (sum / self.norm().max(1e-9)) as f32
    }
}

/// A reading made ready for comparison with many codewords.
struct Sieve<'a> {
    reading: &'a Reading,
    /// The sum that passes, either side of zero.
    bar: f64,
    /// What the quick sum must reach for the exact one to be taken: rounding must not decide.
    near: f32,
    table: Vec<[f32; 256]>,
    /// Every third row of the table, and what the sum over these must reach for the rest to be added.
    thirds: Vec<[f32; 256]>,
    hopeful: f32,
}

impl<'a> Sieve<'a> {
    fn new(reading: &'a Reading, bar: f64) -> Self {
        let table = reading.table();
        let thirds: Vec<_> = table.iter().step_by(3).copied().collect();
        let square = |chips: &[f32]| chips.iter().map(|y| f64::from(*y).powi(2)).sum::<f64>();
        let all = square(&reading.chips);
        let seen: f64 = reading.chips.chunks(8).step_by(3).map(square).sum();
        // A sum past the bar has its share in these rows, give or take a deviation of `sqrt(seen * (1 - share))`. Three
        // and a half of them less, and one such sum in 4 000 is missed; none is let through that should not be.
        let share = seen / all.max(1e-9);
        let hopeful = (bar * share - 3.5 * (seen * (1. - share).max(0.)).sqrt()) as f32;
        Self { reading, bar, near: (bar - 1e-3 * reading.norm()) as f32, table, thirds, hopeful }
    }

    /// Whether the bytes 0, 3, 6 and so on of a codeword leave hope.
    fn is_hopeful(&self, every_third_byte: &[u8]) -> bool {
        quick_sum(every_third_byte, &self.thirds).abs() >= self.hopeful
    }

    fn sum_past_bar(&self, code: &Codeword) -> Option<f64> {
        if quick_sum(&code.bits, &self.table).abs() < self.near {
            return None;
        }
        let signed = |(j, y): (usize, &f32)| f64::from(y * code.sign(j));
        let exact: f64 = self.reading.chips.iter().enumerate().map(signed).sum();
        (exact.abs() >= self.bar).then_some(exact)
    }
}

/// A sum by table. Four are made side by side, since each addition waits for the one before.
fn quick_sum(bytes: &[u8], table: &[[f32; 256]]) -> f32 {
    let mut sums = [0f32; 4];
    let (quads, rest) = bytes.as_chunks::<4>();
    let (rows, last) = table.as_chunks::<4>();
    for (bytes, rows) in quads.iter().zip(rows) {
        for i in 0..4 {
            sums[i] += rows[i][usize::from(bytes[i])];
        }
    }
    sums.iter().sum::<f32>() + rest.iter().zip(last).map(|(byte, row)| row[usize::from(*byte)]).sum::<f32>()
}

/// Every session whose sum reaches a reading's bar on either side, with its sum, for each of the readings.
///
/// They are scanned together: making a codeword takes longer than comparing it.
pub(crate) fn scan(
    readings: &[(&Reading, f64)],
    key: &ImageKey,
    sessions: &[SessionId],
    threads: usize,
    stop: &(dyn Fn() -> bool + Sync),
) -> Vec<Vec<(SessionId, f64)>> {
    let sieves: Vec<Sieve<'_>> = readings.iter().map(|(reading, bar)| Sieve::new(reading, *bar)).collect();
    // Each rendition has codewords of its own; no sum reaches an infinite bar.
    let mut renditions: Vec<(usize, usize)> = sieves
        .iter()
        .filter(|s| s.bar.is_finite())
        .map(|s| (s.reading.size, s.reading.chips.len()))
        .collect();
    renditions.sort_unstable();
    renditions.dedup();
    let pieces: Vec<&[SessionId]> = sessions.chunks(4096).collect();
    let found = spread(&pieces, threads, |piece| {
        let mut found = vec![Vec::new(); sieves.len()];
        if stop() {
            return found;
        }
        // A few at a time, so that their bytes and one reading's table stay near the processor.
        for (some, (size, n)) in piece.chunks(256).flat_map(|some| renditions.iter().map(move |r| (some, *r)))
        {
            let third = n.div_ceil(8).div_ceil(3);
            let mut bytes = vec![0; third * some.len()];
            let rows = || some.iter().zip(0..).map(|(session, i)| (*session, i * third..(i + 1) * third));
            rows().for_each(|(session, row)| every_third_byte(key, size, session, &mut bytes[row]));
            for (sieve, found) in
                sieves.iter().zip(&mut found).filter(|(sieve, _)| sieve.reading.size == size)
            {
                let hopeful = rows().filter(|(_, row)| sieve.is_hopeful(&bytes[row.clone()]));
                let past =
                    |(session, _)| Some((session, sieve.sum_past_bar(&codeword(key, size, session, n))?));
                found.extend(hopeful.filter_map(past));
            }
        }
        found
    });
    let mut by_reading = vec![Vec::new(); sieves.len()];
    for found in found {
        by_reading.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
    }
    by_reading
}

/// How many triples `sessions` sessions make, up to [`IN_TRIPLES`] of them.
pub(crate) fn triples(sessions: usize) -> f64 {
    let m = sessions.min(IN_TRIPLES) as f64;
    (m * (m - 1.) * (m - 2.) / 6.).max(0.)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::MarkKey;

    fn key() -> ImageKey {
        MarkKey::new([4; 32]).image(b"score")
    }

    /// Readings of `share` of the chips of `signs`, noise on all.
    fn reading(signs: impl Fn(usize) -> f32, gain: f32) -> Reading {
        let mut stream = key().stream("noise");
        let chips = (0..1500).map(|j| {
            let noise = (0..12).map(|_| stream.uniform() as f32).sum::<f32>() - 6.0;
            (gain * signs(j) + noise).clamp(-3., 3.) * (0.5 + (j % 7) as f32 / 7.)
        });
        Reading { size: 0, chips: chips.collect() }
    }

    #[test]
    fn the_bound_is_above_the_exact_chance_and_below_hoeffdings() {
        let reading = Reading { size: 0, chips: (0..14).map(|j| 0.3 + j as f32 / 9.).collect() };
        for sum in [1.0, 4.0, 8.0, 12.0, 14.0] {
            let reached = (0u32..1 << 14).filter(|bits| {
                let signed = |(j, y): (usize, &f32)| if bits >> j & 1 == 1 { *y } else { -*y };
                f64::from(reading.chips.iter().enumerate().map(signed).sum::<f32>()) >= sum
            });
            let exact = reached.count() as f64 / f64::from(1 << 14);
            let bound = reading.log_chance(sum);
            let z = f64::from(reading.deviations(sum));
            assert!(exact <= bound.exp() && bound <= -0.5 * z * z + 1e-9, "{sum}: {exact} {}", bound.exp());
        }
    }

    #[test]
    fn the_bar_is_where_the_bound_has_the_wanted_chance() {
        let reading = reading(|_| 1., 0.3);
        for wanted in [-3.0, -20.0, -35.0] {
            let bar = reading.bar(wanted);
            let there = reading.log_chance(bar);
            assert!(there <= wanted + 1e-6 && there > wanted - 0.1, "{wanted} {there}");
        }
        assert_eq!(Reading { size: 0, chips: vec![1.; 10] }.bar(-20.), f64::INFINITY);
    }

    #[test]
    fn the_scan_by_tables_is_the_sum_it_stands_for() {
        let guilty = codeword(&key(), 0, SessionId(70), 1500);
        let reading = reading(|j| -guilty.sign(j), 0.5);
        let sessions: Vec<SessionId> = (0..9000).map(SessionId).collect();
        let bar = reading.bar((1e-6f64 / 18_000.).ln());
        let found = &scan(&[(&reading, bar)], &key(), &sessions, 2, &|| false)[0];
        assert_eq!(found.len(), 1);
        let slow: f64 = (0..1500).map(|j| f64::from(reading.chips[j] * guilty.sign(j))).sum();
        assert!(found[0].0 == SessionId(70) && (found[0].1 - slow).abs() < 1e-6 && slow < 0.);
    }

    #[test]
    fn a_leak_that_shows_only_the_third_that_is_looked_at_first_is_traced() {
        let guilty = codeword(&key(), 0, SessionId(70), 1500);
        let sessions: Vec<SessionId> = (0..100).map(SessionId).collect();
        for gain in 0..20 {
            let mut reading = reading(|j| guilty.sign(j), 2.0 + gain as f32 / 20.);
            reading.chips.iter_mut().enumerate().filter(|(j, _)| j / 8 % 3 > 0).for_each(|(_, y)| *y = 0.);
            let bar = reading.bar((1e-6f64 / 200.).ln());
            let found = &scan(&[(&reading, bar)], &key(), &sessions, 2, &|| false)[0];
            assert_eq!(found.iter().map(|(session, _)| *session).collect::<Vec<_>>(), [SessionId(70)]);
        }
    }

    #[test]
    fn three_who_leave_the_odd_one_out_are_named_together_and_no_three_others_ever() {
        let sessions: Vec<SessionId> = (0..60).map(SessionId).collect();
        let codes: Vec<_> = [7, 23, 51].map(|s| codeword(&key(), 0, SessionId(s), 1500)).into();
        let product = |j: usize| codes.iter().map(|code| code.sign(j)).product::<f32>();
        let reading = reading(product, 0.6);
        let bar = reading.bar((1e-7 / triples(60)).ln());
        let found = reading.triple(&key(), &sessions, bar, 2, &|| false).unwrap();
        assert_eq!(found.0, [7, 23, 51].map(SessionId));
        let single = reading.bar((1e-6f64 / 120.).ln());
        assert_eq!(scan(&[(&reading, single)], &key(), &sessions, 2, &|| false), [[]]);
        let others: Vec<SessionId> = sessions.into_iter().filter(|s| s.0 != 23).collect();
        assert_eq!(reading.triple(&key(), &others, bar, 2, &|| false), None);
    }
}
