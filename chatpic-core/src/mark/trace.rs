//! From a leaked picture to sessions: find its place by the pilot, read the segments, compare the codewords.
//!
//! The false-alarm bound holds by construction. Geometry and segment readings are made without any codeword, so for
//! an innocent session its signs are independent of them, and by Hoeffding's inequality (1963) the score
//! `z = sum c_j y_j / sqrt(sum y_j^2)` passes `t` with a probability of at most `exp(-t^2 / 2)`, whatever the
//! picture and whatever was done to it. That is multiplied by the number of comparisons made.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use image::RgbImage;

use super::carrier::{Carrier, Pilot};
use super::chips;
use super::code::codeword;
use super::key::ImageKey;
use super::locate::{Leak, Locator};
use super::plane::Plane;
use super::record::{MarkError, MarkRecord};
use super::refine::{Wave, Waves};
use super::shape::{Floor, alpha};
use super::spread::available;
use super::sync::Stage;
use super::warp::{Homography, warp};
use crate::id::SessionId;

/// One image that the leak may be a copy of, and the sessions that it was served to.
#[derive(Debug)]
pub struct Suspect<'a> {
    /// The image's key.
    pub key: &'a ImageKey,
    /// How it was marked.
    pub record: &'a MarkRecord,
    /// The image's full rendition, rebuilt from the uploader's original; kept for tracing with a reference.
    pub original: Option<&'a RgbImage>,
    /// Sessions that may have leaked it.
    pub sessions: &'a [SessionId],
}

/// A session that the leak was served to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Match {
    /// The session.
    pub session: SessionId,
    /// Which suspect, from 0.
    pub image: usize,
    /// Its score in standard deviations of an innocent one.
    pub score: f32,
    /// The probability that any innocent candidate of this trace scores so high.
    pub false_alarm: f64,
}

/// What a trace found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Trace {
    /// Sessions past the threshold, best first, each once.
    pub matches: Vec<Match>,
    /// Sessions looked at, counted once an image.
    pub candidates: usize,
}

/// Pixels beyond which a leak is scaled down before anything else.
const LARGEST_LEAK: f64 = 24e6;
/// Places on an image whose segments are read.
const PLACES: usize = 2;
/// The stages of the search, each tried while no place is certain.
const STAGES: [Stage; 4] = [Stage::Upright, Stage::Stretched, Stage::Tilted, Stage::Turned];

/// Names the sessions that a leak was served to, with a false-alarm probability of at most `false_alarm` over all
/// comparisons. `progress` is told the share that is done, 0 to 1, and can stop the trace.
///
/// # Errors
/// [`MarkError::Cancelled`] when `progress` breaks; [`MarkError::Record`] for a record of another version.
pub fn trace(
    leak: &RgbImage,
    suspects: &[Suspect<'_>],
    false_alarm: f64,
    progress: &(dyn Fn(f32) -> ControlFlow<()> + Sync),
) -> Result<Trace, MarkError> {
    let candidates = suspects.iter().map(|suspect| suspect.sessions.len()).sum();
    let renditions = |suspect: &Suspect<'_>| suspect.sessions.len() * suspect.record.sizes.len();
    // Both signs of each score at each place are looked at: a minority vote of colluders turns it negative.
    let comparisons = (2 * PLACES * suspects.iter().map(renditions).sum::<usize>()) as f64;
    let mut luma = Plane::from_luma(leak);
    let shrink = ((luma.width * luma.height) as f64 / LARGEST_LEAK).sqrt();
    if shrink > 1.0 {
        let side = |side: usize| ((side as f64 / shrink) as usize).max(1);
        luma = luma.resized(side(luma.width), side(luma.height));
    }
    if luma.width.min(luma.height) < 16 {
        return Ok(Trace { matches: Vec::new(), candidates });
    }
    let leak = Leak::new(luma);
    let cancelled = AtomicBool::new(false);
    let mut matches: Vec<Match> = Vec::new();
    for (image, suspect) in suspects.iter().enumerate() {
        let mut tell = |share: f32| {
            if progress((image as f32 + share) / suspects.len() as f32).is_break() {
                cancelled.store(true, Ordering::Relaxed);
            }
            if cancelled.load(Ordering::Relaxed) { Err(MarkError::Cancelled) } else { Ok(()) }
        };
        tell(0.0)?;
        for (session, score) in scores(&leak, suspect, &cancelled, &mut tell)? {
            let chance = (comparisons * (-0.5 * f64::from(score) * f64::from(score)).exp()).min(1.0);
            let known = matches.iter_mut().find(|found| (found.session, found.image) == (session, image));
            match known {
                _ if chance > false_alarm => {}
                Some(found) if found.score.abs() >= score.abs() => {}
                Some(found) => (found.score, found.false_alarm) = (score, chance),
                None => matches.push(Match { session, image, score, false_alarm: chance }),
            }
        }
    }
    matches.sort_by(|a, b| b.score.abs().total_cmp(&a.score.abs()));
    Ok(Trace { matches, candidates })
}

/// Every session's score on every size at every likely place.
fn scores(
    leak: &Leak,
    suspect: &Suspect<'_>,
    cancelled: &AtomicBool,
    tell: &mut dyn FnMut(f32) -> Result<(), MarkError>,
) -> Result<Vec<(SessionId, f32)>, MarkError> {
    let record = suspect.record;
    let full = *record.sizes.first().ok_or(MarkError::Record)?;
    if record.version != MarkRecord::VERSION {
        return Err(MarkError::Record);
    }
    let pilot = Pilot::new(suspect.key, &record.sizes);
    let waves = Waves::new(pilot.waves.iter().map(|w| Wave { x: w.fx, y: w.fy, phase: w.phase }));
    let canvas = (f64::from(full.width), f64::from(full.height));
    let mut locator = Locator::new(leak, &waves, canvas, available());
    locator.try_whole();
    for (step, stage) in STAGES.into_iter().enumerate() {
        tell(0.1 + 0.15 * step as f32)?;
        if locator.is_certain() {
            break;
        }
        locator.search(stage, &|| cancelled.load(Ordering::Relaxed));
    }
    tell(0.7)?;

    let mut scores = Vec::new();
    let places = locator.places(PLACES);
    for (index, size) in record.sizes.iter().enumerate() {
        let carrier = Carrier::new(suspect.key, index, *size, record.chroma);
        for place in &places {
            let (across, down) = (f64::from(size.width) / canvas.0, f64::from(size.height) / canvas.1);
            let map = Homography::resize(across, down).after(&place.map);
            let Some(chips) = read(&leak.luma, &map, &carrier) else { continue };
            let power = chips.iter().map(|v| v * v).sum::<f32>().sqrt();
            if power <= 0.0 {
                continue;
            }
            for session in suspect.sessions {
                let code = codeword(suspect.key, index, *session, chips.len());
                let sum: f32 = chips.iter().enumerate().map(|(j, v)| v * code.sign(j)).sum();
                scores.push((*session, sum / power));
            }
        }
    }
    Ok(scores)
}

/// The weighted readings of all segments, with the leak redrawn on the rendition by `map`.
fn read(leak: &Plane, map: &Homography, carrier: &Carrier) -> Option<Vec<f32>> {
    let warped = warp(leak, map, carrier.w.width, carrier.w.height)?;
    let alpha = alpha(&warped.plane, Floor::Photo);
    let (y, d) = chips::statistic(&warped.plane, carrier, &alpha, Some(&warped.cover));
    Some(chips::weigh(&y, &d))
}

#[cfg(test)]
mod tests {
    use image::imageops::{FilterType, crop_imm, resize};

    use super::super::embed::embed_rgb;
    use super::super::embed::tests::picture;
    use super::super::jpeg;
    use super::super::prepared::prepare;
    use super::*;
    use crate::mark::{Chroma, MarkKey, record_of};

    const GUILTY: SessionId = SessionId(0xE64F_44F6);

    fn key(seed: u8) -> ImageKey {
        MarkKey::new([seed; 32]).image(b"picture")
    }

    fn named(leak: &RgbImage, key: &ImageKey, record: &MarkRecord) -> Vec<SessionId> {
        let sessions: Vec<SessionId> = (1..1000).map(SessionId).chain([GUILTY]).collect();
        let suspect = Suspect { key, record, original: None, sessions: &sessions };
        let trace = trace(leak, &[suspect], 1e-6, &|_| ControlFlow::Continue(())).unwrap();
        assert_eq!(trace.candidates, 1000);
        assert!(trace.matches.iter().all(|found| found.false_alarm <= 1e-6));
        trace.matches.into_iter().map(|found| found.session).collect()
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
        let stopped = trace(&picture(300, 200), &[suspect], 1e-6, &|_| ControlFlow::Break(()));
        assert_eq!(stopped, Err(MarkError::Cancelled));
    }

    #[test]
    fn tiny_leaks_name_nobody() {
        let record = record_of(&[crate::mark::Size { width: 300, height: 200 }]).unwrap();
        assert_eq!(named(&RgbImage::new(1, 1), &key(1), &record), []);
        assert_eq!(named(&RgbImage::new(15, 4000), &key(1), &record), []);
    }
}
