//! A link stops working when its time is up, and not before.

use std::time::Duration;

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

#[tokio::test]
async fn a_dashboard_offers_the_steps_that_fit_and_the_last_goes_as_far_as_possible() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "P28DT12H")]).await;
    let offered = async || {
        let page = site.dashboard_page(&shared).await;
        ["extend-hour", "extend-day", "extend-week", "extend-most"].map(|step| page.contains(step))
    };
    assert_eq!(offered().await, [true, true, false, true], "a week would go too far");

    let path = format!("/d/{}", shared.id);
    let cookie = site.enter(&path, &shared.dashboard_key).await;
    let press = async |step: &str| {
        let form = format!("extend_by={step}");
        site.page(Method::POST, &format!("{path}/extend"), &cookie, &form).await.expect(303);
        site.dashboard(&shared).await["seconds_left"].as_u64().unwrap()
    };
    // What fits when the page is made still fits when the button is pressed.
    site.clock.advance(Duration::from_millis(90_500));
    assert_eq!(press("P1D").await, 29 * 86_400 + 12 * 3600 - 91);
    assert_eq!(press("most").await, 30 * 86_400 - 1, "whole seconds");
    assert_eq!(press("most").await, 30 * 86_400 - 1, "once more is no error");
    assert_eq!(offered().await, [false; 4]);
    assert!(site.dashboard_page(&shared).await.contains("can’t be extended any further"));
    site.clock.advance(MINUTE);
    assert_eq!(offered().await, [false, false, false, true]);
    assert_eq!(press("most").await, 30 * 86_400 - 1);
}
