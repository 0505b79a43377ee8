//! An animation as viewers see it: moving, held when they wish, and traced from what their screen shows.

use chatpic_core::testing::samples;
use chatpic_core::{AccessPolicy, SessionId, VisibleMark};
use image::RgbImage;
use serde_json::json;
use thirtyfour::prelude::*;

use crate::support::{Browser, Site};

const WIDTH: u32 = 720;
const HEIGHT: u32 = 460;

fn walk() -> Vec<RgbImage> {
    samples::pan(&samples::photograph(840, HEIGHT, 3), WIDTH, HEIGHT, 5)
}

/// What the screen shows of the image.
async fn captured(viewer: &Browser) -> RgbImage {
    viewer.see_loaded(".gallery img").await;
    let shot = viewer.see(".gallery img").await.screenshot_as_png().await.unwrap();
    image::load_from_memory(&shot).unwrap().into_rgb8()
}

/// How far a captured picture is from a frame with this ID drawn on it.
fn distance(captured: &RgbImage, frame: &RgbImage, id: SessionId) -> f64 {
    let size = chatpic_core::mark::Size { width: WIDTH, height: HEIGHT };
    let labels = VisibleMark::default().labels(&id.label(), size, false);
    let mut sum = 0.0;
    for label in labels {
        for (i, pixel) in (0..).zip(&label.pixels).filter(|(_, pixel)| pixel.weight > 0) {
            let (x, y) = (label.x + i % label.width, label.y + i / label.width);
            let (under, shown) = (frame.get_pixel(x, y).0[1], captured.get_pixel(x, y).0[1]);
            let over = f64::from(under)
                + (f64::from(pixel.luma) - f64::from(under)) * f64::from(pixel.weight) / 255.0;
            sum += (f64::from(shown) - over).abs();
        }
    }
    sum
}

/// Reads the ID off a captured picture, whichever frame it shows: the closest of the right one and sixteen others.
fn read_id(captured: &RgbImage, right: SessionId) -> SessionId {
    let others = (0..16).map(|nibble| SessionId(right.0 ^ (nibble << 16) ^ 0x0F0F_0000 ^ nibble));
    let frames = walk();
    let nearest = |id| frames.iter().map(|frame| distance(captured, frame, id)).fold(f64::MAX, f64::min);
    std::iter::once(right).chain(others).min_by(|a, b| nearest(*a).total_cmp(&nearest(*b))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_animation_plays_is_held_by_keyboard_and_names_its_viewer() {
    let site = Site::start().await;
    let gif = site.file("walk.gif", &samples::gif(&walk(), 150));
    let uploader = Browser::start().await;
    uploader.go(&site.url).await;
    uploader.choose("#images", &[&gif]).await;
    uploader.click("#send").await;
    uploader.see_text("#result .lead", "1 image").await;
    let link = uploader.value("#link").await;
    let dashboard = uploader.value("#dashboard").await;

    let viewer = Browser::start().await;
    viewer.go(&link).await;
    viewer.click("#view").await;
    viewer.see_text(".motion", "Pause").await;
    let moving = captured(&viewer).await;
    viewer.see(".motion").await.send_keys(Key::Enter).await.unwrap();
    viewer.see_text(".motion", "Play").await;
    viewer.see_true("document.querySelector('.gallery img').currentSrc.endsWith('still=true')").await;
    let held = captured(&viewer).await;
    let label = viewer.see(".motion").await.attr("aria-label").await.unwrap().unwrap();
    assert!(label.starts_with("Play. Image 1 of 1"), "{label}");
    viewer.see(".motion").await.send_keys(Key::Enter).await.unwrap();
    viewer.see_text(".motion", "Pause").await;
    viewer.expect_a_quiet_console().await;

    let id: SessionId = viewer.see(".bar .id").await.text().await.unwrap().parse().unwrap();
    for picture in [&moving, &held] {
        assert_eq!(picture.dimensions(), (WIDTH, HEIGHT));
        assert_eq!(read_id(picture, id), id);
    }
    let (share, key) = dashboard.split_once("/d/").unwrap().1.split_once('#').unwrap();
    let share = share.parse().unwrap();
    let access = site.chatpic.dashboard_access(&share, &key.parse().unwrap());
    for picture in [&moving, &held] {
        let leak = samples::jpeg(picture, 80);
        let report = site.chatpic.trace(&share, &access, leak, None).await.unwrap();
        assert_eq!(report.matches.iter().map(|found| found.session).collect::<Vec<_>>(), [id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_for_less_motion_sees_it_held_until_play_is_pressed() {
    let site = Site::start().await;
    let mut upload = site.chatpic.upload(None).unwrap();
    upload.add(samples::gif(&walk(), 150)).await.unwrap();
    let made = upload.commit(AccessPolicy::default()).await.unwrap();
    let link = format!("{}s/{}#{}", site.url, made.share_id, made.link_key.reveal());
    let viewer = Browser::start().await;
    let less = json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
    viewer.devtools("Emulation.setEmulatedMedia", less).await;
    viewer.go(&link).await;
    viewer.click("#view").await;
    viewer.see_text(".motion", "Play").await;
    viewer.see_loaded(".gallery img").await;
    viewer.see_true("document.querySelector('.gallery img').currentSrc.endsWith('still=true')").await;
    let asked = "performance.getEntriesByType('resource').filter((e) => /images.0$/.test(e.name)).length";
    viewer.see_true(&format!("{asked} === 0")).await;
    viewer.click(".motion").await;
    viewer.see_text(".motion", "Pause").await;
    viewer.see_true(&format!("{asked} === 1")).await;
    viewer.see_loaded(".gallery img").await;
    viewer.expect_a_quiet_console().await;
}
