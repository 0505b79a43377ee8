//! Bad input gets a clear answer, in bounded time and memory; nobody can take the site from the others.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header;
use chatpic_core::Limits;
use chatpic_http::{Options, UploadPassword};
use futures::StreamExt;
use futures::stream;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::site::{MINUTE, Site, limits, photograph};

#[tokio::test]
async fn an_address_has_its_uploads_and_opens_within_an_hour() {
    let options = Options { uploads_per_hour: 2, opens_per_hour: 3, ..Options::default() };
    let site = Site::with(options, limits()).await;
    let shared = site.share(&[]).await;
    site.share(&[]).await;
    let refused = site.upload(&[], &[&photograph()]).await.expect(429);
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 3600);
    for _ in 0..3 {
        site.open_session(&shared, json!({})).await.expect(201);
    }
    site.open_session(&shared, json!({})).await.expect(429);
    assert_eq!(site.dashboard(&shared).await["views"], 3, "a refused opening spends nothing");
    site.clock.advance(60 * MINUTE);
    site.open_session(&shared, json!({})).await.expect(201);
    site.share(&[]).await;
}

#[tokio::test]
async fn an_address_has_its_reports_within_an_hour_of_whatever_shares() {
    let site = Site::with(Options { reports_per_hour: 2, ..Options::default() }, limits()).await;
    let shared = site.share(&[]).await;
    let report = async |id: &str| {
        let path = format!("/api/v1/shares/{id}/reports");
        site.call(axum::http::Method::POST, &path, None, json!({ "reason": "look" })).await
    };
    report("AAAAAAAAAAAAAAAA").await.expect(202);
    report(&shared.id).await.expect(202);
    assert!(report(&shared.id).await.expect(429).headers.contains_key("retry-after"));
    report("AAAAAAAAAAAAAAAB").await.expect(429);
    site.clock.advance(60 * MINUTE);
    report(&shared.id).await.expect(202);
}

#[tokio::test]
async fn a_full_store_refuses_uploads_and_nothing_else() {
    let site = Site::with(Options::default(), Limits { max_stored: Some(1), ..limits() }).await;
    let shared = site.share(&[]).await;
    let full = site.upload(&[], &[&photograph()]).await.expect(503);
    assert_eq!(full.json()["type"], "urn:chatpic:problem:full");
    assert!(full.headers.contains_key("retry-after"));
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.image(&shared, &session).await.expect(200);
    site.burn(&shared).await.expect(200);
    site.share(&[]).await;
}

#[tokio::test]
async fn where_uploaders_need_a_password_nobody_else_uploads() {
    let password = Some(UploadPassword::new("let me in"));
    let site = Site::with(Options { upload_password: password, ..Options::default() }, limits()).await;
    for texts in [&[][..], &[("upload_password", "let me out")], &[("upload_password", "")]] {
        let refused = site.upload(texts, &[&photograph()]).await.expect(401);
        assert_eq!(refused.json()["type"], "urn:chatpic:problem:upload-password");
    }
    assert_eq!(site.objects().len(), 0);
    let shared = site.share(&[("upload_password", "let me in")]).await;
    site.open_session(&shared, json!({})).await.expect(201);
}

/// A body of this many chunks that counts how many were taken.
fn counted(chunks: Vec<Bytes>) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let stream = stream::iter(chunks).map(move |chunk| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok::<_, std::io::Error>(chunk)
    });
    (Body::from_stream(stream), taken)
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let site = Site::new().await;
    let megabyte = Bytes::from(vec![0x55; 1024 * 1024]);
    let start = b"--b\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a\"\r\n\r\n<html>";
    let image = std::iter::once(Bytes::from_static(start)).chain(vec![megabyte.clone(); 30]);
    for (kind, chunks, status, key) in [
        ("multipart/form-data; boundary=b", image.collect::<Vec<_>>(), 413, None),
        ("multipart/form-data; boundary=b", vec![megabyte.clone(); 30], 400, None),
        ("application/json", vec![megabyte.clone(); 30], 400, None),
        ("multipart/form-data; boundary=b", vec![megabyte.clone(); 30], 422, Some("short")),
    ] {
        let all = chunks.len();
        let (body, taken) = counted(chunks);
        let mut request = Request::post("/api/v1/shares").header(header::CONTENT_TYPE, kind);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        site.send(request.body(body).unwrap()).await.expect(status);
        assert_eq!(taken.load(Ordering::SeqCst), all, "{kind}: everything was read");
    }
    // Past the request's cap nothing more is read.
    let (body, taken) = counted(vec![megabyte; 300]);
    let request =
        Request::post("/api/v1/shares").header(header::CONTENT_TYPE, "multipart/form-data; boundary=b");
    site.send(request.body(body).unwrap()).await.expect(413);
    assert!(taken.load(Ordering::SeqCst) < 120);
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn keys_that_do_not_parse_are_wrong_and_ids_that_do_not_are_unknown() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    for key in ["", "x", "not base64url!", &"A".repeat(2000), &shared.dashboard_key] {
        let path = format!("/api/v1/shares/{}/sessions", shared.id);
        let wrong = site.call(axum::http::Method::POST, &path, None, json!({ "key": key })).await;
        wrong.expect(401);
        let dashboard = format!("/api/v1/shares/{}/dashboard", shared.id);
        let expected = if key == shared.dashboard_key { 200 } else { 401 };
        site.get(&dashboard, Some(key)).await.expect(expected);
    }
    for id in ["x", "AAAAAAAAAAAAAAAA", "%00", &"A".repeat(500)] {
        site.get(&format!("/api/v1/shares/{id}"), None).await.expect(404);
        let path = format!("/api/v1/shares/{id}/sessions");
        let opened =
            site.call(axum::http::Method::POST, &path, None, json!({ "key": shared.link_key })).await;
        opened.expect(404);
    }
    let path = format!("/api/v1/shares/{}/sessions", shared.id);
    for body in [json!({}), json!([1]), json!({ "key": 5 }), json!({ "key": shared.link_key, "nonce": "!" })]
    {
        site.call(axum::http::Method::POST, &path, None, body).await.expect(400);
    }
    let short = json!({ "nonce": "AAAA" });
    site.open_session(&shared, short).await.expect(422);
    assert_eq!(site.dashboard(&shared).await["views"], 0);
}
