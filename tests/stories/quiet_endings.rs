//! How long an answer takes tells nobody whether a dead link ever lived.

use std::time::{Duration, Instant};

use axum::http::Method;
use chatpic_core::Entropy;
use chatpic_core::testing::SeededEntropy;
use chatpic_core::testing::faults::Fault;
use chatpic_http::Options;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::site::{MINUTE, Shared, Site, limits};

/// Requests of each kind to each group of ids, when `CHATPIC_TEST_TIMINGS` is not set.
const ROUNDS: usize = 500;
/// Ids of each group, which take turns.
const IDS: usize = 4;
/// How far from 1/2 the chance may lie of telling two groups apart by one request.
const TOLD: f64 = 0.05;

/// An id and the key of its link, or what could be one.
struct Link {
    id: String,
    key: String,
}

/// What strangers and holders of dead links can ask.
const KINDS: [&str; 5] = ["cover", "open with its key", "open with a wrong key", "report", "dashboard"];

async fn ask(site: &Site, kind: &str, link: &Link, wrong: &str) -> Duration {
    let path = |end: &str| format!("/api/v1/shares/{}{end}", link.id);
    let (method, path, bearer, body, status) = match kind {
        "cover" => (Method::GET, path(""), None, Value::Null, 404),
        "open with its key" => (Method::POST, path("/sessions"), None, json!({ "key": link.key }), 404),
        "open with a wrong key" => (Method::POST, path("/sessions"), None, json!({ "key": wrong }), 404),
        "report" => (Method::POST, path("/reports"), None, json!({ "reason": "look" }), 202),
        _ => (Method::GET, path("/dashboard"), Some(wrong), Value::Null, 401),
    };
    #[expect(clippy::disallowed_methods, reason = "it measures")]
    let began = Instant::now();
    let answer = site.call(method, &path, bearer, body).await;
    let took = began.elapsed();
    answer.expect(status);
    took
}

#[tokio::test]
async fn an_ended_link_and_an_unknown_one_are_refused_by_the_same_two_looks_at_the_store_and_no_write() {
    let site = Site::new().await;
    let (burned, never) =
        (site.share(&[]).await, Shared { id: "AAAAAAAAAAAAAAAA".to_owned(), ..site.share(&[]).await });
    site.burn(&burned).await.expect(200);
    for shared in [&burned, &never] {
        for (looks, status) in [(2, 404), (1, 503)] {
            let rest = std::iter::repeat(Some(Fault::Fails));
            site.share_faults.plan(std::iter::repeat_n(None, looks).chain(rest));
            site.open_session(shared, json!({})).await.expect(status);
        }
    }
    site.share_faults.plan([]);
    // Its uploader is told of the try all the same, now by this node and after a sweep by all.
    assert_eq!(site.dashboard(&burned).await["blocked"]["after_end"], 1);
    site.chatpic.sweep().await.unwrap();
    assert_eq!(site.dashboard(&burned).await["blocked"]["after_end"], 1, "it is counted once");
    assert_eq!(site.restart().await.dashboard(&burned).await["blocked"]["after_end"], 1);
}

#[tokio::test]
async fn a_report_is_stored_before_it_is_acknowledged_whether_there_is_such_a_share_or_not() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    for id in [shared.id.as_str(), "AAAAAAAAAAAAAAAA"] {
        let path = format!("/api/v1/shares/{id}/reports");
        site.share_faults.plan([None, Some(Fault::Fails)]);
        site.call(Method::POST, &path, None, json!({ "reason": "look" })).await.expect(503);
        site.call(Method::POST, &path, None, json!({ "reason": "look" })).await.expect(202);
    }
    assert_eq!(site.chatpic.reports(10).await.unwrap().len(), 1, "the operator sees those of shares");
}

/// The chance that one of `slow` took longer than one of `fast`, equal ones counted half: the area under the curve of
/// whoever tells the two apart by one request.
fn chance(slow: &[Duration], fast: &[Duration]) -> f64 {
    let mut fast = fast.to_vec();
    fast.sort();
    let below = |took: &Duration| {
        (fast.partition_point(|other| other < took) + fast.partition_point(|other| other <= took)) as f64
            / 2.0
    };
    slow.iter().map(below).sum::<f64>() / (slow.len() * fast.len()) as f64
}

#[tokio::test]
async fn the_time_of_an_answer_does_not_tell_an_ended_share_from_an_unknown_id() {
    let rounds = std::env::var("CHATPIC_TEST_TIMINGS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let options = Options { opens_per_hour: 0, reports_per_hour: 0, ..Options::default() };
    let site = Site::with(options, limits()).await;
    let entropy = SeededEntropy::new(5);
    let entropy: &dyn Entropy = &entropy;
    let random = |bytes: usize| BASE64URL_NOPAD.encode(&entropy.bytes::<32>()[..bytes]);

    let mut groups: Vec<(&str, Vec<Link>)> = Vec::new();
    for (group, options) in
        [("burned", &[][..]), ("expired", &[("expires_in", "60")]), ("exhausted", &[("max_views", "1")])]
    {
        let mut links = Vec::new();
        for _ in 0..IDS {
            let shared = site.share(options).await;
            if group == "burned" {
                site.burn(&shared).await.expect(200);
            }
            if group == "exhausted" {
                site.open_session(&shared, json!({})).await.expect(201);
            }
            links.push(Link { id: shared.id, key: shared.link_key });
        }
        groups.push((group, links));
    }
    site.clock.advance(61 * MINUTE);
    site.chatpic.sweep().await.unwrap();
    for group in ["unknown", "unknown as well"] {
        groups.push((group, (0..IDS).map(|_| Link { id: random(12), key: random(16) }).collect()));
    }

    let mut told = Vec::new();
    for kind in KINDS {
        let mut took = vec![Vec::with_capacity(rounds); groups.len()];
        for round in 0..rounds {
            // Each round asks every group once, in an order of its own.
            let mut order: Vec<usize> = (0..groups.len()).collect();
            order.sort_by_cached_key(|_| entropy.bytes::<4>());
            for group in order {
                let link = &groups[group].1[round % IDS];
                took[group].push(ask(&site, kind, link, &random(16)).await);
            }
        }
        let [ended @ .., unknown, other] = &took[..] else { unreachable!("there are five groups") };
        // Of two groups that don't differ, the chance's standard deviation.
        let deviation = (1.0 / (6.0 * rounds as f64)).sqrt();
        let control = chance(other, unknown);
        let noise = (3.0 * deviation).max((control - 0.5).abs());
        println!("{kind}: two groups of unknown ids {control:.3}, noise {noise:.3}");
        for ((group, _), ended) in groups.iter().zip(ended) {
            let chance = chance(ended, unknown);
            println!("{kind}: {group} {chance:.3}");
            if (chance - 0.5).abs() > TOLD + noise {
                told.push(format!("{kind}: {group} {chance:.3}, with a noise of {noise:.3}"));
            }
        }
    }
    assert_eq!(told, [] as [String; 0], "one request tells them apart");
}
