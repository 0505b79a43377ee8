//! Burning ends everything at once, tells what became of the data, and can be repeated.

use chatpic_core::testing::faults::Fault;
use serde_json::json;

use crate::site::{MINUTE, Shared, Site};

#[tokio::test]
async fn a_burn_revokes_open_sessions_and_deletes_every_object() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.image(&shared, &session).await.expect(200);
    let objects = site.objects().len();
    assert!(objects > 0);

    let receipt = site.burn(&shared).await.expect(200).json();
    assert_eq!(receipt["objects_deleted"], objects);
    assert_eq!(receipt["objects_pending"], 0);
    assert!(receipt["burned_at"].is_string() && receipt["purged_at"].is_string());
    site.image(&shared, &session).await.expect(401);
    site.open_session(&shared, json!({})).await.expect(404);
    assert_eq!(site.objects().len(), 0);

    assert_eq!(site.burn(&shared).await.expect(200).json(), receipt);
    let dashboard = site.dashboard(&shared).await;
    assert_eq!(dashboard["status"], "burned");
    assert_eq!(dashboard["link"], json!(null));
    assert_eq!(dashboard["blocked"]["after_end"], 1);
}

#[tokio::test]
async fn only_the_dashboard_key_burns() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let path = format!("/api/v1/shares/{}", shared.id);
    let delete = axum::http::Method::DELETE;
    site.call(delete.clone(), &path, Some(&shared.link_key), json!(null)).await.expect(401);
    site.call(delete, &path, None, json!(null)).await.expect(401);
    site.open_session(&shared, json!({})).await.expect(201);
}

#[tokio::test]
async fn a_receipt_tells_what_is_pending_and_that_nobody_can_read_it() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let objects = site.objects().len();
    site.blob_faults.plan(std::iter::repeat(Some(Fault::Fails)));
    let receipt = site.burn(&shared).await.expect(200).json();
    assert_eq!((&receipt["objects_deleted"], &receipt["objects_pending"]), (&json!(0), &json!(objects)));
    assert_eq!((&receipt["keys_destroyed"], &receipt["purged_at"]), (&json!(true), &json!(null)));
    assert!(receipt["burned_at"].is_string());
    assert_eq!(site.objects().len(), objects, "they are really still there");
    assert_eq!(site.dashboard(&shared).await["receipt"], receipt);
    let told = site.dashboard_page(&shared).await;
    assert!(told.contains("nobody can read these images again"), "{told}");
    assert!(told.contains(&format!("{objects} files are still to go")), "{told}");

    site.blob_faults.plan([]);
    site.clock.advance(MINUTE);
    site.chatpic.sweep().await.unwrap();
    let done = site.dashboard(&shared).await["receipt"].clone();
    assert_eq!((&done["objects_deleted"], &done["objects_pending"]), (&json!(objects), &json!(0)));
    assert_eq!(done["burned_at"], receipt["burned_at"]);
    assert!(done["purged_at"].is_string());
    assert_eq!(site.objects().len(), 0);
    assert!(!site.dashboard_page(&shared).await.contains("still to go"));
}

#[tokio::test]
async fn a_receipt_counts_what_was_deleted_before_the_store_failed() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let objects = site.objects();
    // As if one of the deletions had failed.
    for gone in &objects[1..] {
        std::fs::remove_file(gone).unwrap();
    }
    site.blob_faults.plan([Some(Fault::Fails)]);
    let receipt = site.burn(&shared).await.expect(200).json();
    let expected = (json!(objects.len() - 1), json!(1));
    assert_eq!((&receipt["objects_deleted"], &receipt["objects_pending"]), (&expected.0, &expected.1));
    assert_eq!(receipt["purged_at"], json!(null));
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_told_as_done() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let objects = site.objects().len();
    site.blob_faults.plan([Some(Fault::LosesItsAnswer)]);
    let receipt = site.burn(&shared).await.expect(200).json();
    assert_eq!((&receipt["objects_deleted"], &receipt["objects_pending"]), (&json!(objects), &json!(0)));
    assert!(receipt["purged_at"].is_string());
}

/// Asks for a burn while the share store can be read but not written.
async fn burn_unwritten(site: &Site, shared: &Shared) {
    // The uploader is let in and the share is found, but it is not ended; nor is it once its copies are listed.
    let failed = Some(Fault::Fails);
    site.share_faults.plan([None, None, None, failed, None, failed]);
    let failed = site.burn(shared).await.expect(503);
    assert!(failed.headers.contains_key("retry-after"));
    site.share_faults.plan([]);
}

#[tokio::test]
async fn a_burn_that_can_not_destroy_the_keys_refuses_the_share_and_deletes_its_objects() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let objects = site.objects().len();
    burn_unwritten(&site, &shared).await;
    assert_eq!(site.objects().len(), 0);
    site.get(&format!("/api/v1/shares/{}", shared.id), None).await.expect(404);
    site.open_session(&shared, json!({})).await.expect(404);
    site.image(&shared, &session).await.expect(401);
    let dashboard = site.dashboard(&shared).await;
    assert_eq!(dashboard["status"], "burned");
    assert_eq!(dashboard["receipt"]["keys_destroyed"], false, "not yet");
    let pulse = site.chatpic.pulses(&[shared.id.parse().unwrap()]).await.unwrap();
    assert!(pulse[0].sessions_over, "pages are told to blank themselves");

    let receipt = site.burn(&shared).await.expect(200).json();
    assert_eq!((&receipt["keys_destroyed"], &receipt["objects_pending"]), (&json!(true), &json!(0)));
    assert_eq!(receipt["objects_deleted"], objects, "the receipt counts what was deleted before");
}

#[tokio::test]
async fn a_burn_that_could_not_destroy_the_keys_is_completed_by_the_next_sweep() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    burn_unwritten(&site, &shared).await;
    site.clock.advance(MINUTE);
    site.chatpic.sweep().await.unwrap();
    // The row says it, to any node.
    let site = site.restart().await;
    let dashboard = site.dashboard(&shared).await;
    assert_eq!(
        (&dashboard["status"], &dashboard["receipt"]["keys_destroyed"]),
        (&json!("burned"), &json!(true))
    );
    assert!(dashboard["receipt"]["purged_at"].is_string());
    let asked_at = dashboard["receipt"]["burned_at"].as_str().unwrap();
    assert!(
        asked_at < dashboard["receipt"]["purged_at"].as_str().unwrap(),
        "it was burned when it was asked for"
    );
}

#[tokio::test]
async fn after_the_last_view_the_keys_are_not_called_destroyed_before_they_are() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "1")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    assert_eq!(site.dashboard(&shared).await["receipt"]["keys_destroyed"], false);
    assert!(!site.dashboard_page(&shared).await.contains("nobody can read these images again"));
    site.image(&shared, &session).await.expect(200);
    site.clock.advance(11 * MINUTE);
    site.chatpic.sweep().await.unwrap();
    assert_eq!(site.dashboard(&shared).await["receipt"]["keys_destroyed"], true);
    assert!(site.dashboard_page(&shared).await.contains("nobody can read these images again"));
}

#[tokio::test]
async fn the_receipt_of_an_expired_share_waits_for_no_session() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "60")]).await;
    site.open_session(&shared, json!({})).await.expect(201);
    site.clock.advance(MINUTE);
    let told = site.dashboard_page(&shared).await;
    assert!(told.contains("the keys will be destroyed within a minute"), "{told}");
    site.chatpic.sweep().await.unwrap();
    assert!(site.dashboard_page(&shared).await.contains("The keys are destroyed:"));

    let shared = site.share(&[("max_views", "1")]).await;
    site.open_session(&shared, json!({})).await.expect(201);
    let told = site.dashboard_page(&shared).await;
    assert!(told.contains("when the last open session ends"), "{told}");
}
