//! Files changed at random, in number: none makes ChatPic panic, take long, or spend more memory than it may, and none is
//! taken whose picture is another than a reference decoder's. That is Pillow's, which is fast, and Chromium's where Pillow
//! disagrees or refuses.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use chatpic_core::testing::{self, samples as encoded};
use chatpic_core::{Clock, Limits, Rejection, SystemClock};
use image::RgbaImage;
use rustix::time::{ClockId, clock_gettime};

use crate::chromium::{self, Compared, Drawn};
use crate::compare::number;
use crate::mutate::{Format, mutated};
use crate::oracle::Oracle;
use crate::samples::{exif, frame, see_through};
use crate::{gif, jpeg, png, webp};

/// Seconds for each format, if `CHATPIC_TEST_FUZZ` does not set others.
const SECONDS: u64 = 5;
/// Levels of 255 by which two decoders' pictures may differ: in pictures so small, how colours of a lower resolution are
/// smoothed counts.
const TOLERANCE: f64 = 4.0;
/// Processor time that a file may take in a development build. All are smaller than 100 kilobytes.
const LONGEST: Duration = Duration::from_secs(4);
/// Kilobytes that a file may take beside what the limits say: the process, and the pictures that are compared.
const SLACK: u64 = 64 * 1024;
/// Files of a run that Chromium judges, at most.
const JUDGED: usize = 400;

/// The contract's limits, but little memory, so that what takes more is seen.
fn limits() -> Limits {
    Limits { decode_bytes: 64 << 20, ..Limits::default() }
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

/// The frames to compare, with their indices, and how many there are.
pub(crate) struct Shown {
    pub(crate) frames: u32,
    pub(crate) pictures: Vec<(u32, RgbaImage)>,
}

/// Decodes a still, or the first and the last frame of an animation.
pub(crate) fn shown(file: &[u8], limits: &Limits) -> Result<Shown, Rejection> {
    match chatpic_core::decode(file, limits) {
        Ok(pixels) => Ok(Shown { frames: 1, pictures: vec![(0, pixels.into_rgba())] }),
        Err(Rejection::Animated) => {
            let mut frames = testing::frames(file, limits)?;
            let count = frames.len() as u32;
            let last = frames.pop().map(|frame| (count - 1, frame));
            Ok(Shown { frames: count, pictures: frames.into_iter().next().map(|frame| (0, frame)).into_iter().chain(last).collect() })
        }
        Err(refusal) => Err(refusal),
    }
}

/// Decodes as [`shown`] does; the other value says what was wrong with how.
pub(crate) fn watched(file: &[u8], limits: &Limits) -> (Result<Shown, Rejection>, Option<String>) {
    note_panics();
    let spent = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (start, memory) = (spent(), Memory::begin());
    DECODING.set(true);
    let shown = shown(file, limits);
    DECODING.set(false);
    let (took, grown) = (spent() - start, memory.grown());
    let fault = if let Some(panic) = PANICS.lock().unwrap().pop() {
        Some(format!("a decoder panicked: {panic}"))
    } else if took > LONGEST {
        Some(format!("it took {took:?}"))
    } else if grown > limits.decode_bytes / 1024 + SLACK {
        Some(format!("it took {grown} kB of memory"))
    } else {
        None
    };
    (shown, fault)
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
            let mut seeds: Vec<_> = png::forms().into_iter().map(|form| png::chunks(form, (24, 20))).collect();
            let whole = seeds[seeds.len() - 1].clone();
            seeds.push(png::with(whole.clone(), &[(b"eXIf", exif(6))]));
            seeds.push(png::with(whole, &[(b"tEXt", b"Comment\0text".to_vec()), (b"pHYs", vec![0, 0, 11, 19, 0, 0, 11, 19, 1])]));
            let palette = seeds.iter().find(|chunks| chunks.iter().any(|(name, _)| name == b"PLTE")).unwrap().clone();
            seeds.push(png::with(palette, &[(b"tRNS", vec![0, 90])]));
            seeds.iter().map(|chunks| png::written(chunks)).collect()
        }
        Format::Gif => gif::seeds(),
        Format::WebP => {
            let mut seeds = Vec::new();
            let clear = see_through(width, height, 0);
            for (flags, picture) in [(0, webp::lossy(&opaque(0))), (0x10, webp::lossy(&clear)), (0, webp::lossless(&opaque(0))), (0x10, webp::lossless(&clear))] {
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

#[derive(Default)]
struct Tally {
    files: u64,
    taken: u64,
    agreed: u64,
    judged: u64,
    not_shown: u64,
}

/// Makes files and tries them until time is up.
async fn fuzz(format: Format) {
    let seeds = seeds(format);
    let clock = SystemClock;
    let start = clock.now();
    // Each run tries other files; `CHATPIC_TEST_FUZZ_FROM` tries those of a number that was printed, from it on.
    let first = number("CHATPIC_TEST_FUZZ_FROM", start.0 as u64 * 1000);
    let seconds = number("CHATPIC_TEST_FUZZ", SECONDS) as i64;
    println!("{format:?} from {first}");
    let (mut oracle, mut tally, mut faults, mut doubts) = (Oracle::start(), Tally::default(), Vec::new(), Vec::new());
    for seed in &seeds {
        let shown = shown(seed, &limits()).map(|shown| oracle.ask(seed, &shown.pictures).map(|verdict| verdict.differences));
        assert!(matches!(&shown, Ok(Some(off)) if off.iter().all(|off| *off <= TOLERANCE)), "a seed: {shown:?}");
    }
    while (clock.now().0 - start.0) < 1000 * seconds {
        let number = first + tally.files;
        let file = mutated(format, &seeds, number);
        tally.files += 1;
        let (shown, fault) = watched(&file, &limits());
        if let Some(fault) = fault {
            faults.push((number, fault));
        }
        let Ok(shown) = shown else { continue };
        tally.taken += 1;
        let verdict = oracle.ask(&file, &shown.pictures);
        let agrees = verdict.is_some_and(|verdict| {
            let size = verdict.size == shown.pictures[0].1.dimensions();
            size && verdict.frames == shown.frames && verdict.differences.iter().all(|off| *off <= TOLERANCE)
        });
        if agrees {
            tally.agreed += 1;
        } else if doubts.len() < JUDGED {
            doubts.push((number, file, shown));
        }
    }
    let pairs: Vec<_> = doubts.iter().map(|(_, file, shown)| pairs_of(file, shown)).collect();
    let compared = chromium::compare(&pairs.concat()).await;
    let mut compared = compared.iter();
    for ((number, _, shown), pairs) in doubts.iter().zip(&pairs) {
        tally.judged += 1;
        let compared: Vec<_> = compared.by_ref().take(pairs.len()).collect();
        match judged(shown, &compared) {
            Some(Ok(())) => {}
            Some(Err(fault)) => faults.push((*number, fault)),
            None => tally.not_shown += 1,
        }
    }
    let Tally { files, taken, agreed, judged, not_shown } = tally;
    println!(
        "{format:?}: {files} files, {taken} taken: as Pillow has them {agreed}, judged by Chromium {judged}, \
         of which it does not show {not_shown}; {} findings",
        faults.len()
    );
    for (number, _) in &faults {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("findings");
        std::fs::create_dir_all(&folder).unwrap();
        let name = format!("{number}.{}", format!("{format:?}").to_lowercase());
        std::fs::write(folder.join(name), mutated(format, &seeds, *number)).unwrap();
    }
    let faults: Vec<_> = faults.iter().map(|(number, fault)| format!("{number}: {fault}")).collect();
    assert!(faults.is_empty(), "kept in {}/findings:\n{}", env!("CARGO_TARGET_TMPDIR"), faults.join("\n"));
}

/// What Chromium is asked to compare: the file, and what was decoded of it.
pub(crate) fn pairs_of(file: &[u8], shown: &Shown) -> Vec<(Drawn, Drawn)> {
    let file = Arc::new(file.to_vec());
    let pair = |(index, picture): &(u32, RgbaImage)| {
        let picture = Arc::new(encoded::png_rgba(picture));
        let drawn = if shown.frames > 1 { Drawn::frame(&file, *index) } else { Drawn::image(&file) };
        (drawn, Drawn::image(&picture))
    };
    shown.pictures.iter().map(pair).collect()
}

/// Whether Chromium shows the same; `None` when it shows nothing.
pub(crate) fn judged(shown: &Shown, compared: &[&Compared]) -> Option<Result<(), String>> {
    for Compared { sizes, difference } in compared {
        let [one, other] = sizes;
        let (one, other) = ((*one)?, other.unwrap());
        if (one.0, one.1) != (other.0, other.1) {
            return Some(Err(format!("{} x {} instead of {} x {}", other.0, other.1, one.0, one.1)));
        }
        if shown.frames > 1 && one.2 != shown.frames {
            return Some(Err(format!("{} frames instead of {}", shown.frames, one.2)));
        }
        if difference.is_none_or(|off| off > TOLERANCE) {
            return Some(Err(format!("it is {:.1} levels off", difference.unwrap_or(f64::NAN))));
        }
    }
    Some(Ok(()))
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
