//! One address attacks within the default caps, and all others are served.

mod pictures;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use chatpic_core::testing::samples;
use futures::future::join_all;
use futures::{Stream, StreamExt, stream};
use image::DynamicImage;
use image::imageops::{FilterType, crop_imm, replace, resize, rotate90};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::processes::Process;
use crate::support::visitor::{BELIEVES_VISITORS, Visitor};
use crate::support::{Site, bounded, photograph};

const ATTACKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// A budget of traces with which each takes some seconds.
const SHORT_TRACES: (&str, &str) = ("CHATPIC_TRACE_WORK", "4000000000");

/// A site under attack.
fn start(data: &Path, variables: &[(&str, &str)]) -> Site {
    Site::start_by(bounded(), data, &[&[BELIEVES_VISITORS], variables].concat())
}

/// An attacker's requests, made until this is dropped.
struct Flood {
    senders: JoinSet<()>,
    statuses: mpsc::UnboundedReceiver<StatusCode>,
}

impl Flood {
    /// Each of the senders makes its requests one after the other.
    fn of<S>(senders: impl IntoIterator<Item = S>) -> Self
    where
        S: Stream<Item = reqwest::Result<Response>> + Send + 'static,
    {
        let (status, statuses) = mpsc::unbounded_channel();
        let send = |answers: S| {
            let status = status.clone();
            answers.for_each(move |answer| {
                let status = status.clone();
                async move {
                    let answer = answer.unwrap();
                    let code = answer.status();
                    drop(answer.bytes().await);
                    let _ = status.send(code);
                }
            })
        };
        Self { senders: senders.into_iter().map(send).collect(), statuses }
    }

    /// Waits for the first request that succeeds: the others are under way by then.
    async fn is_on(&mut self) {
        while !self.statuses.recv().await.expect("one request succeeds").is_success() {}
    }

    /// How many requests have succeeded since the last call, or since the first.
    fn done(&mut self) -> usize {
        std::iter::from_fn(|| self.statuses.try_recv().ok()).filter(StatusCode::is_success).count()
    }

    /// How many senders still have requests to make.
    fn senders(&mut self) -> usize {
        while self.senders.try_join_next().is_some() {}
        self.senders.len()
    }
}

/// Traces leaks of the attacker's share, one after the other, while another client views pictures.
async fn are_answered_while_others_view(site: &Site, leaks: Vec<(&str, Vec<u8>)>) {
    let attacker = Visitor::at(site, ATTACKER);
    let target = attacker.share(&[photograph(1)]).await;
    let viewer = Visitor::at(site, OTHER);
    let album = viewer.share(&[photograph(2), photograph(3)]).await;
    for (shape, leak) in leaks {
        let before = cpu(site);
        let viewing = async {
            for _ in 0..3 {
                viewer.view(&album).await;
            }
        };
        let (traced, ()) = tokio::join!(attacker.trace(&target, &leak), viewing);
        let traced = traced.map_err(|error| format!("{shape}: {error}")).unwrap();
        assert_eq!(traced.status(), 200, "{shape}");
        let trace: Value = traced.json().await.unwrap();
        let peak = site.processes().iter().map(|process| process.peak_memory).sum::<u64>() >> 20;
        println!("{shape}: {:?} of processor time, {peak} MB at most so far, {trace}", cpu(site) - before);
        assert_eq!(trace["verdict"], "no_match", "{shape}");
        assert!(
            trace["complete"].is_boolean(),
            "{shape}: whether the search was cut short is not said: {trace}"
        );
        assert!(peak < 1536, "{shape}: {peak} MB");
    }
}

fn cpu(site: &Site) -> Duration {
    site.processes().iter().map(|process| process.cpu).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_leak_is_answered_while_others_view() {
    let folder = TempDir::new().unwrap();
    let site = start(&folder.path().join("data"), &[SHORT_TRACES]);
    let frames = |width, height| {
        let noise = DynamicImage::from(pictures::noise(width, height + 10)).into_rgb8();
        let frame = |i| crop_imm(&noise, 0, i, width, height).to_image();
        samples::gif(&(0..3).map(frame).collect::<Vec<_>>(), 80)
    };
    let leaks = vec![
        ("a PNG of 16 x 64 000", pictures::png(pictures::bars(16, 64_000))),
        ("a GIF of 24 x 20 000", frames(24, 20_000)),
        ("a GIF of 32 x 16 416", frames(32, 16_416)),
        ("a PNG of 1 000 000 x 24", pictures::png(pictures::bars(1_000_000, 24))),
    ];
    are_answered_while_others_view(&site, leaks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tall_and_a_wide_leak_of_other_pictures_are_answered_while_others_view() {
    let folder = TempDir::new().unwrap();
    let site = start(&folder.path().join("data"), &[SHORT_TRACES]);
    let leaks = vec![
        ("a scroll capture of 400 x 8 000", pictures::png(pictures::scroll_capture(400, 8_000, 5))),
        ("noise of 6 000 x 500", pictures::png(pictures::noise(6_000, 500))),
    ];
    are_answered_while_others_view(&site, leaks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_that_traces_much_does_not_hold_up_anothers_trace() {
    let folder = TempDir::new().unwrap();
    let site = start(&folder.path().join("data"), &[SHORT_TRACES]);
    let attacker = Visitor::at(&site, ATTACKER);
    let mut targets = Vec::new();
    for seed in 0..6 {
        targets.push(attacker.share(&[samples::jpeg(&samples::photograph(480, 320, seed), 90)]).await);
    }
    let other = Visitor::at(&site, OTHER);
    let album = other.share(&[photograph(2)]).await;
    let (session, copies) = other.view(&album).await;

    let leak = Arc::new(pictures::png(pictures::noise(600, 400)));
    let mut flood = Flood::of(targets.into_iter().map(|target| {
        let (attacker, leak) = (attacker.clone(), leak.clone());
        stream::once(async move { attacker.trace(&target, &leak).await })
    }));
    flood.is_on().await;
    let traced = other.trace(&album, &copies[0]).await.unwrap();
    assert_eq!(traced.status(), 200);
    let trace: Value = traced.json().await.unwrap();
    assert_eq!(trace["matches"][0]["session"], session["session"]);
    let before = flood.done();
    assert!(before <= 3, "{before} of the attacker's 5 waiting traces went first");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_viewer_of_many_animations_does_not_keep_others_from_their_images() {
    let folder = TempDir::new().unwrap();
    let site = start(&folder.path().join("data"), &[]);
    let attacker = Visitor::at(&site, ATTACKER);
    let files: Vec<_> = (0..6).map(|seed| pictures::animation(320, 240, 12, seed)).collect();
    let animations = Arc::new(attacker.share(&files).await);
    let other = Visitor::at(&site, OTHER);
    let album = other.share(&[pictures::cut_out(400, 300)]).await;

    // Each session needs new copies; each of 14 clients asks for one after the other.
    let mut flood = Flood::of((0..14).map(|_| {
        let (attacker, animations) = (attacker.clone(), animations.clone());
        stream::iter(0..40).then(move |_| {
            let (attacker, animations) = (attacker.clone(), animations.clone());
            async move {
                let session: Value = attacker.open(&animations).await?.json().await?;
                for index in 0..5 {
                    attacker.image(&animations, &session, index, "").await?.bytes().await?;
                }
                attacker.image(&animations, &session, 5, "").await
            }
        })
    }));
    flood.is_on().await;
    for _ in 0..10 {
        other.view(&album).await;
    }
    assert_eq!(flood.senders(), 14, "the attack went on all the while");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_that_uploads_slow_files_does_not_hold_up_anothers_upload() {
    let folder = TempDir::new().unwrap();
    let site = start(&folder.path().join("data"), &[]);
    let attacker = Visitor::at(&site, ATTACKER);
    let other = Visitor::at(&site, OTHER);
    let slow = Arc::new(vec![pictures::many_scans(2400, 1800)]);
    let small: Vec<_> = (0..3).map(|seed| samples::jpeg(&samples::photograph(320, 240, seed), 90)).collect();

    let mut flood = Flood::of((0..58).map(|_| {
        let (attacker, slow) = (attacker.clone(), slow.clone());
        stream::once(async move { attacker.upload(&slow).await })
    }));
    flood.is_on().await;
    other.share(&small).await;
    let before = flood.done();
    assert!(before < 29, "{before} of the attacker's 57 waiting uploads went before three small pictures");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_with_many_event_streams_leaves_room_for_others() {
    let folder = TempDir::new().unwrap();
    let site = start(&folder.path().join("data"), &[("CHATPIC_LISTENERS", "40")]);
    let attacker = Visitor::at(&site, ATTACKER);
    let target = attacker.share(&[samples::jpeg(&samples::photograph(64, 48, 1), 90)]).await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        let session: Value = attacker.open(&target).await.unwrap().json().await.unwrap();
        let opened = join_all((0..8).map(|_| attacker.listen(&target, &session["token"]))).await;
        streams.extend(opened.into_iter().map(reqwest::Result::unwrap));
    }
    assert!(streams.iter().any(|stream| stream.status() == 503), "one address takes all of its part");

    let other = Visitor::at(&site, OTHER);
    let album = other.share(&[photograph(2)]).await;
    let session: Value = other.open(&album).await.unwrap().json().await.unwrap();
    for key in [&session["token"], &album["dashboard_key"]] {
        assert_eq!(other.listen(&album, key).await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tall_and_wide_leaks_of_a_shares_copy_are_found() {
    let folder = TempDir::new().unwrap();
    let site = start(&folder.path().join("data"), &[]);
    let visitor = Visitor::at(&site, OTHER);
    let share = visitor.share(&[pictures::png(pictures::scroll_capture(1080, 16_000, 9))]).await;
    assert_eq!(share["images"][0]["traceable"], true, "{share}");
    let (session, copies) = visitor.view(&share).await;
    let copy = image::load_from_memory(&copies[0]).unwrap().into_rgb8();
    let tall = resize(&copy, 1080, 16_000, FilterType::CatmullRom);
    // A capture of a page on which the copy is shown: something above it, and its end is missing.
    let mut page = pictures::scroll_capture(1080, 16_000, 10);
    replace(&mut page, &tall, 0, 900);
    for (what, leak) in [("wide", rotate90(&tall)), ("tall", tall), ("a page", page)] {
        let before = cpu(&site);
        let traced = visitor.trace(&share, &samples::jpeg(&leak, 85)).await.unwrap();
        assert_eq!(traced.status(), 200, "{what}");
        let trace: Value = traced.json().await.unwrap();
        println!("{what}: {:?} of processor time, {trace}", cpu(&site) - before);
        assert_eq!(trace["matches"][0]["session"], session["session"], "{what}: {trace}");
    }
}

/// Kills the first of the site's child processes that is seen at work: with a tenth of a second more of processor time
/// than `before`.
async fn kill_the_worker(site: &Site, before: &[Process]) {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    for look in 0.. {
        looks.tick().await;
        assert!(look < 1000, "no process but the server itself is at work");
        let took = |pid| {
            before.iter().find(|process| process.pid == pid).map_or(Duration::ZERO, |process| process.cpu)
        };
        let at_work = |process: &Process| process.cpu >= took(process.pid) + Duration::from_millis(100);
        if let Some(worker) = site.processes().into_iter().skip(1).find(at_work) {
            let killed = Command::new("kill").arg("-9").arg(worker.pid.to_string()).status().unwrap();
            assert!(killed.success());
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decode_or_a_trace_that_aborts_costs_its_own_request_and_no_other() {
    let folder = TempDir::new().unwrap();
    let site = start(&folder.path().join("data"), &[SHORT_TRACES]);
    let attacker = Visitor::at(&site, ATTACKER);
    let target = attacker.share(&[photograph(1)]).await;
    let other = Visitor::at(&site, OTHER);
    let album = other.share(&[photograph(2)]).await;
    let noise = pictures::png(pictures::noise(1200, 900));
    let large = [pictures::png(pictures::bars(7000, 6000))];

    let before = site.processes();
    let (traced, ()) = tokio::join!(attacker.trace(&target, &noise), kill_the_worker(&site, &before));
    println!("the trace is answered by {}", traced.unwrap().status());
    let (_, copies) = other.view(&album).await;
    assert_eq!(other.trace(&album, &copies[0]).await.unwrap().status(), 200);

    let before = site.processes();
    let (uploaded, ()) = tokio::join!(attacker.upload(&large), kill_the_worker(&site, &before));
    println!("the upload is answered by {}", uploaded.unwrap().status());
    other.view(&album).await;
    other.share(&[photograph(3)]).await;
}
