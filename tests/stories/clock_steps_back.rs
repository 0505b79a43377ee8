//! A clock that steps back revives nothing, grants nothing twice and deletes nothing early.

use axum::http::Method;
use chatpic_core::AccessPolicy;
use serde_json::json;

use crate::site::{DAY, MINUTE, Site, photograph};

#[tokio::test]
async fn what_has_ended_stays_ended() {
    let site = Site::new().await;
    let expired = site.share(&[("expires_in", "P1D")]).await;
    let burned = site.share(&[]).await;
    let exhausted = site.share(&[("max_views", "1")]).await;
    site.clock.advance(DAY);
    site.burn(&burned).await.expect(200);
    site.open_session(&exhausted, json!({})).await.expect(201);
    site.chatpic.sweep().await.unwrap();
    site.clock.step_back(DAY / 2);
    site.chatpic.sweep().await.unwrap();
    for (shared, status) in [(&expired, "expired"), (&burned, "burned"), (&exhausted, "exhausted")] {
        site.open_session(shared, json!({})).await.expect(404);
        assert_eq!(site.dashboard(shared).await["status"], status);
        let (path, more) = (format!("/api/v1/shares/{}/extend", shared.id), json!({ "extend_by": 3600 }));
        site.call(Method::POST, &path, Some(&shared.dashboard_key), more).await.expect(409);
    }
}

#[tokio::test]
async fn what_was_seen_to_expire_stays_expired_before_any_sweep() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "P1D")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let cover = format!("/api/v1/shares/{}", shared.id);
    site.clock.advance(DAY);
    site.get(&cover, None).await.expect(404);
    site.clock.step_back(DAY);
    let is_over = async |site: &Site| {
        site.get(&cover, None).await.expect(404);
        site.open_session(&shared, json!({})).await.expect(404);
        site.image(&shared, &session).await.expect(401);
        assert_eq!(site.dashboard(&shared).await["status"], "expired");
    };
    is_over(&site).await;
    // After the next sweep other nodes know it too.
    site.chatpic.sweep().await.unwrap();
    is_over(&site.restart().await).await;
}

#[tokio::test]
async fn the_view_limit_and_the_cap_of_wrong_passwords_hold() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "3"), ("password", "open sesame")]).await;
    let open = async |password: &str| site.open_session(&shared, json!({ "password": password })).await;
    for _ in 0..3 {
        open("open sesame").await.expect(201);
        site.clock.step_back(60 * MINUTE);
    }
    open("open sesame").await.expect(404);
    assert_eq!(site.dashboard(&shared).await["views"], 3);

    let other = site.share(&[("password", "open sesame")]).await;
    let open = async |password: &str| site.open_session(&other, json!({ "password": password })).await;
    for _ in 0..10 {
        open("wrong").await.expect(401);
        site.clock.step_back(MINUTE);
    }
    open("open sesame").await.expect(429);
}

#[tokio::test]
async fn a_session_goes_on_and_ends_in_its_time() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.clock.step_back(60 * MINUTE);
    site.chatpic.sweep().await.unwrap();
    site.image(&shared, &session).await.expect(200);
    site.clock.advance(2 * 60 * MINUTE);
    site.image(&shared, &session).await.expect(401);
}

#[tokio::test]
async fn an_upload_under_way_is_kept() {
    let site = Site::new().await;
    let mut upload = site.chatpic.upload(None).unwrap();
    upload.add(photograph()).await.unwrap();
    site.clock.step_back(30 * MINUTE);
    site.chatpic.sweep().await.unwrap();
    let created = upload.commit(AccessPolicy::default()).await.unwrap();
    site.chatpic.sweep().await.unwrap();
    let link = site.chatpic.link_access(&created.share_id, &created.link_key);
    let opened = site.chatpic.open(&created.share_id, &link, Default::default()).await.unwrap();
    site.chatpic.image(&created.share_id, &opened.token, 0, None).await.unwrap();
}
