//! Cases, and what becomes of them: each file is uploaded to a site, and the copy that a viewer gets is compared with
//! the file itself, both drawn by Chromium.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chatpic_core::Limits;
use chatpic_http::Options;
use futures::StreamExt;
use serde_json::json;

use crate::chromium::{self, Compared, Drawn, Size};
use crate::decoded::{Decoded, decode};
use crate::site::{self, Shared, Site};

/// Levels of 255 by which a copy may differ from its file: the visible ID is 3 to 4 of them.
const MARKED: f64 = 7.0;
/// Levels of 255 by which decoded pixels may differ from what Chromium decodes: decoders round, and smooth colour that
/// has a lower resolution, in different ways.
const UNMARKED: f64 = 2.0;
/// How far a copy's shape may be from its file's.
const SHAPE: f64 = 0.03;
/// Smaller pictures are set on a ground with the ID below them, so their copies have another shape.
const LEAST_MARKED: (u32, u32) = (192, 72);

/// What becomes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    /// Viewers get what Chromium shows.
    Shown,
    /// It is refused, and the answer holds this.
    Refused(&'static str),
    /// Either; what is not refused is as Chromium shows it.
    ShownOrRefused,
}

/// A file, and what is expected of it.
pub(crate) struct Case {
    /// Files of a kind are counted together.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) file: Arc<Vec<u8>>,
    pub(crate) expected: Expected,
}

impl Case {
    pub(crate) fn new(kind: &str, name: impl Into<String>, file: Vec<u8>, expected: Expected) -> Self {
        Self { kind: kind.to_owned(), name: name.into(), file: Arc::new(file), expected }
    }

    pub(crate) fn shown(kind: &str, name: impl Into<String>, file: Vec<u8>) -> Self {
        Self::new(kind, name, file, Expected::Shown)
    }

    pub(crate) fn refused(kind: &str, name: impl Into<String>, file: Vec<u8>, word: &'static str) -> Self {
        Self::new(kind, name, file, Expected::Refused(word))
    }
}

/// What ChatPic made of a file.
enum Made {
    Copy {
        decoded: Decoded,
        /// What a viewer gets; of an animation, its first frame.
        still: Arc<Vec<u8>>,
        animation: Option<Arc<Vec<u8>>>,
    },
    Refusal(String),
    /// Neither of both.
    Fault(String),
}

/// Puts all cases through, prints a table of what came out, and fails when one is not as expected.
pub(crate) async fn check(cases: Vec<Case>) {
    let site =
        Site::with(Options { uploads_per_hour: 0, opens_per_hour: 0, ..Options::default() }, site::limits())
            .await;
    let made: Vec<_> =
        futures::stream::iter(&cases).map(|case| make(&site, case)).buffered(4).collect().await;
    let mut pairs = Vec::new();
    let places: Vec<_> = cases
        .iter()
        .zip(&made)
        .map(|(case, made)| {
            let start = pairs.len();
            pairs.extend(pairs_of(&case.file, made));
            start..pairs.len()
        })
        .collect();
    let compared = chromium::compare(&pairs).await;
    let mut table = Table::default();
    for ((case, made), place) in cases.iter().zip(made).zip(places) {
        table.add(case, made, &compared[place]);
    }
    table.end();
}

async fn make(site: &Site, case: &Case) -> Made {
    let answer = site.upload(&[], &[&case.file]).await;
    if answer.status.as_u16() != 201 {
        let said = answer.json();
        let said = said["detail"].as_str().unwrap_or_default();
        let said = format!("{} {said}", answer.status.as_u16());
        return if matches!(answer.status.as_u16(), 413 | 415) {
            Made::Refusal(said)
        } else {
            Made::Fault(said)
        };
    }
    let shared = Shared::from(answer.json());
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let path = format!("/api/v1/shares/{}/images/0", shared.id);
    let copy = async |query: &str| {
        let path = format!("{path}{query}");
        Arc::new(site.get(&path, session["token"].as_str()).await.expect(200).body)
    };
    let file = case.file.clone();
    let decoded = tokio::task::spawn_blocking(move || decode(&file, &Limits::default())).await.unwrap();
    let made = match decoded {
        Ok(decoded) if decoded.frames > 1 => {
            Made::Copy { decoded, still: copy("?still=true").await, animation: Some(copy("").await) }
        }
        Ok(decoded) => Made::Copy { decoded, still: copy("").await, animation: None },
        Err(refusal) => Made::Fault(format!("taken, but not by itself: {refusal}")),
    };
    site.burn(&shared).await;
    made
}

/// What Chromium is asked to compare: the file with what a viewer gets first, then with what was decoded of it, then, of
/// an animation, frames in the middle and at the end with those of the viewer's.
fn pairs_of(file: &Arc<Vec<u8>>, made: &Made) -> Vec<(Drawn, Drawn)> {
    match made {
        Made::Refusal(_) | Made::Fault(_) => vec![(Drawn::image(file), Drawn::image(file))],
        Made::Copy { decoded, still, animation } => {
            let mut pairs = vec![(Drawn::image(file), Drawn::image(still))];
            pairs.extend(decoded.pairs(file));
            if let Some(animation) = animation {
                let frame = |index| (Drawn::frame(file, index), Drawn::frame(animation, index));
                pairs.extend([frame(decoded.frames / 2), frame(decoded.frames - 1)]);
            }
            pairs
        }
    }
}

/// What is wrong with a copy, if anything is.
fn fault(made: &Made, compared: &[Compared]) -> Option<String> {
    let [Some(shown), _] = compared[0].sizes else { return Some("Chromium does not show it".to_owned()) };
    let Made::Copy { decoded, animation, .. } = made else { return None };
    let (unmarked, frames) = compared[1..].split_at(decoded.pictures.len());
    if let Some(fault) = decoded.fault(unmarked, UNMARKED) {
        return Some(fault);
    }
    for (place, Compared { sizes: [one, other], difference }) in
        [&compared[..1], frames].concat().iter().enumerate()
    {
        // Chromium plays an animation past an empty frame, but its decoder gives no picture for it.
        if place > 0 && one.is_none() {
            continue;
        }
        let (Some(one), Some(other), Some(off)) = (one, other, difference) else {
            return Some(format!(
                "Chromium does not show a frame of the file or of its copy: {one:?}, {other:?}"
            ));
        };
        let ratio = |size: &Size| f64::from(size.0) / f64::from(size.1);
        let shape = ratio(other) / ratio(one);
        let is_marked = shown.0 >= LEAST_MARKED.0 && shown.1 >= LEAST_MARKED.1;
        if is_marked && ((shape - 1.0).abs() > SHAPE || *off > MARKED) {
            return Some(format!("the copy, picture {place}: {off:.1} levels off, its shape {shape:.2}"));
        }
        if animation.is_some() && place > 0 && one.2 != other.2 {
            return Some(format!("the copy has {} frames instead of {}", other.2, one.2));
        }
    }
    None
}

#[derive(Default)]
struct Row {
    files: usize,
    right: usize,
    refusals: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<String, Row>,
    wrong: Vec<String>,
}

impl Table {
    fn add(&mut self, case: &Case, made: Made, compared: &[Compared]) {
        let row = self.rows.entry(case.kind.clone()).or_default();
        row.files += 1;
        let fault = match (&made, case.expected) {
            (Made::Fault(fault), _) => Some(fault.clone()),
            (Made::Refusal(said), Expected::Refused(word)) if said.contains(word) => None,
            (Made::Refusal(said), Expected::Refused(word)) => {
                Some(format!("refused without {word:?}: {said}"))
            }
            (Made::Copy { .. }, Expected::Refused(_)) => Some("taken".to_owned()),
            (Made::Refusal(_), Expected::ShownOrRefused) => None,
            (_, Expected::Shown | Expected::ShownOrRefused) => fault(&made, compared),
        };
        let fault = match (fault, &made, case.expected) {
            (None, Made::Refusal(said), Expected::Shown) => Some(format!("refused: {said}")),
            (fault, _, _) => fault,
        };
        if let Made::Refusal(said) = made {
            *row.refusals.entry(said).or_default() += 1;
        }
        match fault {
            None => row.right += 1,
            Some(fault) => {
                let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
                std::fs::create_dir_all(&folder).unwrap();
                let name = format!("{}: {}", case.kind, case.name);
                std::fs::write(folder.join(name.replace('/', "-")), &*case.file).unwrap();
                self.wrong.push(format!("{name}: {fault}"));
            }
        }
    }

    fn end(self) {
        let cells = |row: &Row| format!("{:>6} | {:>6}", row.files, row.right);
        println!("{:44} | {:>6} | {:>6} | refused", "kind", "files", "right");
        for (kind, row) in &self.rows {
            let refusals: Vec<_> =
                row.refusals.iter().map(|(said, files)| format!("{files}: {said}")).collect();
            println!("{kind:44} | {} | {}", cells(row), refusals.join("; "));
        }
        let (count, wrong) = (self.wrong.len(), self.wrong.join("\n"));
        assert!(count == 0, "{count} wrong, kept in {}/pictures:\n{wrong}", env!("CARGO_TARGET_TMPDIR"));
    }
}

/// A whole number from the environment, or this one when it is not set.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .map_or(default, |number| number.parse().unwrap_or_else(|_| panic!("{variable}={number}")))
}
