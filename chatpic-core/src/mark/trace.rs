//! From a leaked picture to sessions: find its place, read the segments, compare the codewords.
//!
//! The false-alarm bound holds by construction, for any picture and whatever was done to it: places and readings are
//! made without any codeword, and [`super::score`] proves the rest. The bound is multiplied by the number of
//! comparisons: sessions, times readings of each image, times both signs.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::carrier::{Carrier, Pilot};
use super::chips;
use super::effort::Effort;
use super::key::ImageKey;
use super::locate::{Leak, Locator};
use super::plane::Plane;
use super::record::{MarkError, MarkRecord, Size};
use super::reference::{self, Place, Reference};
use super::refine::{Wave, Waves};
use super::score::{self, IN_TRIPLES, Reading, TRIPLES, triples};
use super::shape::alpha;
use super::spread::{available, available_for, spread};
use super::sync::Stage;
use super::warp::{Homography, warp};
use crate::id::SessionId;
use crate::scale;

/// One image that the leak may be a copy of, and the sessions that it was served to.
#[derive(Debug)]
pub struct Suspect<'a> {
    /// The image's key.
    pub key: &'a ImageKey,
    /// How it was marked.
    pub record: &'a MarkRecord,
    /// The image's full rendition before it was marked, rebuilt from the uploader's original. One of another size than
    /// the record's is another image's, and is left aside.
    pub original: Option<&'a RgbImage>,
    /// Sessions that may have leaked it, the newest last. Triples of colluders are looked for among the last 200.
    pub sessions: &'a [SessionId],
}

/// What names a session. Each rests on the same bound; they differ in what they say about the leak.
///
/// Displayed in plain words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Evidence {
    /// The leak alone: its place was found by the pilot, or it is the whole image.
    Blind,
    /// The leak less the original.
    Original,
    /// The reverse of the session's codeword, in either of these: its copy was taken away where several were combined.
    Inverse,
    /// The product of three sessions' codewords: these three combined their copies.
    Triple,
}

impl Evidence {
    /// `"blind"`, `"original"`, `"inverse"` or `"triple"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Original => "original",
            Self::Inverse => "inverse",
            Self::Triple => "triple",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blind => "the session's mark in the leak",
            Self::Original => "the session's mark in what the leak shows beyond the original",
            Self::Inverse => "the reverse of the session's mark: its copy was taken away from others",
            Self::Triple => "a mark that only three sessions' copies put together can show",
        })
    }
}

/// A session that the leak was served to.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Match {
    /// The session.
    pub session: SessionId,
    /// Which suspect, from 0.
    pub image: usize,
    /// The size of its score, in standard deviations of an innocent one, to tenths.
    pub score: f64,
    /// An upper bound on the probability that any innocent candidate of this trace would score so high: three digits, rounded
    /// up, never below 1e-100.
    pub false_alarm: f64,
    /// What the score is of.
    pub evidence: Evidence,
}

/// What a trace found.
#[derive(Clone, PartialEq, Debug)]
pub struct Trace {
    /// Sessions past the threshold, best first, each once an image.
    pub matches: Vec<Match>,
    /// Sessions looked at, counted once an image.
    pub candidates: usize,
    /// Whether everything was tried that could be, or enough to name a session. If not, the search was cut short when
    /// its work was used up.
    pub complete: bool,
}

/// Pixels beyond which a leak is scaled down before anything else: half as many again as the largest rendition has.
const LARGEST_LEAK: f64 = 12e6;
/// A pilot score at which a place is read before any other is looked for. Wrong places come as high on large, smooth
/// images: a few pixels of the same waves still agree.
const LIKELY: f64 = 12.;
/// Places found by the pilot that are read at the end.
const PLACES: usize = 2;
/// Readings of one image that are compared with codewords: this many of those made of the leak alone, and all of those
/// made with the original.
const BLIND_READINGS: usize = 11;
/// Steps of reading a pixel of a leak or of a rendition, and of comparing a segment with a session's sign.
const READ: f64 = 65.;
const COMPARE: f64 = 0.025;
/// The part of what is left of the work that may be spent on finding the original in the leak.
const PLACING: f64 = 0.4;
/// Pixels of a canvas up to which all eight ways of being the whole image are read, not only the upright and mirrored.
const SMALL_CANVAS: f64 = 5e5;
/// Images that are searched step by step beside each other.
const TOGETHER: usize = 32;
/// The work that a trace is given for one image by default, in steps: about 40 seconds of one core (`cargo bench -p
/// chatpic-core` prints how many nanoseconds a step takes).
pub const TRACE_WORK: u64 = 40_000_000_000;

/// What is tried of one image, in the order of what it costs beside what it finds.
#[derive(Clone, Copy)]
enum Step {
    /// The leak is the whole image.
    Whole,
    /// The pilot says how the leak lies.
    Search(Stage),
    /// The original says how it lies.
    Original,
    /// Places where the pilot is weak, and the whole image whatever it says: it can be filtered out.
    Rest,
    /// Three sessions' copies were put together.
    Triples,
}

const STEPS: [Step; 8] = [
    Step::Whole,
    Step::Search(Stage::Upright),
    Step::Search(Stage::Stretched),
    Step::Original,
    Step::Search(Stage::Tilted),
    Step::Search(Stage::Turned),
    Step::Rest,
    Step::Triples,
];

/// Names the sessions that a leak was served to, with a false-alarm probability of at most `false_alarm` over all
/// comparisons.
///
/// The search takes at most `work` steps, [`TRACE_WORK`] being the usual number for one image. Likely places come first, on
/// every image, and the search ends with the step in which a session is named. `progress` is told the share that is done, 0
/// to 1, and can stop the trace.
///
/// # Errors
/// [`MarkError::Cancelled`] when `progress` breaks; [`MarkError::Record`] for a record of another version.
pub fn trace(
    leak: &RgbImage,
    suspects: &[Suspect<'_>],
    false_alarm: f64,
    work: u64,
    progress: &(dyn Fn(f32) -> ControlFlow<()> + Sync),
) -> Result<Trace, MarkError> {
    let candidates = suspects.iter().map(|suspect| suspect.sessions.len()).sum();
    let luma = luma(leak);
    if luma.width.min(luma.height) < 16 {
        return Ok(Trace { matches: Vec::new(), candidates, complete: true });
    }
    let leak = Leak::new(luma);
    let bounds = Bounds::new(suspects, false_alarm);
    let (work, mut complete) = (Effort::new(work), true);
    let watch = Watch { progress, done: AtomicU32::new(0) };
    let mut matches: Vec<Match> = Vec::new();
    for (group, some) in suspects.chunks(TOGETHER).enumerate() {
        let first = group * TOGETHER;
        // Every image has the same part of what is left.
        let effort = work.part(some.len() as f64 / (suspects.len() - first) as f64);
        let tracers = some.iter().enumerate().map(|(i, suspect)| {
            let image = first + i;
            Tracer::new(&leak, suspect, image, &watch, &bounds, &effort)
        });
        let mut tracers = tracers.collect::<Result<Vec<_>, _>>()?;
        let mut found = Vec::new();
        for (at, step) in STEPS.into_iter().enumerate() {
            for (i, tracer) in tracers.iter_mut().enumerate() {
                let done = (at as f32 + i as f32 / some.len() as f32) / STEPS.len() as f32;
                watch.tell((first as f32 + done * some.len() as f32) / suspects.len() as f32)?;
                found.extend(tracer.take(step)?);
            }
            if !found.is_empty() {
                break;
            }
        }
        complete &= !found.is_empty() || !effort.is_short();
        work.take_back(&effort);
        matches.extend(found);
    }
    watch.tell(1.0)?;
    matches.sort_by(|a, b| a.false_alarm.total_cmp(&b.false_alarm).then(b.score.total_cmp(&a.score)));
    Ok(Trace { matches, candidates, complete })
}

/// The size at which a leak of this size is looked at, at most [`LARGEST_LEAK`] pixels.
pub(crate) fn leak_size(size: Size) -> Size {
    let shrink = (size.pixels() as f64 / LARGEST_LEAK).sqrt().max(1.0);
    let side = |side: u32| ((f64::from(side) / shrink) as u32).max(1);
    Size { width: side(size.width), height: side(size.height) }
}

fn luma(leak: &RgbImage) -> Plane {
    let size = Size { width: leak.width(), height: leak.height() };
    let looked_at = leak_size(size);
    if looked_at == size { Plane::from_luma(leak) } else { Plane::from_luma(&scale::rgb(leak, looked_at)) }
}

/// The suspect's original, if it is this image's.
fn reference<'a>(suspect: &Suspect<'a>) -> Option<&'a RgbImage> {
    let fits = |image: &&RgbImage| {
        suspect.record.sizes.first() == Some(&Size { width: image.width(), height: image.height() })
    };
    suspect.original.filter(fits)
}

/// How likely each comparison may accuse an innocent session. What could be compared is settled before anything is, so
/// that no outcome can change the count.
struct Bounds {
    /// Of a session.
    singles: Share,
    /// Of three sessions.
    threes: Share,
}

impl Bounds {
    fn new(suspects: &[Suspect<'_>], false_alarm: f64) -> Self {
        let readings = |suspect: &Suspect<'_>| {
            let sizes = suspect.record.sizes.len();
            BLIND_READINGS + if reference(suspect).is_some() { reference::most_readings(sizes) } else { 0 }
        };
        let count = |each: &dyn Fn(&Suspect<'_>) -> f64| {
            suspects.iter().map(|suspect| readings(suspect) as f64 * each(suspect)).sum::<f64>().max(1.)
        };
        let singles = 2. * count(&|suspect| suspect.sessions.len() as f64) / (1. - TRIPLES);
        let threes = count(&|suspect| triples(suspect.sessions.len())) / TRIPLES;
        let share = |comparisons| Share { comparisons, false_alarm };
        Self { singles: share(singles), threes: share(threes) }
    }
}

/// How many comparisons share a false-alarm probability.
struct Share {
    comparisons: f64,
    false_alarm: f64,
}

impl Share {
    /// The logarithm of the probability that one comparison may have.
    fn log_chance(&self) -> f64 {
        (self.false_alarm / self.comparisons).ln()
    }

    /// The probability over all comparisons, of one whose own has this logarithm, as it is stated.
    fn over_all(&self, log_chance: f64) -> f64 {
        stated((self.comparisons.ln() + log_chance).exp())
    }
}

/// A bound on a probability as it is stated: to three digits, rounded up, so that no more is claimed than was found; at
/// least 1e-100, for none is 0.
pub(crate) fn stated(bound: f64) -> f64 {
    let bound = bound.clamp(1e-100, 1.0);
    let exponent = bound.log10().floor() as i32 - 2;
    // What is three digits already stays, however its last bits were rounded.
    let digits = (bound / 10f64.powi(exponent) - 1e-9).ceil();
    format!("{digits}e{exponent}").parse().map_or(bound, |stated: f64| stated.min(1.0))
}

/// One leak against one image, step by step.
struct Tracer<'a> {
    leak: &'a Leak,
    suspect: &'a Suspect<'a>,
    image: usize,
    canvas: (f64, f64),
    watch: &'a Watch<'a>,
    bounds: &'a Bounds,
    effort: &'a Effort,
    locator: Locator<'a>,
    /// Places at which the leak alone was read, leak pixels to canvas pixels.
    read_at: Vec<Homography>,
    /// What was read of the leak alone.
    blind: Vec<Reading>,
    /// What was read of the leak less the original.
    with_original: Vec<Reading>,
}

/// Whoever asked for the trace: told how far it is, asked whether to go on.
struct Watch<'a> {
    progress: &'a (dyn Fn(f32) -> ControlFlow<()> + Sync),
    /// The share that is done, in millionths.
    done: AtomicU32,
}

impl Watch<'_> {
    fn tell(&self, share: f32) -> Result<(), MarkError> {
        self.done.store((share * 1e6) as u32, Ordering::Relaxed);
        if self.stopped() { Err(MarkError::Cancelled) } else { Ok(()) }
    }

    fn stopped(&self) -> bool {
        (self.progress)(self.done.load(Ordering::Relaxed) as f32 / 1e6).is_break()
    }
}

impl<'a> Tracer<'a> {
    fn new(
        leak: &'a Leak,
        suspect: &'a Suspect<'a>,
        image: usize,
        watch: &'a Watch<'a>,
        bounds: &'a Bounds,
        effort: &'a Effort,
    ) -> Result<Self, MarkError> {
        let record = suspect.record;
        let full = *record.sizes.first().ok_or(MarkError::Record)?;
        if record.version != MarkRecord::VERSION {
            return Err(MarkError::Record);
        }
        let pilot = Pilot::new(suspect.key, &record.sizes);
        let waves = Waves::new(pilot.waves.iter().map(|w| Wave { x: w.fx, y: w.fy, phase: w.phase }));
        let canvas = (f64::from(full.width), f64::from(full.height));
        let locator = Locator::new(leak, waves, canvas, available(), effort);
        let (read_at, blind, with_original) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self {
            leak,
            suspect,
            image,
            canvas,
            watch,
            bounds,
            effort,
            locator,
            read_at,
            blind,
            with_original,
        })
    }

    /// Takes one step, and names the sessions that it finds.
    fn take(&mut self, step: Step) -> Result<Vec<Match>, MarkError> {
        let watch = self.watch;
        match step {
            Step::Whole => {
                self.locator.try_whole();
                Ok(self.read_likely())
            }
            Step::Search(stage) => {
                self.locator.search(stage, &|| watch.stopped());
                Ok(self.read_likely())
            }
            Step::Original => match reference(self.suspect) {
                Some(original) => self.read_with(&Reference::new(original)),
                None => Ok(Vec::new()),
            },
            Step::Rest => {
                let places = self.locator.places(PLACES).into_iter().map(|place| place.map).collect();
                let found = self.read(places);
                Ok(if found.is_empty() { self.read(self.wholes()) } else { found })
            }
            Step::Triples => Ok(self.compare_threes()),
        }
    }

    /// Reads the best place if it is a likely one. If it names nobody it may have been a wrong one, whatever it scores:
    /// where the right one has 66, one that is off by some pixels may have 29.
    fn read_likely(&mut self) -> Vec<Match> {
        let likely = self.locator.places(1).into_iter().filter(|place| place.score > LIKELY);
        self.read(likely.map(|place| place.map).collect())
    }

    /// Reads the leak less the original, first where it lies if nobody moved it, then where the picture itself places it:
    /// finding that takes longer than finding the pilot.
    fn read_with(&mut self, original: &Reference<'_>) -> Result<Vec<Match>, MarkError> {
        let Suspect { key, record, .. } = self.suspect;
        let (leak, watch, effort) = (&self.leak.luma, self.watch, self.effort);
        let stop = || watch.stopped();
        let mut found = Vec::new();
        if effort.pay(original.price_of_reading(record)) {
            let readings = original.read(leak, Place::Unmoved, key, record, &stop)?;
            found = self.compare(&readings, Evidence::Original);
            self.with_original.extend(readings);
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let placing = effort.part(PLACING);
        let hints: Vec<Homography> = self.locator.places(1).into_iter().map(|place| place.map).collect();
        let place = original.place(leak, self.locator.waves(), &hints, available(), &placing, &stop);
        effort.take_back(&placing);
        let Some(map) = place.filter(|_| effort.pay(original.price_of_reading(record))) else {
            return Ok(Vec::new());
        };
        let readings = original.read(leak, Place::At(&map), key, record, &stop)?;
        let found = self.compare(&readings, Evidence::Original);
        self.with_original.extend(readings);
        Ok(found)
    }

    /// Reads every rendition at those of `maps` that were not read before, and gives the sessions past the threshold in
    /// any of these readings. Readings are ranked by [`evenness`], which knows no codeword, and only as
    /// many are compared as [`BLIND_READINGS`] leaves.
    fn read(&mut self, maps: Vec<Homography>) -> Vec<Match> {
        let Suspect { key, record, .. } = self.suspect;
        let (leak, watch) = (&self.leak.luma, self.watch);
        let left = BLIND_READINGS - self.blind.len();
        let mut fresh: Vec<Homography> = maps.into_iter().filter(|map| !self.read_at.contains(map)).collect();
        if fresh.is_empty() || left == 0 {
            return Vec::new();
        }
        let pixels: u64 = record.sizes.iter().map(|size| size.pixels()).sum();
        fresh.truncate(self.effort.pay_for(fresh.len(), READ * (leak.data.len() as f64 + pixels as f64)));
        let mut by_map: Vec<Vec<(f32, Reading)>> = vec![Vec::new(); fresh.len()];
        for (index, size) in record.sizes.iter().enumerate() {
            let carrier = Carrier::new(key, index, *size, record.chroma);
            let (canvas_width, canvas_height) = self.canvas;
            let to_size = Homography::resize(
                f64::from(size.width) / canvas_width,
                f64::from(size.height) / canvas_height,
            );
            let read = spread(&fresh, available_for(*size), |map| {
                if watch.stopped() {
                    return None;
                }
                let warped = warp(leak, &to_size.after(map), carrier.w.width, carrier.w.height)?;
                let alpha = alpha(&warped.plane, 0.0);
                let (y, d) = chips::statistic(&warped.plane, &carrier, &alpha, Some(&warped.cover));
                Some((evenness(&y, &d), Reading::new(index, chips::weigh(&y, &d))))
            });
            by_map.iter_mut().zip(read).for_each(|(of_map, read)| of_map.extend(read));
        }
        self.read_at.extend(fresh);
        let mut read: Vec<(f32, Reading)> = Vec::new();
        for of_map in by_map {
            let evenness = of_map.iter().map(|(evenness, _)| evenness).sum::<f32>() / of_map.len() as f32;
            let together = Reading::together(of_map.iter().map(|(_, reading)| reading));
            read.extend(of_map);
            read.extend(together.map(|together| (evenness, together)));
        }
        read.sort_by(|a, b| b.0.total_cmp(&a.0));
        let readings: Vec<Reading> = read.into_iter().take(left).map(|(_, reading)| reading).collect();
        let found = self.compare(&readings, Evidence::Blind);
        self.blind.extend(readings);
        found
    }

    /// The ways in which the whole leak may be the whole image, about in its proportions.
    fn wholes(&self) -> Vec<Homography> {
        let (leak, canvas) = (&self.leak.luma, self.canvas);
        let ways = if canvas.0 * canvas.1 <= SMALL_CANVAS { 8 } else { 2 };
        let wholes = Homography::wholes((leak.width, leak.height), canvas).into_iter().take(ways);
        let stretch = |map: &Homography| {
            let [a, b, c, d] = map.jacobian(0., 0.);
            (a.hypot(c) / b.hypot(d)).ln().abs()
        };
        wholes.filter(|map| stretch(map) < 0.25).collect()
    }

    /// The sessions past the threshold in any reading, each by the one that says most of it.
    fn compare(&self, readings: &[Reading], evidence: Evidence) -> Vec<Match> {
        let Suspect { key, sessions, .. } = self.suspect;
        let segments: usize = readings.iter().map(Reading::len).sum();
        if !self.effort.pay(COMPARE * (sessions.len() * segments) as f64) {
            return Vec::new();
        }
        let share = &self.bounds.singles;
        let barred: Vec<(&Reading, f64)> =
            readings.iter().map(|reading| (reading, reading.bar(share.log_chance()))).collect();
        let found = score::scan(&barred, key, sessions, available(), &|| self.watch.stopped());
        let mut best: BTreeMap<SessionId, Match> = BTreeMap::new();
        for (reading, found) in readings.iter().zip(found) {
            for (session, sum) in found {
                let found = self.named(session, reading, sum, evidence, share);
                let best = best.entry(session).or_insert(found);
                if found.score > best.score {
                    *best = found;
                }
            }
        }
        best.into_values().collect()
    }

    /// The triple past the threshold in the first reading that has one.
    fn compare_threes(&self) -> Vec<Match> {
        let Suspect { key, sessions, .. } = self.suspect;
        let newest = &sessions[sessions.len().saturating_sub(IN_TRIPLES)..];
        let share = &self.bounds.threes;
        for reading in self.with_original.iter().chain(&self.blind) {
            if !self.effort.pay(COMPARE * triples(newest.len()) * reading.len() as f64) {
                break;
            }
            let bar = reading.bar(share.log_chance());
            let found = reading.triple(key, newest, bar, available(), &|| self.watch.stopped());
            if let Some((triple, sum)) = found {
                return triple.map(|s| self.named(s, reading, sum, Evidence::Triple, share)).to_vec();
            }
        }
        Vec::new()
    }

    fn named(
        &self,
        session: SessionId,
        reading: &Reading,
        sum: f64,
        evidence: Evidence,
        share: &Share,
    ) -> Match {
        Match {
            session,
            image: self.image,
            score: (f64::from(reading.deviations(sum.abs())) * 10.0).round() / 10.0,
            false_alarm: share.over_all(reading.log_chance(sum)),
            evidence: if sum < 0. { Evidence::Inverse } else { evidence },
        }
    }
}

/// How evenly strong the segments' readings are: the squared mean of their sizes over their mean square, 0.64 for normal
/// numbers and 1 for signs alone. At the right place the mark adds the same to all, and what the image itself says was
/// cancelled when it was embedded, which takes the large ones away.
fn evenness(y: &[f32], d: &[f32]) -> f32 {
    let seen = y.iter().zip(d).filter(|(_, d)| **d > 1e-6).map(|(y, d)| (y * y / d).min(25.));
    let (mut sizes, mut squares, mut count) = (0., 0., 0.);
    for square in seen {
        (sizes, squares, count) = (sizes + square.sqrt(), squares + square, count + 1.);
    }
    // A handful of segments says nothing.
    if count < 50. || squares <= 0. { 0. } else { sizes * sizes / (count * squares) }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use std::ops::Range;

    use image::imageops::{FilterType, crop_imm, fast_blur, resize, rotate90};

    use super::super::embed::embed_rgb;
    use super::super::embed::tests::picture;
    use super::super::jpeg;
    use super::super::prepared::prepare;
    use super::*;
    use crate::mark::{Chroma, MarkKey, embed_with, record_of, record_of_pixels};
    use crate::testing::samples;

    const GUILTY: SessionId = SessionId(0xE64F_44F6);

    fn key(seed: u8) -> ImageKey {
        MarkKey::new([seed; 32]).image(b"picture")
    }

    fn found(
        leak: &RgbImage,
        key: &ImageKey,
        record: &MarkRecord,
        original: Option<&RgbImage>,
    ) -> Vec<(SessionId, Evidence)> {
        let sessions: Vec<SessionId> = (1..1000).map(SessionId).chain([GUILTY]).collect();
        let suspect = Suspect { key, record, original, sessions: &sessions };
        let trace = trace(leak, &[suspect], 1e-6, TRACE_WORK, &|_| ControlFlow::Continue(())).unwrap();
        assert_eq!(trace.candidates, 1000);
        assert!(trace.matches.iter().all(|found| found.false_alarm <= 1e-6 && found.score > 0.));
        trace.matches.into_iter().map(|found| (found.session, found.evidence)).collect()
    }

    fn named(leak: &RgbImage, key: &ImageKey, record: &MarkRecord) -> Vec<SessionId> {
        found(leak, key, record, None).into_iter().map(|(session, _)| session).collect()
    }

    /// The copies of one image in several hands, put together pixel by pixel and channel by channel.
    fn combined(copies: &[RgbImage], how: impl Fn(usize, &mut [u8]) -> u8) -> RgbImage {
        let mut out = copies[0].clone();
        for (i, v) in out.iter_mut().enumerate() {
            let mut values: Vec<u8> = copies.iter().map(|copy| copy.as_raw()[i]).collect();
            *v = how(i, &mut values);
        }
        out
    }

    #[test]
    fn a_bound_is_stated_in_three_digits_that_claim_no_more() {
        for (bound, told) in [
            (0.0, "1e-100"),
            (9.113e-315, "1e-100"),
            (1e-100, "1e-100"),
            (1.2345e-45, "1.24e-45"),
            (1.23e-45, "1.23e-45"),
            (9.996e-7, "1e-6"),
            (1e-6, "1e-6"),
            (0.25, "2.5e-1"),
            (7.0, "1e0"),
        ] {
            assert_eq!(format!("{:e}", stated(bound)), told);
            assert!(stated(bound) >= bound.min(1.0));
        }
    }

    #[test]
    fn with_the_original_a_small_piece_names_its_session_and_one_of_another_size_is_left_aside() {
        let original = picture(480, 400);
        let prepared = prepare(&original, &[], &key(1)).unwrap();
        let record = prepared.record.unwrap();
        let copy = prepared.renditions[0].copy(&key(1), GUILTY, &[]).unwrap();
        let copy = jpeg::decode(&copy).unwrap();
        let piece = crop_imm(&copy, 133, 111, 100, 100).to_image();
        let piece = jpeg::decode(&jpeg::encode_at(&piece, Chroma::Half, 0, 70).unwrap()).unwrap();
        assert_eq!(found(&piece, &key(1), &record, Some(&original)), [(GUILTY, Evidence::Original)]);
        assert_eq!(found(&piece, &key(2), &record, Some(&original)), []);
        let other = picture(300, 200);
        let blind = found(&copy, &key(1), &record, Some(&other));
        assert_eq!(blind.iter().map(|(session, _)| *session).collect::<Vec<_>>(), [GUILTY]);
    }

    #[test]
    fn with_the_original_a_drawing_and_smooth_pieces_are_read_where_they_lie() {
        let drawing = samples::flat_graphic(608, 496);
        let smooth = fast_blur(&samples::photograph(1400, 1000, 5), 5.0);
        for (original, piece, quality) in [
            (drawing, None, 14),
            (smooth.clone(), Some((611, 303, 192, 192)), 75),
            (smooth, Some((0, 400, 1400, 48)), 70),
        ] {
            let prepared = prepare(&original, &[640], &key(1)).unwrap();
            let record = prepared.record.unwrap();
            let copy = jpeg::decode(&prepared.renditions[0].copy(&key(1), GUILTY, &[]).unwrap()).unwrap();
            let leak = piece.map_or(copy.clone(), |(x, y, width, height)| {
                crop_imm(&copy, x, y, width, height).to_image()
            });
            let leak = jpeg::decode(&jpeg::encode_at(&leak, Chroma::Half, 0, quality).unwrap()).unwrap();
            assert_eq!(found(&leak, &key(1), &record, Some(&original)), [(GUILTY, Evidence::Original)]);
        }
    }

    /// As a camera shows a picture: smaller and in perspective.
    fn photographed(picture: &RgbImage) -> RgbImage {
        let map = Homography([1.3, -0.01, -210., 0.03, 1.36, -230., -2e-5, 6e-6, 1.]);
        let seen = warp(&Plane::from_luma(picture), &map.inverse().unwrap(), 1250, 950).unwrap();
        RgbImage::from_fn(1250, 950, |x, y| Rgb([seen.plane.row(y as usize)[x as usize].round() as u8; 3]))
    }

    #[test]
    fn a_place_that_names_nobody_does_not_end_the_search_however_high_its_pilot_scores() {
        let original = fast_blur(&samples::photograph(1400, 1000, 3), 3.0);
        // With these keys a place that is off by some pixels is found first, with a score of about 30; the right one has 100.
        for seed in [1, 2, 3] {
            let mut record = record_of_pixels(&original, &key(seed)).unwrap();
            record.strength = 2.0;
            let leak = photographed(&embed_with(&original, &key(seed), GUILTY, &record, 0).unwrap());
            assert_eq!(named(&leak, &key(seed), &record), [GUILTY], "{seed}");
        }
    }

    #[test]
    fn colluders_are_named_and_nobody_else() {
        let image = picture(640, 448);
        let record = record_of(&[Size { width: 640, height: 448 }]).unwrap();
        let who = [GUILTY, SessionId(991), SessionId(992), SessionId(993), SessionId(994)];
        let copies: Vec<RgbImage> = who.map(|s| embed_rgb(&image, &key(1), s).unwrap()).into();
        let mean = |_: usize, v: &mut [u8]| {
            ((v.iter().map(|v| u32::from(*v)).sum::<u32>() + v.len() as u32 / 2) / v.len() as u32) as u8
        };
        let middle = |_: usize, v: &mut [u8]| {
            v.sort_unstable();
            v[v.len() / 2]
        };
        let tiles = |i: usize, v: &mut [u8]| v[(i / 3 % 640 / 64 + i / 3 / 640 / 64 * 7) % v.len()];
        let least = |_: usize, v: &mut [u8]| v.iter().copied().min().unwrap_or(0);
        let leaks = [
            ("mean of 2", 2, combined(&copies[..2], mean)),
            ("mean of 3", 3, combined(&copies[..3], mean)),
            ("mean of 5", 5, combined(&copies, mean)),
            ("median of 3", 3, combined(&copies[..3], middle)),
            ("mosaic of 3", 3, combined(&copies[..3], tiles)),
            ("least of 2", 2, combined(&copies[..2], least)),
            ("least of 3", 3, combined(&copies[..3], least)),
        ];
        for (name, hands, leak) in leaks {
            let found = found(&leak, &key(1), &record, Some(&image));
            assert!(!found.is_empty(), "{name}");
            assert!(found.iter().all(|(session, _)| who[..hands].contains(session)), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_session_whose_copy_was_taken_away_is_named_as_that() {
        let image = picture(640, 448);
        let record = record_of(&[Size { width: 640, height: 448 }]).unwrap();
        let who = [GUILTY, SessionId(991), SessionId(992)];
        let copies: Vec<RgbImage> = who.map(|s| embed_rgb(&image, &key(1), s).unwrap()).into();
        let two_less_one = |_: usize, v: &mut [u8]| {
            (i16::from(v[0]) + i16::from(v[1]) - i16::from(v[2])).clamp(0, 255) as u8
        };
        let found = found(&combined(&copies, two_less_one), &key(1), &record, Some(&image));
        assert!(found.iter().all(|(session, _)| who.contains(session)), "{found:?}");
        for (session, evidence) in &found {
            assert_eq!(*evidence == Evidence::Inverse, *session == who[2], "{found:?}");
        }
        assert!(found.iter().any(|(session, _)| *session == who[2]), "{found:?}");
    }

    #[test]
    fn three_who_keep_what_only_one_of_them_has_are_named_by_their_product() {
        let image = picture(640, 448);
        let record = record_of(&[Size { width: 640, height: 448 }]).unwrap();
        let who = [GUILTY, SessionId(991), SessionId(992)];
        let copies: Vec<RgbImage> = who.map(|s| embed_rgb(&image, &key(1), s).unwrap()).into();
        let odd_one = |_: usize, v: &mut [u8]| {
            v.sort_unstable();
            v[0] + (v[2] - v[1])
        };
        let mut found = found(&combined(&copies, odd_one), &key(1), &record, Some(&image));
        found.sort_by_key(|(session, _)| session.0);
        let expected = [SessionId(991), SessionId(992), GUILTY].map(|s| (s, Evidence::Triple));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_served_image_names_its_session_whole_recompressed_shrunk_and_cut() {
        let prepared = prepare(&picture(1000, 720), &[640], &key(1)).unwrap();
        let record = prepared.record.unwrap();
        for rendition in &prepared.renditions {
            let copy = rendition.copy(&key(1), GUILTY, &[]).unwrap();
            let copy = image::load_from_memory(&copy).unwrap().into_rgb8();
            let (width, height) = copy.dimensions();
            let recompressed = jpeg::encode_at(&copy, Chroma::Half, 0, 70).unwrap();
            let small = resize(&copy, width * 3 / 5, height * 3 / 5, FilterType::CatmullRom);
            let half = crop_imm(&copy, width / 7, height / 9, width * 7 / 10, height * 7 / 10).to_image();
            let leaks = [
                ("whole", copy),
                ("70", jpeg::decode(&recompressed).unwrap()),
                ("small", small),
                ("half", half),
            ];
            for (name, leak) in leaks {
                assert_eq!(named(&leak, &key(1), &record), [GUILTY], "{name} of {width} px");
            }
        }
    }

    #[test]
    fn unmarked_images_and_wrong_keys_name_nobody() {
        let image = picture(768, 512);
        let record = record_of(&[crate::mark::Size { width: 768, height: 512 }]).unwrap();
        assert_eq!(named(&image, &key(1), &record), []);
        let marked = embed_rgb(&image, &key(1), GUILTY).unwrap();
        assert_eq!(named(&marked, &key(1), &record), [GUILTY]);
        assert_eq!(named(&marked, &key(2), &record), []);
    }

    #[test]
    fn a_trace_can_be_stopped() {
        let record = record_of(&[crate::mark::Size { width: 300, height: 200 }]).unwrap();
        let suspect = Suspect { key: &key(1), record: &record, original: None, sessions: &[GUILTY] };
        let stopped = trace(&picture(300, 200), &[suspect], 1e-6, TRACE_WORK, &|_| ControlFlow::Break(()));
        assert_eq!(stopped, Err(MarkError::Cancelled));
    }

    #[test]
    fn a_search_ends_where_its_work_is_used_up_and_says_so() {
        let (image, other) = (picture(480, 400), picture(300, 200));
        let record = record_of(&[Size { width: 480, height: 400 }]).unwrap();
        let leak = embed_rgb(&image, &key(1), GUILTY).unwrap();
        let sessions = [GUILTY];
        let search = |leak: &RgbImage, seeds: Range<u8>, original, work| {
            let keys: Vec<ImageKey> = seeds.map(key).collect();
            let suspect = |key| Suspect { key, record: &record, original, sessions: &sessions };
            let suspects: Vec<Suspect<'_>> = keys.iter().map(suspect).collect();
            trace(leak, &suspects, 1e-6, work, &|_| ControlFlow::Continue(())).unwrap()
        };
        let enough = search(&leak, 1..2, None, TRACE_WORK);
        assert!(enough.complete && enough.matches.len() == 1);
        assert!(!search(&leak, 1..2, None, 1_000_000).complete);
        // Likely places come first, on every image: what names the last is little of what a search of all takes.
        let some = TRACE_WORK / 20;
        assert!(!search(&leak, 2..6, None, some).complete);
        let found = search(&leak, 0..2, None, some);
        assert!(found.complete && found.matches.len() == 1 && found.matches[0].image == 1);
        // Another picture is not looked for in every corner of the leak.
        assert!(!search(&other, 2..3, Some(&image), some).complete);
    }

    /// As a phone's capture of a long page, and as one that was turned and cut.
    #[test]
    fn long_and_narrow_leaks_name_their_session() {
        let page = samples::flat_graphic(300, 4200);
        let record = record_of_pixels(&page, &key(1)).unwrap();
        let copy = embed_with(&page, &key(1), GUILTY, &record, 0).unwrap();
        let captured = resize(&copy, 560, 7840, FilterType::CatmullRom);
        let turned = rotate90(&crop_imm(&captured, 0, 900, 560, 5000).to_image());
        for leak in [captured, turned] {
            assert_eq!(named(&leak, &key(1), &record), [GUILTY]);
        }
    }

    #[test]
    fn leaks_of_absurd_shapes_are_searched_within_bounds() {
        let record = record_of(&[Size { width: 300, height: 200 }]).unwrap();
        for (width, height) in
            [(16, 64_000), (24, 1_000_000), (1_000_000, 24), (17, 3_900_000), (1, 64_000_000)]
        {
            let leak = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 31 + y * 17 + y / 97) as u8; 3]));
            assert_eq!(named(&leak, &key(1), &record), []);
        }
    }

    #[test]
    fn the_mean_of_all_widths_of_one_view_names_its_session() {
        let prepared = prepare(&samples::photograph(1600, 1067, 4), &[1280, 640], &key(1)).unwrap();
        let record = prepared.record.unwrap();
        let full = record.sizes[0];
        let widths: Vec<RgbImage> = prepared
            .renditions
            .iter()
            .map(|rendition| jpeg::decode(&rendition.copy(&key(1), GUILTY, &[]).unwrap()).unwrap())
            .map(|copy| resize(&copy, full.width, full.height, FilterType::Lanczos3))
            .collect();
        let mean =
            combined(&widths, |_, v| (v.iter().map(|v| u32::from(*v)).sum::<u32>() / v.len() as u32) as u8);
        let leak = jpeg::decode(&jpeg::encode_at(&mean, Chroma::Half, 0, 35).unwrap()).unwrap();
        assert_eq!(named(&leak, &key(1), &record), [GUILTY]);
    }

    #[test]
    fn tiny_leaks_name_nobody() {
        let record = record_of(&[crate::mark::Size { width: 300, height: 200 }]).unwrap();
        assert_eq!(named(&RgbImage::new(1, 1), &key(1), &record), []);
        assert_eq!(named(&RgbImage::new(15, 4000), &key(1), &record), []);
    }
}
