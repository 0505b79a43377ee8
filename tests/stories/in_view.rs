//! A view that was spent lasts as long as somebody looks, up to the hour.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, header};
use chatpic_core::Limits;
use chatpic_http::Options;
use serde_json::{Value, json};

use crate::site::{Answer, MINUTE, Shared, Site, limits};

/// Says that a session is in view.
async fn see(site: &Site, shared: &Shared, session: &Value) -> Answer {
    let path = format!("/api/v1/shares/{}/sessions/current/seen", shared.id);
    site.call(Method::POST, &path, session["token"].as_str(), Value::Null).await
}

async fn current(site: &Site, shared: &Shared, session: &Value) -> Answer {
    site.get(&format!("/api/v1/shares/{}/sessions/current", shared.id), session["token"].as_str()).await
}

#[tokio::test]
async fn what_is_in_view_goes_on_up_to_the_hour_and_asking_does_not_count() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "1")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    for minute in 1..=59 {
        site.clock.advance(MINUTE);
        let seen = see(&site, &shared, &session).await.expect(200).json();
        assert_eq!(seen["session"], session["session"]);
        assert_eq!(seen["seconds_left"], 60 * (60 - minute).min(10), "after {minute} minutes");
    }
    site.clock.advance(MINUTE);
    see(&site, &shared, &session).await.expect(401);

    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.clock.advance(9 * MINUTE);
    assert_eq!(current(&site, &shared, &session).await.expect(200).json()["seconds_left"], 60);
    site.clock.advance(MINUTE);
    current(&site, &shared, &session).await.expect(401);
}

#[tokio::test]
async fn activity_is_its_own_sessions_and_is_written_at_most_every_twenty_seconds() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let bystander = site.open_session(&shared, json!({})).await.expect(201).json();
    for (seconds, left) in [(19, 581), (1, 600), (19, 581), (1, 600)] {
        site.clock.advance(Duration::from_secs(seconds));
        let seen = see(&site, &shared, &session).await.expect(200).json();
        assert_eq!(seen["seconds_left"], left);
    }
    assert_eq!(current(&site, &shared, &bystander).await.expect(200).json()["seconds_left"], 560);
}

#[tokio::test]
async fn an_extension_prolongs_open_sessions_and_an_expiry_ends_them() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "120")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    assert_eq!(session["seconds_left"], 120);
    let extend = format!("/api/v1/shares/{}/extend", shared.id);
    site.call(Method::POST, &extend, Some(&shared.dashboard_key), json!({ "extend_by": 60 }))
        .await
        .expect(200);
    assert_eq!(current(&site, &shared, &session).await.expect(200).json()["seconds_left"], 180);
    site.clock.advance(Duration::from_secs(179));
    see(&site, &shared, &session).await.expect(200);
    site.clock.advance(Duration::from_secs(1));
    see(&site, &shared, &session).await.expect(401);
}

#[tokio::test]
async fn a_pages_session_lives_in_a_cookie_until_its_end() {
    let site =
        Site::with(Options::default(), Limits { session_idle: Duration::from_secs(90), ..limits() }).await;
    let shared = site.share(&[]).await;
    let cover = format!("/s/{}", shared.id);
    let access = site.enter(&cover, &shared.link_key).await;
    let shown = site.page(Method::GET, &cover, &access, "").await.expect(200);
    assert!(shown.text().contains("you can look for up to 1 hour"), "{}", shown.text());
    let open = format!("{cover}/open");
    let opened = site.page(Method::POST, &open, &access, "nonce=AAAAAAAAAAAAAAAAAAAAAA").await.expect(303);
    let (session, life) = opened.set_cookie();
    assert!(life.contains("Max-Age=90;"), "{life}");

    site.clock.advance(Duration::from_secs(50));
    let asked = site.page(Method::GET, &format!("{cover}/current"), &session, "").await.expect(200);
    assert!(asked.set_cookie().1.contains("Max-Age=40;"));
    let view = format!("{cover}/view");
    let view = site.page(Method::GET, &view, &session, "").await.expect(200);
    assert!(view.text().contains("data-seen-every=\"30000\""));
    let seen = site.page(Method::POST, &format!("{cover}/seen"), &session, "").await.expect(200);
    assert_eq!(seen.json()["seconds_left"], 90);
    assert!(seen.set_cookie().1.contains("Max-Age=90;"));
    site.clock.advance(Duration::from_secs(90));
    let seen = site.page(Method::POST, &format!("{cover}/seen"), &session, "").await.expect(200);
    assert_eq!(seen.json()["seconds_left"], 0);
}

#[tokio::test]
async fn a_foreign_page_prolongs_no_session() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let request = Request::post(format!("/s/{}/seen", shared.id))
        .header(header::HOST, "chatpic.test")
        .header(header::COOKIE, format!("chatpic_session={}", session["token"].as_str().unwrap()))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    site.send(request.body(Body::from("token=guessed")).unwrap()).await.expect(403);
}

#[tokio::test]
async fn the_cookies_of_keys_end_an_hour_after_their_last_use() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    for (page_path, key, heading) in [
        (format!("/s/{}", shared.id), &shared.link_key, "1 image for you"),
        (format!("/d/{}", shared.id), &shared.dashboard_key, "Your share"),
    ] {
        let first = site.enter(&page_path, key).await;
        site.clock.advance(59 * MINUTE);
        let shown = site.page(Method::GET, &page_path, &first, "").await.expect(200);
        assert!(shown.text().contains(heading));
        let (renewed, life) = shown.set_cookie();
        assert!(!life.contains("Max-Age"), "it ends with the browser: {life}");
        site.clock.advance(59 * MINUTE);
        let shown = site.page(Method::GET, &page_path, &renewed, "").await.expect(200);
        assert!(shown.text().contains(heading));
        let shown = site.page(Method::GET, &page_path, &first, "").await.expect(200);
        assert!(!shown.text().contains(heading), "the first was good for an hour only");
    }
}
