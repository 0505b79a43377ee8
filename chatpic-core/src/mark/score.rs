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

use std::collections::BTreeMap;

use super::code::{Codeword, codeword, first_bytes};
use super::key::ImageKey;
use super::spread::spread;
use crate::id::SessionId;

/// What is compared with codewords, read without knowing any: the segments of one rendition, or those of several together.
///
/// A session's codewords on two renditions are independent, so its sums over them may be added, and the bound holds for
/// the total as it does for each.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    parts: Vec<Part>,
}

/// For each byte of a codeword and each value it may have, its part of a sum.
type Table = Vec<[f32; 256]>;

/// The segments of one rendition.
#[derive(Clone, Debug)]
struct Part {
    /// The rendition's place in the record.
    size: usize,
    /// Signed and weighted; 0 where nothing was seen.
    chips: Vec<f32>,
}

/// The share of the false-alarm probability that triples may use up.
pub(crate) const TRIPLES: f64 = 0.1;
/// The most sessions among which triples are looked for: their number grows with the third power.
pub(crate) const IN_TRIPLES: usize = 200;

impl Reading {
    /// The segments of the rendition at place `size` in the record: signed, weighted, 0 where nothing was seen.
    pub(crate) fn new(size: usize, chips: Vec<f32>) -> Self {
        Self { parts: vec![Part { size, chips }] }
    }

    /// Several renditions' readings as one; `None` if there are not at least two. A viewer who averages the widths of one
    /// view leaves a part of his codeword on each.
    pub(crate) fn together<'a>(readings: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let parts: Vec<Part> = readings.into_iter().flat_map(|reading| reading.parts.clone()).collect();
        (parts.len() > 1).then_some(Self { parts })
    }

    /// Number of segments.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.chips.len()).sum()
    }

    fn chips(&self) -> impl Iterator<Item = &f32> {
        self.parts.iter().flat_map(|part| &part.chips)
    }

    fn norm(&self) -> f64 {
        self.chips().map(|y| f64::from(*y).powi(2)).sum::<f64>().sqrt()
    }

    /// `sum ln cosh(u y)` and its slope, `sum y tanh(u y)`.
    fn cumulant(&self, u: f64) -> (f64, f64) {
        self.chips().fold((0., 0.), |(value, slope), y| {
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

    /// The triple of sessions whose product of signs on one rendition has the greatest sum, with the sum, if it reaches
    /// `bar`; but for what a [`Sieve`] misses.
    pub(crate) fn triple(
        &self,
        key: &ImageKey,
        sessions: &[SessionId],
        bar: f64,
        threads: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<([SessionId; 3], f64)> {
        let [part] = &self.parts[..] else { return None };
        if sessions.len() < 3 || !bar.is_finite() {
            return None;
        }
        let sieve = Sieve::new(self, bar);
        let table = &sieve.tables[0];
        let n = part.chips.len();
        let codes: Vec<Vec<u8>> = sessions.iter().map(|s| codeword(key, part.size, *s, n).bits).collect();
        let half = Codeword::half(n);
        // The product of signs is that of the exclusive or of their bits.
        let multiply = |out: &mut Vec<u8>, a: &[u8], b: &[u8]| {
            out.clear();
            out.extend(a.iter().zip(b).map(|(a, b)| a ^ b));
        };
        let firsts: Vec<usize> = (0..sessions.len() - 2).collect();
        let best = spread(&firsts, threads, |&i| {
            let mut best = (f32::MIN, i, i);
            let (mut pair, mut product) = (Vec::new(), Vec::new());
            for j in i + 1..codes.len() - 1 {
                if stop() {
                    break;
                }
                multiply(&mut pair, &codes[i], &codes[j]);
                for (k, code) in codes.iter().enumerate().skip(j + 1) {
                    multiply(&mut product, &pair[..half], &code[..half]);
                    if quick_sum(&product, table) < sieve.hopeful {
                        continue;
                    }
                    multiply(&mut product, &pair, code);
                    let sum = quick_sum(&product, table);
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

impl Part {
    /// For each byte of a codeword and each value it may have, its part of the sum.
    fn table(&self) -> Table {
        let part = |chips: &[f32]| {
            let mut out = [0.; 256];
            out[0] = -chips.iter().sum::<f32>();
            for value in 1..256usize {
                let bit = value.trailing_zeros() as usize;
                out[value] = out[value & (value - 1)] + 2. * chips.get(bit).copied().unwrap_or(0.);
            }
            out
        };
        let half = Codeword::half(self.chips.len());
        let mut dealt = vec![0.; 16 * half];
        self.chips.iter().enumerate().for_each(|(j, y)| dealt[Codeword::place(j, half)] = *y);
        dealt.chunks(8).map(part).collect()
    }

    /// The exact sum of a codeword.
    fn sum(&self, code: &Codeword) -> f64 {
        self.chips.iter().enumerate().map(|(j, y)| f64::from(y * code.sign(j))).sum()
    }
}

/// A reading made ready for comparison with many codewords.
///
/// Most sessions are ruled out by the first half of their codewords: every second segment, wherever a leak shows some. A
/// sum past the bar has its share there, give or take a deviation of `sqrt(seen * (1 - share))`, `seen` being the power
/// of those readings. Four deviations less are hoped for: of the sums just past the bar one in 30 000 is missed. None is
/// let through that should not be.
struct Sieve<'a> {
    reading: &'a Reading,
    /// One for each part of the reading.
    tables: Vec<Table>,
    /// The sum that passes, either side of zero.
    bar: f64,
    /// What the quick sum must reach for the exact one to be taken: rounding must not decide.
    near: f32,
    /// What the sum over the first halves must reach.
    hopeful: f32,
}

impl<'a> Sieve<'a> {
    fn new(reading: &'a Reading, bar: f64) -> Self {
        let norm = reading.norm();
        let first_halves = reading.parts.iter().flat_map(|part| part.chips.iter().step_by(2));
        let seen: f64 = first_halves.map(|y| f64::from(*y).powi(2)).sum();
        // Rounding may take the share past 1.
        let share = (seen / (norm * norm).max(1e-9)).min(1.);
        let hopeful = (bar * share - 4. * (seen * (1. - share)).sqrt()) as f32;
        let tables = reading.parts.iter().map(Part::table).collect();
        Self { reading, tables, bar, near: (bar - 1e-3 * norm) as f32, hopeful }
    }

    fn sum_past_bar(&self, key: &ImageKey, session: SessionId) -> Option<f64> {
        let parts = &self.reading.parts;
        let codes: Vec<Codeword> =
            parts.iter().map(|part| codeword(key, part.size, session, part.chips.len())).collect();
        let quick: f32 =
            codes.iter().zip(&self.tables).map(|(code, table)| quick_sum(&code.bits, table)).sum();
        if quick.abs() < self.near {
            return None;
        }
        let exact: f64 = parts.iter().zip(&codes).map(|(part, code)| part.sum(code)).sum();
        (exact.abs() >= self.bar).then_some(exact)
    }
}

/// The sum over the first bytes of a codeword. Four are made side by side, since each addition waits for the one before.
fn quick_sum(bytes: &[u8], table: &[[f32; 256]]) -> f32 {
    let mut sums = [0f32; 4];
    let (quads, rest) = bytes.as_chunks::<4>();
    let (rows, last) = table[..bytes.len()].as_chunks::<4>();
    for (bytes, rows) in quads.iter().zip(rows) {
        for i in 0..4 {
            sums[i] += rows[i][usize::from(bytes[i])];
        }
    }
    sums.iter().sum::<f32>() + rest.iter().zip(last).map(|(byte, row)| row[usize::from(*byte)]).sum::<f32>()
}

/// Every session whose sum reaches a reading's bar on either side, with its sum, for each of the readings; but for what
/// a [`Sieve`] misses.
///
/// They are scanned together: making a codeword takes longer than comparing it.
pub(crate) fn scan(
    readings: &[(&Reading, f64)],
    key: &ImageKey,
    sessions: &[SessionId],
    threads: usize,
    stop: &(dyn Fn() -> bool + Sync),
) -> Vec<Vec<(SessionId, f64)>> {
    // No sum reaches an infinite bar.
    let reachable = readings.iter().enumerate().filter(|(_, (_, bar))| bar.is_finite());
    let sieves: Vec<(usize, Sieve<'_>)> =
        reachable.map(|(i, (reading, bar))| (i, Sieve::new(reading, *bar))).collect();
    // Each rendition has codewords of its own, with which the parts of all readings of it are compared.
    let mut renditions: BTreeMap<(usize, usize), Vec<(usize, &Table)>> = BTreeMap::new();
    for (i, (_, sieve)) in sieves.iter().enumerate() {
        for (part, table) in sieve.reading.parts.iter().zip(&sieve.tables) {
            renditions.entry((part.size, part.chips.len())).or_default().push((i, table));
        }
    }
    let pieces: Vec<&[SessionId]> = sessions.chunks(4096).collect();
    let found = spread(&pieces, threads, |piece| {
        let mut found = Vec::new();
        if stop() {
            return found;
        }
        // A few at a time, so that their bytes and one reading's table stay near the processor.
        for some in piece.chunks(256) {
            let mut sums = vec![[0f32; 256]; sieves.len()];
            for ((size, n), parts) in &renditions {
                let first = |session: &SessionId| first_bytes(key, *size, *session, Codeword::half(*n));
                let firsts: Vec<Vec<u8>> = some.iter().map(first).collect();
                for (i, table) in parts {
                    sums[*i].iter_mut().zip(&firsts).for_each(|(sum, first)| *sum += quick_sum(first, table));
                }
            }
            for ((i, sieve), sums) in sieves.iter().zip(&sums) {
                let hopeful = some.iter().zip(sums).filter(|(_, sum)| sum.abs() >= sieve.hopeful);
                found.extend(hopeful.filter_map(|(session, _)| {
                    sieve.sum_past_bar(key, *session).map(|sum| (*i, (*session, sum)))
                }));
            }
        }
        found
    });
    let mut by_reading = vec![Vec::new(); readings.len()];
    found.into_iter().flatten().for_each(|(i, named)| by_reading[i].push(named));
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
        reading_of(1500, signs, gain)
    }

    fn reading_of(segments: usize, signs: impl Fn(usize) -> f32, gain: f32) -> Reading {
        let mut stream = key().stream("noise");
        let chips = (0..segments).map(|j| {
            let noise = (0..12).map(|_| stream.uniform() as f32).sum::<f32>() - 6.0;
            (gain * signs(j) + noise).clamp(-3., 3.) * (0.5 + (j % 7) as f32 / 7.)
        });
        Reading::new(0, chips.collect())
    }

    #[test]
    fn the_bound_is_above_the_exact_chance_and_below_hoeffdings() {
        let reading = Reading::new(0, (0..14).map(|j| 0.3 + j as f32 / 9.).collect());
        for sum in [1.0, 4.0, 8.0, 12.0, 14.0] {
            let reached = (0u32..1 << 14).filter(|bits| {
                let signed = |(j, y): (usize, &f32)| if bits >> j & 1 == 1 { *y } else { -*y };
                f64::from(reading.chips().enumerate().map(signed).sum::<f32>()) >= sum
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
        assert_eq!(Reading::new(0, vec![1.; 10]).bar(-20.), f64::INFINITY);
    }

    #[test]
    fn the_scan_by_tables_is_the_sum_it_stands_for() {
        let guilty = codeword(&key(), 0, SessionId(70), 1500);
        let reading = reading(|j| -guilty.sign(j), 0.5);
        let sessions: Vec<SessionId> = (0..9000).map(SessionId).collect();
        let bar = reading.bar((1e-6f64 / 18_000.).ln());
        let found = &scan(&[(&reading, bar)], &key(), &sessions, 2, &|| false)[0];
        assert_eq!(found.len(), 1);
        let slow: f64 = (0..1500).map(|j| f64::from(reading.parts[0].chips[j] * guilty.sign(j))).sum();
        assert!(found[0].0 == SessionId(70) && (found[0].1 - slow).abs() < 1e-6 && slow < 0.);
    }

    #[test]
    fn a_session_is_found_whichever_segments_show_its_copy() {
        let segments = 8000;
        let guilty = codeword(&key(), 0, SessionId(70), segments);
        let sessions: Vec<SessionId> = (0..100).map(SessionId).collect();
        // A corner, and stripes of the picture such as several colluders' copies may be joined of.
        let shown: [&dyn Fn(usize) -> bool; 5] =
            [&|j| j > 5000, &|j| j / 8 % 3 == 0, &|j| j / 8 % 3 == 1, &|j| j / 24 % 2 == 0, &|j| j % 24 < 8];
        for (shows, gain) in shown.iter().flat_map(|shows| [0.4, 0.5, 2.0, 3.0].map(|gain| (shows, gain))) {
            let sign = |j: usize| if shows(j) { guilty.sign(j) } else { 0. };
            let mosaic = reading_of(segments, sign, gain);
            let mut cropped = mosaic.clone();
            cropped.parts[0]
                .chips
                .iter_mut()
                .enumerate()
                .filter(|(j, _)| !shows(*j))
                .for_each(|(_, y)| *y = 0.);
            for leak in [cropped, mosaic] {
                let bar = leak.bar((1e-6f64 / 200.).ln());
                let sum: f64 =
                    (0..segments).map(|j| f64::from(leak.parts[0].chips[j] * guilty.sign(j))).sum();
                assert!(sum > bar, "{gain} {sum} {bar}");
                let found = &scan(&[(&leak, bar)], &key(), &sessions, 2, &|| false)[0];
                assert_eq!(found.iter().map(|(session, _)| session.0).collect::<Vec<_>>(), [70], "{gain}");
            }
        }
        // Only what is looked at first: its share of the power is 1, give or take a rounding.
        let mut half = reading_of(segments, |j| guilty.sign(j), 1.0);
        half.parts[0].chips.iter_mut().skip(1).step_by(2).for_each(|y| *y = 0.);
        let bar = half.bar((1e-6f64 / 200.).ln());
        assert_eq!(scan(&[(&half, bar)], &key(), &sessions, 2, &|| false)[0].len(), 1);
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
