//! What an operator has: reports, metrics, health.

use axum::http::Method;
use chatpic_core::testing::faults::Fault;
use chatpic_http::Options;
use serde_json::json;

use crate::site::{DAY, Site, limits};

#[tokio::test]
async fn a_report_reaches_the_operator_with_the_link_if_its_key_is_right() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let report = async |id: &str, body: serde_json::Value| {
        site.call(Method::POST, &format!("/api/v1/shares/{id}/reports"), None, body).await
    };
    report(&shared.id, json!({ "reason": "not theirs to show" })).await.expect(202);
    site.clock.advance(DAY / 24);
    report(&shared.id, json!({ "reason": "look", "key": shared.link_key })).await.expect(202);
    site.clock.advance(DAY / 24);
    report(&shared.id, json!({ "reason": "guess", "key": shared.dashboard_key })).await.expect(202);
    for unknown in ["AAAAAAAAAAAAAAAA", "nonsense"] {
        report(unknown, json!({ "reason": "anything" })).await.expect(202);
    }
    report(&shared.id, json!({ "reason": " " })).await.expect(422);
    report(&shared.id, json!({ "reason": "x".repeat(2001) })).await.expect(422);
    report(&shared.id, json!({})).await.expect(400);

    let reports = site.chatpic.reports(10).await.unwrap();
    let told: Vec<_> =
        reports.iter().map(|r| (r.reason.as_str(), r.link_key.as_ref().map(|key| key.reveal()))).collect();
    let key = Some(shared.link_key.clone());
    assert_eq!(told, [("guess", None), ("look", key), ("not theirs to show", None)]);
    for _ in 0..30 {
        report(&shared.id, json!({ "reason": "again" })).await.expect(202);
    }
    assert_eq!(site.chatpic.reports(100).await.unwrap().len(), 20, "more are dropped");
    // Past what one address may report within an hour.
    site.clock.advance(DAY / 24);
    for _ in 0..30 {
        report(&shared.id, json!({ "reason": "look", "key": shared.link_key })).await.expect(202);
    }
    let reports = site.chatpic.reports(100).await.unwrap();
    assert_eq!(reports.len(), 40, "those with the link have places that nobody else can take");
}

#[tokio::test]
async fn metrics_tell_of_routes_and_never_of_shares() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.image(&shared, &session).await.expect(200);
    site.get("/no/such/page", None).await.expect(404);
    let metrics = site.get("/metrics", None).await.expect(200).text();
    for line in [
        "chatpic_requests_total{method=\"POST\",route=\"/api/v1/shares\",status=\"201\"} 1",
        "chatpic_requests_total{method=\"GET\",route=\"/api/v1/shares/{id}/images/{index}\",status=\"200\"} 1",
        "chatpic_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1",
        "chatpic_answer_seconds_bucket",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    for secret in [&shared.id, &shared.link_key, &shared.dashboard_key] {
        assert!(!metrics.contains(secret.as_str()));
    }
    assert!(!metrics.contains("192.0.2.7"));
    site.get("/healthz", None).await.expect(200);
    site.get("/readyz", None).await.expect(200);
    let hidden = Site::with(Options { metrics: false, ..Options::default() }, limits()).await;
    hidden.get("/metrics", None).await.expect(404);
}

#[tokio::test]
async fn all_sessions_come_as_csv() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let mut opened = Vec::new();
    for _ in 0..3 {
        opened.push(site.open_session(&shared, json!({})).await.expect(201).json());
        site.clock.advance(DAY / 24);
    }
    let path = format!("/api/v1/shares/{}/sessions.csv", shared.id);
    site.get(&path, Some(&shared.link_key)).await.expect(401);
    let answer = site.get(&path, Some(&shared.dashboard_key)).await.expect(200);
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    let text = answer.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "session,opened_at,country,device,images_seen");
    assert_eq!(lines.len(), 4);
    for (line, session) in lines[1..].iter().zip(opened.iter().rev()) {
        assert!(
            line.starts_with(session["session"].as_str().unwrap()) && line.ends_with(",,unknown,0"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn while_a_store_is_down_everybody_is_told_to_come_again_and_readiness_names_it() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let down = || std::iter::repeat(Some(Fault::Fails));
    let unavailable = |answer: crate::site::Answer| {
        let answer = answer.expect(503);
        assert!(answer.headers.contains_key("retry-after"));
        answer.text()
    };
    site.share_faults.plan(down());
    unavailable(site.upload(&[], &[&crate::site::photograph()]).await);
    unavailable(site.open_session(&shared, json!({})).await);
    unavailable(site.image(&shared, &session).await);
    unavailable(site.get(&format!("/api/v1/shares/{}", shared.id), None).await);
    unavailable(site.burn(&shared).await);
    assert!(unavailable(site.get("/readyz", None).await).contains("the shares (faulty)"));
    site.get("/healthz", None).await.expect(200);

    site.share_faults.plan([]);
    site.blob_faults.plan(down());
    unavailable(site.upload(&[], &[&crate::site::photograph()]).await);
    unavailable(site.image(&shared, &session).await);
    site.open_session(&shared, json!({})).await.expect(201);
    assert!(unavailable(site.get("/readyz", None).await).contains("the images (faulty)"));

    site.share_faults.plan(down());
    let both = unavailable(site.get("/readyz", None).await);
    assert!(both.contains("the shares") && both.contains("the images"), "{both}");

    site.share_faults.plan([]);
    site.blob_faults.plan([]);
    site.get("/readyz", None).await.expect(200);
    site.image(&shared, &session).await.expect(200);
    assert_eq!(site.dashboard(&shared).await["views"], 2);
}

#[tokio::test]
async fn a_mistyped_path_is_no_ended_share() {
    let site = Site::new().await;
    let told = site.get("/nothing", None).await.expect(404).text();
    assert!(told.contains("There is no such page") && !told.contains("This share has ended"), "{told}");
    let told = site.get("/api/v1/nothing", None).await.expect(404).json();
    assert_eq!((&told["type"], &told["status"]), (&json!("urn:chatpic:problem:no-such-page"), &json!(404)));
}
