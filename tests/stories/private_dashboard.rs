//! The uploader sees who came, without any viewer's address; nobody else sees anything.

use serde_json::json;

use crate::site::{MINUTE, Site};

#[tokio::test]
async fn it_tells_of_views_and_sessions() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "5")]).await;
    let fresh = site.dashboard(&shared).await;
    assert_eq!((&fresh["status"], &fresh["views"]), (&json!("active"), &json!(0)));
    let first = site.open_session(&shared, json!({})).await.expect(201).json();
    site.image(&shared, &first).await.expect(200);
    site.clock.advance(MINUTE);
    let second = site.open_session(&shared, json!({})).await.expect(201).json();
    assert_eq!(second["views_before"], 1);

    let dashboard = site.dashboard(&shared).await;
    assert_eq!(dashboard["views"], 2);
    assert_eq!(dashboard["views_left"], 3);
    assert_eq!(dashboard["image_count"], 1);
    assert_eq!(dashboard["sessions"][0]["session"], second["session"]);
    assert_eq!(dashboard["sessions"][1]["session"], first["session"]);
    assert_eq!(dashboard["sessions"][1]["images_seen"], 1);
    assert_eq!(dashboard["timeline"].as_array().unwrap().len(), 2);
    assert!(dashboard["link"].as_str().unwrap().ends_with(&format!("/s/{}#{}", shared.id, shared.link_key)));
    assert!(!dashboard.to_string().contains("192.0.2.7"));
}

#[tokio::test]
async fn it_opens_only_with_its_own_key() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let other = site.share(&[]).await;
    let path = format!("/api/v1/shares/{}/dashboard", shared.id);
    site.get(&path, None).await.expect(401);
    site.get(&path, Some(&shared.link_key)).await.expect(401);
    site.get(&path, Some(&other.dashboard_key)).await.expect(401);
    site.get(&path, Some(&shared.dashboard_key)).await.expect(200);
}
