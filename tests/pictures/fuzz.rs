//! Files changed at random, in number: none makes ChatPic panic, take long, or spend more memory than it may, and none is
//! taken whose picture is another than a reference decoder's. That is Pillow's, which is fast, and Chromium's where Pillow
//! disagrees or refuses.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use chatpic_core::testing::samples as encoded;
use chatpic_core::{Clock, Limits, Rejection, SystemClock};
use rustix::time::{ClockId, clock_gettime};

use crate::chromium;
use crate::compare::number;
use crate::decoded::{Decoded, decode};
use crate::mutate::{Format, mutated};
use crate::oracle::Oracle;
use crate::samples::{exif, frame, see_through};
use crate::{gif, jpeg, png, webp};

/// Files of each format that are tried if `CHATPIC_TEST_FUZZ` sets no seconds: the same each time, so that whether a change
/// is sound is not left to chance.
const FILES: u64 = 2000;
/// Levels of 255 by which two decoders' pictures may differ: in pictures so small, how colours of a lower resolution are
/// smoothed counts.
const TOLERANCE: f64 = 4.0;
/// The same of a JPEG file between whose blocks other decoders smooth, as they do while one is still arriving. ChatPic shows
/// what the file holds.
const SMOOTHED: f64 = 32.0;
/// Processor time that a file may take in a development build. All are smaller than 100 kilobytes.
const LONGEST: Duration = Duration::from_secs(4);
/// Kilobytes that a file may take beside what the limits say: the process, and the pictures that are compared.
const SLACK: u64 = 64 * 1024;
/// A run ends when this many files wait for Chromium's judgement.
const JUDGED: usize = 400;

/// Less than the contract's limits, so that what takes more is seen and a file takes milliseconds. Animations are hardly
/// scaled down.
fn limits() -> Limits {
    Limits {
        image_pixels: 2 << 20,
        decode_bytes: 32 << 20,
        animation_pixels: 1 << 20,
        animation_side: 16_000,
        ..Limits::default()
    }
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on, panics of decoders, which are refusals to everything else, are noted.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if DECODING.get() { PANICS.lock().unwrap().push(panic.to_string()) } else { usual(panic) }
        }));
    });
}

/// Decodes a file; the other value says what was wrong with how it went.
pub(crate) fn watched(file: &[u8], limits: &Limits) -> (Result<Decoded, Rejection>, Option<String>) {
    note_panics();
    let spent = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (start, memory) = (spent(), Memory::begin());
    DECODING.set(true);
    let decoded = decode(file, limits);
    DECODING.set(false);
    let (took, grown) = (spent() - start, memory.grown());
    let fault = if let Some(panic) = PANICS.lock().unwrap().pop() {
        Some(format!("a decoder panicked: {panic}"))
    } else if took > LONGEST {
        Some(format!("too long: {took:?}"))
    } else if grown > limits.decode_bytes / 1024 + SLACK {
        Some(format!("too much memory: {grown} kB"))
    } else {
        None
    };
    (decoded, fault)
}

/// What this process has in memory, in kilobytes (proc(5)).
struct Memory(u64);

impl Memory {
    fn begin() -> Self {
        // The greatest amount is counted anew.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Self(Self::read("VmRSS:"))
    }

    fn grown(&self) -> u64 {
        Self::read("VmHWM:").saturating_sub(self.0)
    }

    fn read(name: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn seeds(format: Format) -> Vec<Vec<u8>> {
    let (width, height) = (48, 40);
    let opaque = |index| image::DynamicImage::ImageRgb8(frame(width, height, index)).into_rgba8();
    match format {
        Format::Jpeg => jpeg::seeds(&frame(width, height, 0)),
        Format::Png => {
            let mut seeds: Vec<_> =
                png::forms().into_iter().map(|form| png::chunks(form, (24, 20))).collect();
            let whole = seeds[seeds.len() - 1].clone();
            seeds.push(png::with(whole.clone(), &[(b"eXIf", exif(6))]));
            seeds.push(png::with(
                whole,
                &[(b"tEXt", b"Comment\0text".to_vec()), (b"pHYs", vec![0, 0, 11, 19, 0, 0, 11, 19, 1])],
            ));
            let palette =
                seeds.iter().find(|chunks| chunks.iter().any(|(name, _)| name == b"PLTE")).unwrap().clone();
            seeds.push(png::with(palette, &[(b"tRNS", vec![0, 90])]));
            seeds.iter().map(|chunks| png::written(chunks)).collect()
        }
        Format::Gif => gif::seeds(),
        Format::WebP => {
            let mut seeds = Vec::new();
            let clear = see_through(width, height, 0);
            for (flags, picture) in [
                (0, webp::lossy(&opaque(0))),
                (0x10, webp::lossy(&clear)),
                (0, webp::lossless(&opaque(0))),
                (0x10, webp::lossless(&clear)),
            ] {
                if flags == 0 {
                    seeds.push(webp::riff(&picture));
                }
                let head = webp::extended(flags, width, height);
                seeds.push(webp::riff(&[&[head], &picture[..], &[webp::chunk(b"EXIF", &exif(1))]].concat()));
                let place = |x, y| webp::frame_chunk(&picture, (x, y), (width, height), 0);
                let head = [webp::extended(flags | 2, width + 8, height + 8), webp::animation()];
                seeds.push(webp::riff(&[&head[..], &[place(0, 0), place(8, 4), place(2, 8)]].concat()));
            }
            seeds.push(encoded::lossless_webp(&[clear, opaque(1)], 100));
            seeds
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    files: u64,
    taken: u64,
    as_pillow: u64,
    unlike_pillow: u64,
    refused_by_pillow: u64,
    judged_by_chromium: u64,
}

/// The file that other decoders are asked about. A missing end marker is no early end to ChatPic; they wait for it, and
/// leave the last rows out.
fn ended(format: Format, file: &[u8]) -> Vec<u8> {
    match format {
        Format::Jpeg => [file, &[0xFF, 0xD9]].concat(),
        _ => file.to_vec(),
    }
}

/// Makes files and tries them: [`FILES`] of them, or until the time is up that was set.
async fn fuzz(format: Format) {
    let seeds = seeds(format);
    let mut oracle = Oracle::start();
    for seed in &seeds {
        assert!(oracle.ask(seed, &[]).is_some(), "Pillow refuses a seed");
    }
    let clock = SystemClock;
    let start = clock.now();
    let seconds = number("CHATPIC_TEST_FUZZ", 0) as i64;
    // Each longer run tries other files; `CHATPIC_TEST_FUZZ_FROM` tries those of a number that was printed, from it on.
    let first = number("CHATPIC_TEST_FUZZ_FROM", if seconds == 0 { 0 } else { start.0 as u64 * 1000 });
    let goes_on = |tried: u64| match seconds {
        0 => tried < FILES,
        seconds => (clock.now().0 - start.0) < 1000 * seconds,
    };
    println!("{format:?} from {first}");
    let (mut tally, mut findings, mut doubts) = (Tally::default(), Findings::default(), Vec::new());
    while goes_on(tally.files) && doubts.len() < JUDGED {
        let number = first + tally.files;
        let file = mutated(format, &seeds, number);
        tally.files += 1;
        let (decoded, fault) = watched(&file, &limits());
        if let Some(fault) = fault {
            findings.add(number, &file, fault);
        }
        let Ok(decoded) = decoded else { continue };
        tally.taken += 1;
        let tolerance = if format == Format::Jpeg && jpeg::is_smoothed(&file) { SMOOTHED } else { TOLERANCE };
        let file = ended(format, &file);
        let agrees = oracle.ask(&file, &decoded.pictures).map(|verdict| {
            verdict.size == decoded.pictures[0].1.dimensions()
                && verdict.frames == decoded.frames
                && verdict.differences.iter().all(|off| *off <= tolerance)
        });
        match agrees {
            Some(true) => tally.as_pillow += 1,
            Some(false) => tally.unlike_pillow += 1,
            None => tally.refused_by_pillow += 1,
        }
        if agrees != Some(true) {
            doubts.push((number, Arc::new(file), decoded, tolerance));
        }
    }
    tally.judged_by_chromium = doubts.len() as u64;
    let pairs: Vec<_> = doubts.iter().map(|(_, file, decoded, _)| decoded.pairs(file)).collect();
    let mut compared = chromium::compare(&pairs.concat()).await.into_iter();
    for ((number, file, decoded, tolerance), pairs) in doubts.iter().zip(&pairs) {
        let compared: Vec<_> = compared.by_ref().take(pairs.len()).collect();
        if let Some(fault) = decoded.fault(&compared, *tolerance) {
            findings.add(*number, file, fault);
        }
    }
    println!("{format:?}: {tally:?}");
    findings.end(format);
}

/// What was found: of each kind how often, and where it can be seen.
#[derive(Default)]
struct Findings(BTreeMap<String, Vec<(u64, Vec<u8>, String)>>);

impl Findings {
    /// The fault's kind stands before its colon.
    fn add(&mut self, number: u64, file: &[u8], fault: String) {
        let kind = fault.split(": ").next().unwrap_or_default().to_owned();
        self.0.entry(kind).or_default().push((number, file.to_vec(), fault));
    }

    /// Keeps the first files of each kind, and fails when there are any.
    fn end(self, format: Format) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("findings");
        std::fs::create_dir_all(&folder).unwrap();
        let mut told = String::new();
        for (kind, found) in &self.0 {
            told += &format!("\n{kind}: {} files", found.len());
            for (number, file, fault) in found.iter().take(8) {
                std::fs::write(folder.join(format!("{number}.{}", format.extension())), file).unwrap();
                told += &format!("\n    {number}: {fault}");
            }
        }
        assert!(self.0.is_empty(), "{format:?}, kept in {}:{told}", folder.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jpeg_files_changed_at_random() {
    fuzz(Format::Jpeg).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn png_files_changed_at_random() {
    fuzz(Format::Png).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gif_files_changed_at_random() {
    fuzz(Format::Gif).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webp_files_changed_at_random() {
    fuzz(Format::WebP).await;
}
