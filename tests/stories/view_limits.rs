//! Never more views than the limit, under any concurrency; the last one is always delivered.

use axum::http::Method;
use chatpic_core::testing::faults::Fault;
use futures::future::join_all;
use serde_json::json;

use crate::site::{MINUTE, Site};

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_get_exactly_the_limit() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "10")]).await;
    let opened = join_all((0..64).map(|_| site.open_session(&shared, json!({})))).await;
    let granted = opened.iter().filter(|answer| answer.status == 201).count();
    let refused = opened.iter().filter(|answer| answer.status == 404).count();
    assert_eq!((granted, refused), (10, 54));
    let mut sessions: Vec<_> = opened
        .iter()
        .filter(|answer| answer.status == 201)
        .map(|answer| answer.json()["session"].to_string())
        .collect();
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 10);
    assert_eq!(site.dashboard(&shared).await["status"], "exhausted");
}

#[tokio::test]
async fn a_last_view_whose_answer_was_lost_is_still_delivered() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "1")]).await;
    let nonce = json!({ "nonce": "MDEyMzQ1Njc4OWFiY2RlZg" });
    let first = site.open_session(&shared, nonce.clone()).await.expect(201).json();
    let again = site.open_session(&shared, nonce.clone()).await.expect(200).json();
    assert_eq!(first["session"], again["session"]);
    assert_eq!(first["token"], again["token"]);
    site.image(&shared, &again).await.expect(200);
    site.open_session(&shared, json!({})).await.expect(404);
    assert_eq!(site.dashboard(&shared).await["views"], 1);
}

#[tokio::test]
async fn a_nonce_is_spent_after_a_minute() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "5")]).await;
    let nonce = json!({ "nonce": "MDEyMzQ1Njc4OWFiY2RlZg" });
    site.open_session(&shared, nonce.clone()).await.expect(201);
    site.clock.advance(MINUTE + MINUTE);
    site.open_session(&shared, nonce).await.expect(409);
    assert_eq!(site.dashboard(&shared).await["views"], 1);
}

#[tokio::test]
async fn a_view_whose_images_never_came_can_be_continued() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "1")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    site.blob_faults.plan(std::iter::repeat(Some(Fault::Fails)));
    // Longer than a session that nobody uses lasts.
    for _ in 0..3 {
        site.clock.advance(5 * MINUTE);
        site.image(&shared, &session).await.expect(503);
        assert_eq!(site.dashboard(&shared).await["sessions"][0]["images_seen"], 0, "nothing was seen");
    }
    site.chatpic.sweep().await.unwrap();
    site.clock.advance(5 * MINUTE);
    let path = format!("/s/{}", shared.id);
    let link = site.enter(&path, &shared.link_key).await;
    let cookies = format!("{link}; chatpic_session={}", session["token"].as_str().unwrap());
    let cover = site.page(Method::GET, &path, &cookies, "").await;
    assert_eq!(cover.expect(303).headers["location"], format!("{path}/view"), "the view goes on");

    site.blob_faults.plan([]);
    site.image(&shared, &session).await.expect(200);
    assert_eq!(site.dashboard(&shared).await["sessions"][0]["images_seen"], 1);
}

#[tokio::test]
async fn the_last_viewer_keeps_the_session_that_was_paid_for() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "1")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    assert_eq!(session["views_left"], 0);
    site.chatpic.sweep().await.unwrap();
    site.clock.advance(5 * MINUTE);
    site.image(&shared, &session).await.expect(200);
    site.clock.advance(10 * MINUTE);
    site.chatpic.sweep().await.unwrap();
    assert_eq!(site.objects().len(), 0);
}

#[tokio::test]
async fn a_limit_survives_a_restart() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "2")]).await;
    site.open_session(&shared, json!({})).await.expect(201);
    let site = site.restart().await;
    site.open_session(&shared, json!({})).await.expect(201);
    site.open_session(&shared, json!({})).await.expect(404);
}

#[tokio::test]
async fn who_comes_too_late_for_the_last_view_is_told_so_if_they_hold_the_key() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "1")]).await;
    let cover = format!("/s/{}", shared.id);
    let loser = site.enter(&cover, &shared.link_key).await;
    site.clock.advance(MINUTE);
    site.open_session(&shared, json!({})).await.expect(201);

    let press = async |cookie: &str| {
        let form = "nonce=AAAAAAAAAAAAAAAAAAAAAA";
        site.page(Method::POST, &format!("{cover}/open"), cookie, form).await.expect(404).text()
    };
    let (late, ended) = ("The last view of this share was used", "This share has ended, or it never was");
    let told = press(&loser).await;
    assert!(told.contains(late), "{told}");
    // The cover of a dead link, a wrong key, and the API say what they say of any ended share.
    assert!(site.page(Method::GET, &cover, &loser, "").await.expect(404).text().contains(ended));
    let stranger = site.enter(&cover, "AAAAAAAAAAAAAAAAAAAAAA").await;
    assert!(press(&stranger).await.contains(ended));
    let unknown = site.get("/api/v1/shares/AAAAAAAAAAAAAAAA", None).await.expect(404).json();
    assert_eq!(site.open_session(&shared, json!({})).await.expect(404).json(), unknown);
    // Who has the right key, but came later, and nobody after a burn.
    site.clock.advance(MINUTE);
    let late_comer = site.enter(&cover, &shared.link_key).await;
    assert!(press(&late_comer).await.contains(ended));
    assert!(press(&loser).await.contains(late));
    site.burn(&shared).await.expect(200);
    assert!(press(&loser).await.contains(ended));
}
