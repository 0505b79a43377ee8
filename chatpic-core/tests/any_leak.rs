//! A leak of any shape and content is traced in bounded memory and time.
//!
//! `CHATPIC_TEST_TRACES` leaks with a trace's usual work, or a few with less when it is not set.
#![cfg(all(feature = "testing", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::ops::ControlFlow;

use chatpic_core::SessionId;
use chatpic_core::mark::{self, ImageKey, MarkKey, MarkRecord, Suspect, TRACE_WORK, Trace};
use chatpic_core::testing::samples;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use proptest::prelude::*;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

const SESSION: SessionId = SessionId(0xE64F_44F6);
/// The most memory that a trace may take, in megabytes.
const MEMORY: u64 = 700;
/// The most processor time that a trace may take, in nanoseconds a step of work: tests are not built to be fast.
const TIME: u64 = 3;
/// The same for what is not searching: reading the leak and scaling it, in seconds.
const ASIDE: u64 = 10;
/// Memory that ends the test before it ends the computer, in bytes.
const TOO_MUCH: u64 = 8 << 30;
/// Pixels of a leak that intake takes.
const LARGEST: f64 = 64e6;

#[derive(Clone, Copy, Debug)]
enum Content {
    Flat,
    Gradient,
    Noise,
    Text,
    /// A session's copy, stretched to the leak's shape.
    Copy,
}

#[derive(Debug)]
struct Leak {
    width: u32,
    height: u32,
    content: Content,
}

impl Leak {
    fn draw(&self, copy: &RgbImage) -> RgbImage {
        let (width, height) = (self.width, self.height);
        match self.content {
            Content::Flat => RgbImage::from_pixel(width, height, Rgb([120, 130, 140])),
            Content::Gradient => RgbImage::from_fn(width, height, |x, y| {
                let part = |at: u32, side: u32| (u64::from(at) * 255 / u64::from(side)) as u8;
                Rgb([part(x, width), part(y, height), 128])
            }),
            Content::Noise => RgbImage::from_fn(width, height, |x, y| {
                let bits = (x ^ y.rotate_left(16)).wrapping_mul(0x9E37_79B1);
                Rgb([((bits ^ (bits >> 15)).wrapping_mul(0x85EB_CA77) >> 24) as u8; 3])
            }),
            Content::Text => samples::flat_graphic(width, height),
            Content::Copy => resize(copy, width, height, FilterType::Triangle),
        }
    }
}

prop_compose! {
    /// Sides of all orders of magnitude that intake takes.
    fn leak()(
        long in 0f64..1.,
        short in 0f64..1.,
        is_tall: bool,
        content in prop::sample::select(vec![
            Content::Flat, Content::Gradient, Content::Noise, Content::Text, Content::Copy,
        ]),
    ) -> Leak {
        let between = |least: f64, most: f64, part: f64| least * (most / least).powf(part);
        let long = between(16., 1e6, long);
        let short = between(8., long.min(LARGEST / long), short);
        let (width, height) = if is_tall { (short, long) } else { (long, short) };
        Leak { width: width as u32, height: height as u32, content }
    }
}

/// One image that was served to one session.
struct Served {
    key: ImageKey,
    original: RgbImage,
    record: MarkRecord,
    copy: RgbImage,
}

impl Served {
    fn new() -> Self {
        let key = MarkKey::new([1; 32]).image(b"picture");
        let original = samples::photograph(800, 600, 3);
        let record = mark::record_of_pixels(&original, &key).unwrap();
        let copy = mark::embed_with(&original, &key, SESSION, &record, 0).unwrap();
        Self { key, original, record, copy }
    }

    fn trace(&self, leak: &RgbImage, has_original: bool, work: u64) -> Trace {
        let original = has_original.then_some(&self.original);
        let suspects =
            [Suspect { key: &self.key, record: &self.record, original, sessions: &[SESSION, SessionId(1)] }];
        mark::trace(leak, &suspects, 1e-6, work, &|_| ControlFlow::Continue(())).unwrap()
    }
}

/// A figure of this process's memory, in megabytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_leak_of_any_shape_is_traced_in_bounded_memory_and_time() {
    setrlimit(Resource::As, Rlimit { current: Some(TOO_MUCH), maximum: Some(TOO_MUCH) }).unwrap();
    let served = Served::new();
    let (cases, work) = match std::env::var("CHATPIC_TEST_TRACES") {
        Ok(cases) => (cases.parse().unwrap(), TRACE_WORK),
        Err(_) => (12, TRACE_WORK / 20),
    };
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    proptest!(config, |(leak in leak(), has_original: bool)| {
        // What runs out of memory is aborted and can't tell.
        println!("{leak:?}, original: {has_original}");
        let picture = leak.draw(&served.copy);
        // From here on the peak is counted anew.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let (before, start) = (memory("VmRSS"), clock_gettime(ClockId::ProcessCPUTime));
        let trace = served.trace(&picture, has_original, work);
        let took = (clock_gettime(ClockId::ProcessCPUTime).tv_sec - start.tv_sec) as u64;
        let peak = memory("VmHWM").saturating_sub(before);
        println!("    {took} s of processor time, {peak} MB, complete: {}", trace.complete);
        prop_assert!(peak <= MEMORY, "{} MB", peak);
        prop_assert!(took <= ASIDE + TIME * work / 1_000_000_000, "{} s", took);
        let innocent = trace.matches.iter().find(|found| found.session != SESSION);
        prop_assert!(innocent.is_none(), "{:?}", innocent);
    });
}
