//! Looking at a link, by a person, a bot or a scanner, spends no view and changes nothing.

use axum::http::Method;
use serde_json::{Value, json};

use crate::site::Site;

#[tokio::test]
async fn no_get_or_head_changes_a_share() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "1")]).await;
    let before = site.chatpic.cover(&shared.id.parse().unwrap()).await.unwrap();
    for path in [
        format!("/s/{}", shared.id),
        format!("/d/{}", shared.id),
        format!("/s/{}/view", shared.id),
        format!("/s/{}/images/0", shared.id),
        format!("/api/v1/shares/{}", shared.id),
        format!("/api/v1/shares/{}/sessions", shared.id),
        format!("/api/v1/shares/{}/sessions/current", shared.id),
        format!("/api/v1/shares/{}/images/0", shared.id),
        format!("/api/v1/shares/{}/dashboard", shared.id),
    ] {
        for method in [Method::GET, Method::HEAD] {
            site.call(method, &path, Some(&shared.link_key), Value::Null).await;
        }
    }
    assert_eq!(site.chatpic.cover(&shared.id.parse().unwrap()).await.unwrap(), before);
    site.open_session(&shared, json!({})).await.expect(201);
}

#[tokio::test]
async fn the_uploaders_preview_spends_nothing() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "1")]).await;
    let path = format!("/api/v1/shares/{}/preview", shared.id);
    let preview = site.call(Method::POST, &path, Some(&shared.dashboard_key), Value::Null).await;
    let preview = preview.json();
    assert_eq!(preview["session"], "UPLOADER");
    site.image(&shared, &preview).await.expect(200);
    let dashboard = site.dashboard(&shared).await;
    assert_eq!(dashboard["views"], 0);
    assert_eq!(dashboard["sessions"], json!([]));
    site.open_session(&shared, json!({})).await.expect(201);
}
