//! An animation stays animated, every frame bears both marks, and any captured frame names its session.

use std::io::Cursor;

use chatpic_core::testing::faults::Fault;
use chatpic_core::testing::samples;
use chatpic_core::{Error, Limits, TraceScope};
use chatpic_http::Options;
use image::codecs::webp::WebPDecoder;
use image::metadata::LoopCount;
use image::{AnimationDecoder, DynamicImage, RgbImage};
use serde_json::{Value, json};

use crate::site::{DAY, MINUTE, Shared, Site, limits};

/// A walk over a photograph, frames of 0.13 megapixels.
fn walk() -> Vec<RgbImage> {
    samples::pan(&samples::photograph(560, 300, 3), 440, 300, 6)
}

fn gif() -> Vec<u8> {
    samples::gif(&walk(), 120)
}

struct Copy {
    frames: Vec<RgbImage>,
    delays: Vec<u32>,
    loops: LoopCount,
}

/// The frames of a copy as a browser shows them.
fn shown(copy: &[u8]) -> Copy {
    let decoder = WebPDecoder::new(Cursor::new(copy)).unwrap();
    let loops = decoder.loop_count();
    let (mut frames, mut delays) = (Vec::new(), Vec::new());
    for frame in decoder.into_frames() {
        let frame = frame.unwrap();
        delays.push(frame.delay().numer_denom_ms().0);
        frames.push(DynamicImage::ImageRgba8(frame.into_buffer()).into_rgb8());
    }
    Copy { frames, delays, loops }
}

async fn share(site: &Site, file: &[u8]) -> Shared {
    Shared::from(site.upload(&[], &[file]).await.expect(201).json())
}

async fn still(site: &Site, shared: &Shared, session: &Value) -> Vec<u8> {
    let path = format!("/api/v1/shares/{}/images/0?still=true", shared.id);
    site.get(&path, session["token"].as_str()).await.expect(200).body
}

/// The mean difference of two pictures, in grey levels.
fn difference(one: &RgbImage, other: &RgbImage) -> f64 {
    let sum: u64 = one.iter().zip(other.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / one.as_raw().len() as f64
}

#[tokio::test]
async fn an_animation_counts_as_one_image_and_keeps_frames_timing_and_loops() {
    let site = Site::new().await;
    let frames: Vec<_> = walk().into_iter().map(|f| DynamicImage::ImageRgb8(f).into_rgba8()).collect();
    for file in [gif(), samples::webp(&frames, 120)] {
        let shared = share(&site, &file).await;
        let images = &shared.answer["images"];
        assert_eq!(images.as_array().unwrap().len(), 1);
        assert_eq!(images[0]["frames"], 6);
        assert_eq!(images[0]["media_type"], "image/webp");
        assert_eq!((&images[0]["width"], &images[0]["height"]), (&json!(440), &json!(300)));
        assert_eq!(images[0]["traceable"], true);
        let session = site.open_session(&shared, json!({})).await.expect(201).json();
        let copy = site.image(&shared, &session).await.expect(200);
        assert_eq!(copy.headers["content-type"], "image/webp");
        let copy = shown(&copy.body);
        assert_eq!(copy.delays, [120; 6]);
        assert!(matches!(copy.loops, LoopCount::Infinite));
        for (frame, original) in copy.frames.iter().zip(walk()) {
            let off = difference(frame, &original);
            assert!((0.5..9.0).contains(&off), "marked, and still the picture: {off}");
        }
        assert_eq!(site.dashboard(&shared).await["sessions"][0]["images_seen"], 1);
    }
}

#[tokio::test]
async fn every_frame_and_the_still_name_their_session_and_so_does_the_file() {
    let site = Site::new().await;
    let shared = share(&site, &gif()).await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(site.open_session(&shared, json!({})).await.expect(201).json());
    }
    let copy = site.image(&shared, &sessions[2]).await.expect(200).body;
    let still = still(&site, &shared, &sessions[2]).await;
    site.burn(&shared).await.expect(200);
    let copied = shown(&copy);
    let mut leaks: Vec<Vec<u8>> = [0, 2, 5].map(|frame| samples::jpeg(&copied.frames[frame], 80)).into();
    leaks.push(samples::jpeg(&shown(&still).frames[0], 80));
    leaks.push(samples::gif(&copied.frames, 100));
    leaks.push(copy);
    for (number, leak) in leaks.iter().enumerate() {
        let report = site.trace(&shared, leak).await.expect(200).json();
        assert_eq!(report["verdict"], "match", "leak {number}: {report}");
        assert_eq!(report["matches"].as_array().unwrap().len(), 1, "leak {number}: {report}");
        assert_eq!(report["matches"][0]["session"], sessions[2]["session"], "leak {number}");
        assert!(report["matches"][0]["false_alarm"].as_f64().unwrap() <= 1e-6);
    }
    let everything = TraceScope::default();
    let report =
        site.chatpic.trace_as_operator(leaks.swap_remove(1), None, &everything, |_| ()).await.unwrap();
    assert_eq!(report.matches.len(), 1, "so it does among all shares");
    assert_eq!(report.matches[0].session.to_string(), sessions[2]["session"].as_str().unwrap());
    let unmarked = site.trace(&shared, &gif()).await.expect(200).json();
    assert_eq!(unmarked["verdict"], "no_match", "{unmarked}");
}

#[tokio::test]
async fn all_frames_together_name_a_session_when_each_is_poor() {
    let site = Site::new().await;
    let shared = share(&site, &gif()).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.open_session(&shared, json!({})).await.expect(201);
    let copy = shown(&site.image(&shared, &session).await.expect(200).body);
    let poor = |frame| image::imageops::resize(frame, 308, 210, image::imageops::FilterType::CatmullRom);
    let poor: Vec<RgbImage> = copy.frames.iter().map(poor).collect();
    let report = site.trace(&shared, &samples::gif(&poor, 100)).await.expect(200).json();
    assert_eq!(report["verdict"], "match", "{report}");
    assert_eq!(report["matches"][0]["session"], session["session"]);
}

#[tokio::test]
async fn with_the_animated_original_a_small_piece_of_a_frame_names_its_session() {
    let site = Site::new().await;
    let shared = share(&site, &gif()).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.open_session(&shared, json!({})).await.expect(201);
    let copy = shown(&site.image(&shared, &session).await.expect(200).body);
    let small = image::imageops::resize(&copy.frames[3], 264, 180, image::imageops::FilterType::CatmullRom);
    let leak = samples::jpeg(&small, 60);
    let path = format!("/api/v1/shares/{}/trace", shared.id);
    let bearer = format!("Bearer {}", shared.dashboard_key);
    let original = gif();
    let files: [(&str, &[u8]); 2] = [("image", &leak), ("original", &original)];
    let report = site.post_form(&path, &[("Authorization", &bearer)], &[], &files).await.expect(200).json();
    assert_eq!(report["verdict"], "match", "{report}");
    assert_eq!(report["matches"][0]["session"], session["session"]);
}

#[tokio::test]
async fn the_session_id_is_drawn_on_every_frame_and_the_preview_is_the_uploaders() {
    let site = Site::new().await;
    let shared = share(&site, &gif()).await;
    let preview = format!("/api/v1/shares/{}/preview", shared.id);
    let preview =
        site.call(axum::http::Method::POST, &preview, Some(&shared.dashboard_key), Value::Null).await;
    let preview = preview.expect(201).json();
    assert_eq!(preview["session"], "UPLOADER");
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let one = shown(&site.image(&shared, &preview).await.expect(200).body);
    let other = shown(&site.image(&shared, &session).await.expect(200).body);
    // The labels are strong and in the same places in every frame; the rest differs only by faint marks.
    let letters = |frame: usize| {
        let pixels = one.frames[frame].enumerate_pixels().zip(other.frames[frame].pixels());
        let strong = pixels.filter(|((_, _, a), b)| a.0[1].abs_diff(b.0[1]) > 48);
        strong.map(|((x, y, _), _)| (x, y)).collect::<std::collections::HashSet<_>>()
    };
    let first = letters(0);
    assert!(first.len() > 100, "{}", first.len());
    for frame in 1..6 {
        let both = letters(frame).intersection(&first).count();
        assert!(both * 2 > first.len(), "frame {frame}: {both} of {}", first.len());
    }
    assert_eq!(site.dashboard(&shared).await["views"], 1);
}

/// The session's copy, once it is kept too, which no answer waits for.
async fn once_kept(site: &Site, shared: &Shared, session: &Value) -> Vec<u8> {
    let copy = site.image(shared, session).await.expect(200).body;
    site.chatpic.flush().await.unwrap();
    copy
}

#[tokio::test]
async fn a_copy_is_made_once_kept_sealed_and_gone_with_the_share() {
    let site = Site::new().await;
    let shared = share(&site, &gif()).await;
    let prepared = site.objects().len();
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let copy = once_kept(&site, &shared, &session).await;
    assert_eq!(site.objects().len(), prepared + 1);
    let kept = site.objects();
    let kept: Vec<_> = kept.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(kept.iter().all(|bytes| !bytes.windows(4).any(|w| w == b"WEBP" || w == b"ANMF")), "sealed");
    assert_eq!(once_kept(&site, &shared, &session).await, copy);
    still(&site, &shared, &session).await;
    site.chatpic.flush().await.unwrap();
    assert_eq!(site.objects().len(), prepared + 2);

    let receipt = site.burn(&shared).await.expect(200).json();
    assert_eq!(receipt["objects_deleted"], prepared + 2);
    assert_eq!(site.objects().len(), 0);
    site.image(&shared, &session).await.expect(401);
}

#[tokio::test]
async fn a_burn_deletes_copies_that_no_listing_has_found() {
    let site = Site::new().await;
    let shared = share(&site, &gif()).await;
    let prepared = site.objects().len();
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    once_kept(&site, &shared, &session).await;
    site.clock.advance(DAY);
    let receipt = site.burn(&shared).await.expect(200).json();
    assert_eq!(receipt["objects_deleted"], prepared + 1);
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn a_receipt_counts_the_copies_that_a_failing_store_holds() {
    let site = Site::new().await;
    let shared = share(&site, &gif()).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    once_kept(&site, &shared, &session).await;
    let objects = site.objects().len();
    site.clock.advance(5 * MINUTE);
    site.blob_faults.plan(std::iter::repeat(Some(Fault::Fails)));
    let receipt = site.burn(&shared).await.expect(200).json();
    assert_eq!((&receipt["objects_deleted"], &receipt["objects_pending"]), (&json!(0), &json!(objects)));
    // The copies are deleted, and the images are not.
    site.blob_faults.plan([Some(Fault::Fails)]);
    site.clock.advance(MINUTE);
    site.chatpic.sweep().await.unwrap();
    let receipt = site.dashboard(&shared).await["receipt"].clone();
    assert_eq!((&receipt["objects_deleted"], &receipt["objects_pending"]), (&json!(1), &json!(objects - 1)));
    site.clock.advance(MINUTE);
    site.chatpic.sweep().await.unwrap();
    let receipt = site.dashboard(&shared).await["receipt"].clone();
    assert_eq!((&receipt["objects_deleted"], &receipt["objects_pending"]), (&json!(objects), &json!(0)));
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn copies_count_for_what_may_be_stored() {
    let stored = |site: &Site| -> u64 {
        site.objects().iter().map(|path| std::fs::metadata(path).unwrap().len()).sum()
    };
    let site = Site::new().await;
    share(&site, &gif()).await;
    let max_stored = Some(stored(&site) * 11 / 10);
    let site = Site::with(Options::default(), Limits { max_stored, ..limits() }).await;
    let shared = share(&site, &gif()).await;
    site.chatpic.check_room().await.unwrap();
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(site.open_session(&shared, json!({})).await.expect(201).json());
    }
    once_kept(&site, &shared, &sessions[0]).await;
    assert!(Some(stored(&site)) > max_stored, "the first copy is kept");
    assert!(matches!(site.chatpic.check_room().await, Err(Error::Full)));
    let objects = site.objects().len();
    once_kept(&site, &shared, &sessions[1]).await;
    assert_eq!(site.objects().len(), objects, "the second is made, and not kept");
    site.clock.advance(3 * 60 * MINUTE);
    site.chatpic.sweep().await.unwrap();
    site.chatpic.check_room().await.unwrap();
}

#[tokio::test]
async fn requests_at_once_wait_for_one_copy() {
    // A pool of one without a queue would refuse whoever else began to make it.
    let site = Site::with(Options::default(), Limits { workers: 1, queue: 0, ..limits() }).await;
    let shared = share(&site, &gif()).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let answers = futures::future::join_all((0..4).map(|_| site.image(&shared, &session))).await;
    let first = &answers[0].body;
    assert!(answers.iter().all(|answer| answer.status.as_u16() == 200 && answer.body == *first));
}

#[tokio::test]
async fn copies_do_not_pile_up_while_their_share_lives() {
    let site = Site::new().await;
    let shared = share(&site, &gif()).await;
    let prepared = site.objects().len();
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let copy = once_kept(&site, &shared, &session).await;
    site.chatpic.sweep().await.unwrap();
    assert_eq!(site.objects().len(), prepared + 1, "kept while its session may live");
    site.clock.advance(2 * 60 * MINUTE + MINUTE);
    site.chatpic.sweep().await.unwrap();
    assert_eq!(site.objects().len(), prepared);
    let later = site.open_session(&shared, json!({})).await.expect(201).json();
    assert_ne!(once_kept(&site, &shared, &later).await, copy);
}

#[tokio::test]
async fn a_copy_made_again_is_the_same() {
    let site = Site::new().await;
    let shared = share(&site, &gif()).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let before = site.objects();
    let copy = once_kept(&site, &shared, &session).await;
    let kept: Vec<_> = site.objects().into_iter().filter(|path| !before.contains(path)).collect();
    let sealed = std::fs::read(&kept[0]).unwrap();
    std::fs::remove_file(&kept[0]).unwrap();
    assert_eq!(once_kept(&site, &shared, &session).await, copy);
    assert_ne!(std::fs::read(&kept[0]).unwrap(), sealed, "never sealed twice under one name");
}

#[tokio::test]
async fn a_full_pool_answers_503_and_says_when_to_come_again() {
    let site = Site::with(Options::default(), Limits { workers: 1, queue: 0, ..limits() }).await;
    let shared = share(&site, &gif()).await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(site.open_session(&shared, json!({})).await.expect(201).json());
    }
    let answers =
        futures::future::join_all(sessions.iter().map(|session| site.image(&shared, session))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status.as_u16() == 503).collect();
    assert!(!refused.is_empty() && refused.len() < 4, "{}", refused.len());
    assert!(refused.iter().all(|answer| answer.headers.contains_key("retry-after")));
    for session in &sessions {
        site.image(&shared, session).await.expect(200);
    }
}

#[tokio::test]
async fn an_image_with_transparency_is_made_once_a_session_too() {
    let site = Site::new().await;
    let mut picture = DynamicImage::ImageRgb8(samples::photograph(500, 400, 3)).into_rgba8();
    picture.pixels_mut().take(500 * 100).for_each(|pixel| pixel.0[3] = 0);
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let shared = share(&site, png.get_ref()).await;
    let prepared = site.objects().len();
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let copy = site.image(&shared, &session).await.expect(200);
    assert_eq!(copy.headers["content-type"], "image/png");
    assert_eq!(site.image(&shared, &session).await.expect(200).body, copy.body);
    assert_eq!(still(&site, &shared, &session).await, copy.body, "a still is its own still");
    site.chatpic.flush().await.unwrap();
    assert_eq!(site.objects().len(), prepared + 1);
    site.burn(&shared).await.expect(200);
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn an_animation_of_too_many_frames_is_refused_and_leaves_nothing() {
    let site = Site::new().await;
    let tiny: Vec<RgbImage> =
        (0..301).map(|i| RgbImage::from_pixel(8, 8, image::Rgb([i as u8; 3]))).collect();
    let answer = site.upload(&[], &[&samples::gif(&tiny, 50)]).await.expect(413);
    assert!(answer.text().contains("301 frames, more than 300"), "{}", answer.text());
    let whole = gif();
    site.upload(&[], &[&whole[..whole.len() / 2]]).await.expect(415);
    assert_eq!(site.objects().len(), 0);
}
