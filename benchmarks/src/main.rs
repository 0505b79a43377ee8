//! What the forensic mark costs in fidelity and what it survives, as Markdown:
//!
//! ```text
//! cargo run --release --manifest-path benchmarks/Cargo.toml --features peers -- --images FOLDER > docs/robustness.md
//! ```
//!
//! `--limit N` takes N of the images, spread over the folder; `--attacks N` every so manyth attack so that about N are
//! left; `--square N` the middle of each image as a square of N px. Without `--images` it makes small pictures itself.
//! Figures do not depend on the machine. Keys and sessions are fixed.

mod attacks;
#[cfg(feature = "peers")]
mod peers;

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;

use attacks::{ATTACKS, Attack, COLLUSIONS, PIECES};
use chatpic_core::mark::{self, ImageKey, MarkKey, MarkRecord, Suspect, TRACE_WORK};
use chatpic_core::testing::samples;
use chatpic_core::{SessionId, VisibleMark};
use image::RgbImage;
use image::imageops::{self, FilterType};

/// The probability with which a trace may accuse an innocent session.
const FALSE_ALARM: f64 = 1e-6;
const CANDIDATES: u32 = 1000;
const INNOCENT: u32 = 20_000;
const GUILTY: SessionId = SessionId(0xE64F_44F6);

#[derive(Default)]
struct Options {
    images: Option<PathBuf>,
    limit: Option<usize>,
    attacks: Option<usize>,
    square: Option<u32>,
}

/// One picture as it is served.
pub struct Case {
    pub name: String,
    pub image: RgbImage,
    key: ImageKey,
    record: MarkRecord,
    /// The guilty session's copy, visible mark and all, decoded.
    copy: RgbImage,
    renditions: mark::Prepared,
}

impl Case {
    fn new(name: String, image: RgbImage) -> Result<Option<Self>, Box<dyn Error>> {
        let fit = (2048.0 / image.width().max(image.height()) as f64).min(1.0);
        let side = |n: u32| ((f64::from(n) * fit).round() as u32).max(1);
        let image = imageops::resize(&image, side(image.width()), side(image.height()), FilterType::Lanczos3);
        let key = MarkKey::new([42; 32]).image(name.as_bytes());
        let renditions = mark::prepare(&image, &[1280, 640], &key)?;
        let Some(record) = renditions.record.clone() else { return Ok(None) };
        let mut case = Self { name, copy: RgbImage::new(1, 1), image, key, record, renditions };
        case.copy = case.copy_of(GUILTY)?;
        Ok(Some(case))
    }

    fn copy_of(&self, session: SessionId) -> Result<RgbImage, Box<dyn Error>> {
        let rendition = &self.renditions.renditions[0];
        let labels = VisibleMark::default().labels(&session.label(), rendition.size(), false);
        Ok(image::load_from_memory(&rendition.copy(&self.key, session, &labels)?)?.into_rgb8())
    }

    fn trace(
        &self,
        leak: &RgbImage,
        sessions: &[SessionId],
        informed: bool,
    ) -> Result<mark::Trace, Box<dyn Error>> {
        let original = informed.then_some(&self.image);
        let suspect = Suspect { key: &self.key, record: &self.record, original, sessions };
        Ok(mark::trace(leak, &[suspect], FALSE_ALARM, TRACE_WORK, &|_| ControlFlow::Continue(()))?)
    }

    /// Whether the leak names exactly the sessions in `guilty`, or at least one of them and nobody else.
    fn names(&self, leak: &RgbImage, guilty: &[SessionId], informed: bool) -> Result<bool, Box<dyn Error>> {
        let mut sessions: Vec<SessionId> = (0..CANDIDATES - guilty.len() as u32).map(SessionId).collect();
        sessions.extend(guilty);
        let trace = self.trace(leak, &sessions, informed)?;
        let accused: Vec<SessionId> = trace.matches.iter().map(|found| found.session).collect();
        Ok(!accused.is_empty() && accused.iter().all(|session| guilty.contains(session)))
    }

    /// Whether the leak names the guilty blind, and with the original. A trace with the original reads the leak alone
    /// too, so that it is only run where that gave nothing.
    fn traced(
        &self,
        leak: &RgbImage,
        guilty: &[SessionId],
        try_blind: bool,
    ) -> Result<[bool; 2], Box<dyn Error>> {
        let blind = try_blind && self.names(leak, guilty, false)?;
        Ok([blind, blind || self.names(leak, guilty, true)?])
    }

    fn class(&self) -> &'static str {
        match self.image.width() as f64 * self.image.height() as f64 / 1e6 {
            ..0.3 => "below 0.3 MP",
            0.3..1.0 => "0.3 to 1 MP",
            _ => "1 MP and more",
        }
    }
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--images" => options.images = Some(value.into()),
            "--limit" => options.limit = Some(value.parse()?),
            "--attacks" => options.attacks = Some(value.parse()?),
            "--square" => options.square = Some(value.parse()?),
            _ => return Err(format!("unknown option {argument}").into()),
        }
    }
    Ok(options)
}

/// The pictures of a folder and the folders in it, or a few made by rule.
fn pictures(options: &Options) -> Result<Vec<(String, RgbImage)>, Box<dyn Error>> {
    let Some(folder) = &options.images else {
        return Ok(vec![
            ("photograph".into(), samples::photograph(768, 512, 3)),
            ("large photograph".into(), samples::photograph(1500, 1000, 4)),
            ("screen".into(), samples::flat_graphic(1024, 768)),
        ]);
    };
    let (mut folders, mut files) = (vec![folder.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files.retain(|path| image::ImageFormat::from_path(path).is_ok());
    let every = options.limit.map_or(1, |most| files.len().div_ceil(most.max(1)));
    let read = |path: PathBuf| {
        let name = path.file_stem()?.to_string_lossy().into_owned();
        let image = image::open(path).ok()?;
        let image = match options.square {
            Some(n) => image.resize_to_fill(n, n, FilterType::Lanczos3),
            None => image,
        };
        Some((name, image.into_rgb8()))
    };
    Ok(files.into_iter().step_by(every).filter_map(read).collect())
}

fn psnr(a: &RgbImage, b: &RgbImage) -> f64 {
    let square: f64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0f64.powi(2) * a.as_raw().len() as f64 / square.max(1.0)).log10()
}

/// Structural similarity of luma (Wang et al. 2004) over windows of 8 x 8 pixels, every fourth.
fn ssim(a: &RgbImage, b: &RgbImage) -> f64 {
    let luma = |image: &RgbImage, x, y| {
        let [r, g, b] = image.get_pixel(x, y).0.map(f64::from);
        0.299 * r + 0.587 * g + 0.114 * b
    };
    let (mut total, mut count) = (0.0, 0.0);
    for y in (0..a.height().saturating_sub(7)).step_by(4) {
        for x in (0..a.width().saturating_sub(7)).step_by(4) {
            let (mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (dx, dy) in (0..64).map(|i| (i % 8, i / 8)) {
                let (u, v) = (luma(a, x + dx, y + dy), luma(b, x + dx, y + dy));
                (sa, sb, saa, sbb, sab) = (sa + u, sb + v, saa + u * u, sbb + v * v, sab + u * v);
            }
            let (ma, mb) = (sa / 64.0, sb / 64.0);
            let (va, vb, c) = (saa / 64.0 - ma * ma, sbb / 64.0 - mb * mb, sab / 64.0 - ma * mb);
            total += (2.0 * ma * mb + 6.5025) * (2.0 * c + 58.5225)
                / ((ma * ma + mb * mb + 6.5025) * (va + vb + 58.5225));
            count += 1.0;
        }
    }
    total / f64::max(count, 1.0)
}

fn fidelity(cases: &[Case]) -> Result<(), Box<dyn Error>> {
    println!(
        "## Fidelity\n\nThe forensic mark alone, before JPEG. The margin is that of a half-size JPEG 50 leak.\n"
    );
    println!("| picture | size | PSNR dB | SSIM | strength | margin |\n|---|---|---|---|---|---|");
    for case in cases {
        let marked = mark::embed_with(&case.image, &case.key, GUILTY, &case.record, 0)?;
        println!(
            "| {} | {} x {} | {:.1} | {:.4} | {} | {:.1} |",
            case.name,
            case.image.width(),
            case.image.height(),
            psnr(&case.image, &marked),
            ssim(&case.image, &marked),
            case.record.strength,
            case.record.margin.unwrap_or_default(),
        );
    }
    Ok(())
}

const CLASSES: [&str; 3] = ["below 0.3 MP", "0.3 to 1 MP", "1 MP and more"];

/// Cells traced blind, with the original, and all.
type Counts = [[usize; 3]; CLASSES.len()];

fn survival(cases: &[Case], every: usize) -> Result<(), Box<dyn Error>> {
    println!(
        "\n## Attacks\n\nLeaks that name their session and no other among {CANDIDATES}, blind / with the original.\n"
    );
    println!(
        "| attack | {} | lost blind | lost with the original |\n|---|---|---|---|---|---|",
        CLASSES.join(" | ")
    );
    let mut all = Counts::default();
    for attack in ATTACKS.iter().step_by(every) {
        row(cases, attack, true, &mut all)?;
    }
    println!("| **all of these** | {} | | |", cells(&all, true).join(" | "));
    for attack in PIECES {
        row(cases, attack, false, &mut Counts::default())?;
    }
    Ok(())
}

fn cells(counts: &Counts, blind: bool) -> [String; CLASSES.len()] {
    counts.map(|[traced, informed, all]| {
        let traced = if blind { traced.to_string() } else { "–".into() };
        format!("{traced} / {informed} of {all}")
    })
}

fn row(cases: &[Case], (name, attack): &Attack, blind: bool, all: &mut Counts) -> Result<(), Box<dyn Error>> {
    let mut counts = Counts::default();
    let mut lost = [Vec::new(), Vec::new()];
    for case in cases {
        let leak = attack(&case.copy);
        let class = CLASSES.iter().position(|class| *class == case.class()).unwrap_or(0);
        let traced = case.traced(&leak, &[GUILTY], blind)?;
        for (way, traced) in traced.into_iter().enumerate() {
            counts[class][way] += usize::from(traced);
            all[class][way] += usize::from(traced);
            if !traced && (way == 1 || blind) {
                lost[way].push(case.name.as_str());
            }
        }
        counts[class][2] += 1;
        all[class][2] += 1;
    }
    let [blindly, informed] = lost.map(|names| names.join(", "));
    println!("| {name} | {} | {blindly} | {informed} |", cells(&counts, blind).join(" | "));
    Ok(())
}

fn collusion(cases: &[Case]) -> Result<(), Box<dyn Error>> {
    println!(
        "\n## Collusion\n\nCombined copies that name at least one colluder and nobody else, blind / with the original.\n"
    );
    println!("| how | 2 copies | 3 copies | 5 copies |\n|---|---|---|---|");
    let sessions = [
        GUILTY,
        SessionId(0xC0FF_EE01),
        SessionId(0xBADC_0DE5),
        SessionId(0xFEED_0007),
        SessionId(0xD00D_1234),
    ];
    for (name, most, combine) in COLLUSIONS {
        let mut cells = Vec::new();
        for many in [2, 3, 5] {
            // What is left of two copies by exclusive or is no picture.
            if many > *most || (name.starts_with("exclusive") && many == 2) {
                cells.push("–".to_owned());
                continue;
            }
            let (mut blind, mut informed) = (0, 0);
            for case in cases {
                let copies: Result<Vec<_>, _> = sessions[..many].iter().map(|s| case.copy_of(*s)).collect();
                let leak = combine(&copies?);
                let [without, with] = case.traced(&leak, &sessions[..many], true)?;
                blind += usize::from(without);
                informed += usize::from(with);
            }
            cells.push(format!("{blind} / {informed} of {}", cases.len()));
        }
        println!("| {name} | {} |", cells.join(" | "));
    }
    Ok(())
}

/// What is left of a session's score when its viewer averages the copies of all widths that one view gives.
fn own_widths(cases: &[Case]) -> Result<(), Box<dyn Error>> {
    println!(
        "\n## All widths of one view\n\nScores, read blind, of one width's copy / of the mean of all widths at that width.\n"
    );
    println!("| picture | width | JPEG 50 | JPEG 35 |\n|---|---|---|---|");
    for case in cases.iter().filter(|case| case.record.sizes.len() > 1) {
        let copies = case.renditions.renditions.iter().map(|rendition| {
            Ok(image::load_from_memory(&rendition.copy(&case.key, GUILTY, &[])?)?.into_rgb8())
        });
        let copies = copies.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        for (own, size) in copies.iter().zip(&case.record.sizes) {
            let scaled: Vec<RgbImage> = copies
                .iter()
                .map(|copy| imageops::resize(copy, size.width, size.height, FilterType::Lanczos3))
                .collect();
            let mean = (COLLUSIONS[0].2)(&scaled);
            let score = |picture: &RgbImage, quality| -> Result<String, Box<dyn Error>> {
                let trace = case.trace(&attacks::jpeg(picture, quality), &[GUILTY], false)?;
                Ok(trace.matches.first().map_or("–".into(), |found| format!("{:.1}", found.score)))
            };
            let cell = |quality| -> Result<String, Box<dyn Error>> {
                Ok(format!("{} / {}", score(own, quality)?, score(&mean, quality)?))
            };
            println!("| {} | {} | {} | {} |", case.name, size.width, cell(50)?, cell(35)?);
        }
    }
    Ok(())
}

/// Leaks that no candidate is guilty of.
fn innocents(cases: &[Case], every: usize) -> Result<(), Box<dyn Error>> {
    let sessions: Vec<SessionId> = (0..INNOCENT).map(SessionId).collect();
    let (mut leaks, mut accused) = (0, 0);
    for case in cases {
        let stranger = MarkKey::new([7; 32]).image(case.name.as_bytes());
        let wrong_key =
            mark::embed_rgb(&case.image, &stranger, GUILTY).unwrap_or_else(|_| case.image.clone());
        let copies =
            [GUILTY, SessionId(0xC0FF_EE01), SessionId(0xBADC_0DE5)].map(|session| case.copy_of(session));
        let [one, two, three] = copies;
        let colluded = (COLLUSIONS[0].2)(&[one?, two?, three?]);
        for (_, attack) in ATTACKS.iter().step_by(4 * every) {
            for picture in [&case.image, &wrong_key, &case.copy, &colluded] {
                let trace = case.trace(&attack(picture), &sessions, false)?;
                leaks += 1;
                accused += trace.matches.len();
            }
        }
    }
    println!(
        "\n## Innocents\n\n{leaks} leaks (unmarked, another key's, attacked, three copies' mean) against {INNOCENT} sessions"
    );
    println!(
        "that none of them was served to: {accused} accused; the bound allows {:.1e} in all.",
        f64::from(leaks) * FALSE_ALARM
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let every = options.attacks.map_or(1, |most| ATTACKS.len().div_ceil(most.max(1)));
    let mut cases = Vec::new();
    let mut untraceable = Vec::new();
    for (name, picture) in pictures(&options)? {
        match Case::new(name.clone(), picture)? {
            Some(case) => cases.push(case),
            None => untraceable.push(name),
        }
    }
    println!("# What the forensic mark survives\n\nGenerated by");
    println!("`cargo run --release --manifest-path benchmarks/Cargo.toml --features peers -- {}`.\n", {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let shown = arguments.join(" ");
        options.images.map_or(shown.clone(), |folder| shown.replace(&*folder.to_string_lossy(), "FOLDER"))
    });
    if !untraceable.is_empty() {
        println!("Not traceable, served with the visible mark only: {}.\n", untraceable.join(", "));
    }
    fidelity(&cases)?;
    survival(&cases, every)?;
    collusion(&cases)?;
    own_widths(&cases)?;
    innocents(&cases, every)?;
    #[cfg(feature = "peers")]
    peers::table(&cases, every)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_is_traced_through_a_few_attacks_and_two_colluders_are_named() {
        let case = Case::new("test".into(), samples::photograph(900, 640, 3)).unwrap().unwrap();
        for name in
            ["as served", "JPEG 60", "scaled to 45 %", "cropped to 45 %, JPEG 65", "desktop screenshot"]
        {
            let (_, attack) = ATTACKS.iter().find(|(known, _)| *known == name).unwrap();
            assert!(case.names(&attack(&case.copy), &[GUILTY], false).unwrap(), "{name}");
        }
        let colluders = [GUILTY, SessionId(0xC0FF_EE01)];
        let copies = colluders.map(|session| case.copy_of(session).unwrap());
        assert!(case.names(&(COLLUSIONS[0].2)(&copies), &colluders, false).unwrap());
    }

    #[test]
    fn unmarked_pictures_accuse_nobody() {
        let case = Case::new("test".into(), samples::photograph(640, 480, 5)).unwrap().unwrap();
        let sessions: Vec<SessionId> = (0..INNOCENT).map(SessionId).collect();
        assert_eq!(case.trace(&case.image, &sessions, false).unwrap().matches, []);
    }
}
