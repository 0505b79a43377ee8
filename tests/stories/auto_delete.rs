//! What ends is deleted by itself; the ledger follows when its own time is up.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use chatpic_core::store::memory::{MemoryBlobs, MemoryShares};
use chatpic_core::testing::ManualClock;
use chatpic_core::{AccessPolicy, BlobStore, ChatPic, Error, InstallationSecret, Invalid, Timestamp};
use chatpic_http::Options;
use futures::StreamExt;
use serde_json::json;
use tower::ServiceExt;

use crate::site::{DAY, MINUTE, Site, photograph};

#[tokio::test]
async fn after_expiry_the_sweep_deletes_images_and_later_the_ledger() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "P1D")]).await;
    site.open_session(&shared, json!({})).await.expect(201);
    site.chatpic.sweep().await.unwrap();
    assert!(!site.objects().is_empty());

    site.clock.advance(DAY);
    let swept = site.chatpic.sweep().await.unwrap();
    assert_eq!((swept.ended, swept.purged, swept.failed), (1, 1, 0));
    assert_eq!(site.objects().len(), 0);
    assert!(site.dashboard(&shared).await["receipt"]["purged_at"].is_string());

    site.clock.advance(90 * DAY);
    assert_eq!(site.chatpic.sweep().await.unwrap().forgotten, 1);
    let path = format!("/api/v1/shares/{}/dashboard", shared.id);
    site.get(&path, Some(&shared.dashboard_key)).await.expect(401);
}

#[tokio::test]
async fn a_router_deletes_what_ended_though_its_host_never_sweeps() {
    let clock = Arc::new(ManualClock::new(Timestamp(1_790_000_000_000)));
    let blobs = MemoryBlobs::default();
    let chatpic = ChatPic::builder(InstallationSecret::from_bytes([42; 32]))
        .stores(Arc::new(MemoryShares::default()), Arc::new(blobs.clone()))
        .clock(clock.clone())
        .sweep_every(Some(Duration::from_millis(5)));
    let chatpic = chatpic.build().await.unwrap();
    let mut upload = chatpic.upload(None).unwrap();
    upload.add(photograph()).await.unwrap();
    let policy = AccessPolicy { expires_in: Some(MINUTE), ..AccessPolicy::default() };
    upload.commit(policy).await.unwrap();
    let router = chatpic_http::router(chatpic, Options::default());
    clock.advance(MINUTE);
    let deleted = async {
        while blobs.folders().count().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MINUTE, deleted).await.expect("nobody swept");
    let ready = Request::get("/readyz").body(Body::empty()).unwrap();
    assert_eq!(router.clone().oneshot(ready).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_site_that_is_not_swept_says_so() {
    let site = Site::new().await;
    site.get("/readyz", None).await.expect(200);
    site.clock.advance(2 * MINUTE);
    let told = site.get("/readyz", None).await.expect(503).text();
    assert!(told.contains("no sweep has run for 120 seconds"), "{told}");
    site.chatpic.sweep_due().await.unwrap();
    site.get("/readyz", None).await.expect(200);
}

#[tokio::test]
async fn a_ledger_of_zero_days_goes_with_the_images() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let path = format!("/api/v1/shares/{}", shared.id);
    let keep = json!({ "keep_ledger": 0 });
    site.call(Method::PATCH, &path, Some(&shared.dashboard_key), keep).await.expect(200);
    site.burn(&shared).await.expect(200);
    site.chatpic.sweep().await.unwrap();
    let path = format!("/api/v1/shares/{}/dashboard", shared.id);
    site.get(&path, Some(&shared.dashboard_key)).await.expect(401);
}

#[tokio::test]
async fn an_upload_given_up_leaves_nothing_past_the_sweep() {
    let site = Site::new().await;
    let mut upload = site.chatpic.upload(None).unwrap();
    upload.add(photograph()).await.unwrap();
    drop(upload);
    assert!(!site.objects().is_empty());
    site.chatpic.sweep().await.unwrap();
    assert!(!site.objects().is_empty(), "an upload may still be under way");
    site.clock.advance(61 * MINUTE);
    assert!(site.chatpic.sweep().await.unwrap().orphans > 0);
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn an_upload_that_the_sweep_may_take_makes_no_share() {
    let site = Site::new().await;
    let mut upload = site.chatpic.upload(None).unwrap();
    upload.add(photograph()).await.unwrap();
    site.clock.advance(61 * MINUTE);
    site.chatpic.sweep().await.unwrap();
    let late = upload.commit(AccessPolicy::default()).await;
    assert!(matches!(late, Err(Error::Invalid(Invalid::TooSlow))), "a share without its images was made");
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn a_sweep_leaves_active_shares_alone() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    site.clock.advance(2 * 60 * MINUTE);
    site.chatpic.sweep().await.unwrap();
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.image(&shared, &session).await.expect(200);
}
