//! A link stops working when its time is up, and not before.

use axum::http::Method;
use serde_json::json;

use crate::site::{DAY, MINUTE, Site};

#[tokio::test]
async fn a_share_ends_at_the_chosen_instant() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "PT1H")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.clock.advance(59 * MINUTE);
    site.open_session(&shared, json!({})).await.expect(201);

    site.clock.advance(MINUTE);
    site.open_session(&shared, json!({})).await.expect(404);
    site.get(&format!("/api/v1/shares/{}", shared.id), None).await.expect(404);
    site.image(&shared, &session).await.expect(401);
    assert_eq!(site.dashboard(&shared).await["status"], "expired");
}

#[tokio::test]
async fn without_a_choice_it_is_seven_days() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "")]).await;
    site.clock.advance(7 * DAY - MINUTE);
    site.open_session(&shared, json!({})).await.expect(201);
    site.clock.advance(MINUTE);
    site.open_session(&shared, json!({})).await.expect(404);
}

#[tokio::test]
async fn a_session_never_outlives_the_share() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "300")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    assert_eq!(session["seconds_left"], 300);
}

#[tokio::test]
async fn a_session_ends_ten_minutes_after_its_last_image_and_after_an_hour_at_most() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    for _ in 0..6 {
        site.clock.advance(9 * MINUTE);
        site.image(&shared, &session).await.expect(200);
    }
    site.clock.advance(6 * MINUTE);
    site.image(&shared, &session).await.expect(401);

    let idle = site.open_session(&shared, json!({})).await.expect(201).json();
    site.clock.advance(5 * MINUTE);
    let current = format!("/api/v1/shares/{}/sessions/current", shared.id);
    site.get(&current, idle["token"].as_str()).await.expect(200);
    site.clock.advance(5 * MINUTE);
    site.get(&current, idle["token"].as_str()).await.expect(401);
}

#[tokio::test]
async fn extending_moves_the_end_and_never_revives() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "3600")]).await;
    let path = format!("/api/v1/shares/{}/extend", shared.id);
    let extend = |by: serde_json::Value| {
        site.call(Method::POST, &path, Some(&shared.dashboard_key), json!({ "extend_by": by }))
    };
    extend(json!("PT1H")).await.expect(200);
    extend(json!("P31D")).await.expect(422);
    extend(json!(-5)).await.expect(422);
    site.clock.advance(90 * MINUTE);
    site.open_session(&shared, json!({})).await.expect(201);
    site.clock.advance(30 * MINUTE);
    extend(json!(3600)).await.expect(409);
    site.open_session(&shared, json!({})).await.expect(404);
}

#[tokio::test]
async fn an_ended_link_answers_as_one_that_never_was() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    site.burn(&shared).await.expect(200);
    let unknown = "AAAAAAAAAAAAAAAA";
    let ended = site.get(&format!("/api/v1/shares/{}", shared.id), None).await.expect(404);
    let never = site.get(&format!("/api/v1/shares/{unknown}"), None).await.expect(404);
    assert_eq!(ended.text().replace(&shared.id, unknown), never.text());
    let wrong = site.get(&format!("/api/v1/shares/{}/dashboard", shared.id), Some("wrong")).await.expect(401);
    let never = site.get(&format!("/api/v1/shares/{unknown}/dashboard"), Some("wrong")).await.expect(401);
    assert_eq!(wrong.text().replace(&shared.id, unknown), never.text());
}
