//! A password keeps strangers out, spends no view when wrong, and can't be guessed quickly.

use serde_json::json;

use crate::site::{MINUTE, Site};

#[tokio::test]
async fn only_the_right_password_opens() {
    let site = Site::new().await;
    let shared = site.share(&[("password", "caf\u{e9} 42"), ("max_views", "1")]).await;
    assert_eq!(shared.answer["password_required"], true);
    site.open_session(&shared, json!({})).await.expect(401);
    site.open_session(&shared, json!({ "password": "" })).await.expect(401);
    site.open_session(&shared, json!({ "password": "cafe 42" })).await.expect(401);
    site.open_session(&shared, json!({ "password": "cafe\u{301} 42" })).await.expect(201);
    let dashboard = site.dashboard(&shared).await;
    assert_eq!(dashboard["blocked"]["wrong_password"], 1);
    assert_eq!(dashboard["views"], 1);
}

#[tokio::test]
async fn ten_wrong_ones_and_then_a_wait() {
    let site = Site::new().await;
    let shared = site.share(&[("password", "right")]).await;
    for _ in 0..10 {
        site.open_session(&shared, json!({ "password": "wrong" })).await.expect(401);
    }
    let throttled = site.open_session(&shared, json!({ "password": "right" })).await.expect(429);
    assert_eq!(throttled.headers["retry-after"], "600");
    site.clock.advance(11 * MINUTE);
    site.open_session(&shared, json!({ "password": "right" })).await.expect(201);
    let dashboard = site.dashboard(&shared).await;
    assert_eq!(dashboard["blocked"]["wrong_password"], 10);
    assert_eq!(dashboard["blocked"]["throttled"], 1);
}

#[tokio::test]
async fn a_wrong_link_key_is_refused_before_any_password() {
    let site = Site::new().await;
    let shared = site.share(&[("password", "right")]).await;
    let other = site.share(&[]).await;
    for _ in 0..20 {
        let wrong = json!({ "key": other.link_key, "password": "right" });
        site.open_session(&shared, wrong).await.expect(401);
    }
    site.open_session(&shared, json!({ "password": "right" })).await.expect(201);
    assert_eq!(site.dashboard(&shared).await["blocked"]["wrong_password"], 0);
}
