//! Burning ends everything at once, tells what became of the data, and can be repeated.

use serde_json::json;

use crate::site::Site;

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
