//! Tracing a leak from the dashboard.

use chatpic_core::{AccessPolicy, Opening};

use crate::support::{Browser, Kind, Share, Site};

/// A viewer in Germany and the copy that they were served of an image.
async fn leak(site: &Site, share: &Share, image: usize) -> (String, std::path::PathBuf) {
    let id = &share.made.share_id;
    let access = site.chatpic.link_access(id, &share.made.link_key);
    let opening = Opening { country: "DE".parse().ok(), ..Opening::default() };
    let opened = site.chatpic.open(id, &access, opening).await.unwrap();
    let copy = site.chatpic.image(id, &opened.token, image, None).await.unwrap();
    (opened.session.label(), site.file("leak.jpg", &copy.bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_shows_how_far_it_is_can_be_cancelled_and_says_in_words_what_it_found() {
    let site = Site::start().await;
    let share = site.share(&[(1200, 800); 5], AccessPolicy::default()).await;
    let (id, leaked) = leak(&site, &share, 1).await;
    let foreign = site.photograph("somewhere-else.jpg", 1200, 800, 99);
    let uploader = Browser::start().await;
    uploader.go(&share.dashboard).await;

    uploader.choose("#leak", &[&foreign]).await;
    uploader.see_text("#trace-drop", "somewhere-else.jpg").await;
    uploader.click("#trace-button").await;
    uploader.see("#trace-progress").await;
    uploader.see_text("#trace-status", "Looking for the mark").await;
    uploader.see_true("document.getElementById('trace-progress').value > 0").await;
    assert_eq!(uploader.run("return document.activeElement.id").await, "trace-cancel");
    uploader.click("#trace-cancel").await;
    uploader.see_text("#trace-status", "Cancelled").await;
    uploader.see_no("#trace-progress").await;
    assert_eq!(uploader.run("return document.activeElement.id").await, "trace-button");

    uploader.choose("#leak", &[&leaked]).await;
    uploader.click("#trace-button").await;
    uploader.see_text("#trace-result h3", &format!("This copy was shown to {id}")).await;
    for words in ["from Germany", "copy of image 2", "An innocent session would look like this", "comparison"]
    {
        uploader.see_text("#trace-result", words).await;
    }
    uploader.see_text("#trace-result", "Read from the invisible mark in the picture alone").await;
    uploader.see_text("#trace-result", "not a person").await;
    uploader.see_text("#trace-status", "Done").await;
    uploader.see_no("#trace-cancel").await;

    uploader.choose("#leak", &[&foreign]).await;
    uploader.click("#trace-button").await;
    uploader.see_text("#trace-result h3", "No match").await;
    uploader.see_text("#trace-result", "nobody’s innocence").await;
    uploader.expect_a_quiet_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_is_told_beside_the_trace() {
    let site = Site::start().await;
    let share = site.share(&[(600, 400)], AccessPolicy::default()).await;
    let text = site.file("notes.jpg", b"no picture at all");
    let uploader = Browser::start().await;
    uploader.go(&share.dashboard).await;
    uploader.choose("#leak", &[&text]).await;
    uploader.click("#trace-button").await;
    uploader.see_text("#trace-status", "Save it as JPEG").await;
    uploader.see_no("#trace-progress").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_works_without_javascript_with_the_original_too() {
    let site = Site::start().await;
    let picture = site.landscape("original.jpg", 900, 600, 0);
    let share = site.share(&[(900, 600)], AccessPolicy::default()).await;
    let (id, leaked) = leak(&site, &share, 0).await;
    let uploader = Browser::start_as(Kind { without_javascript: true, ..Kind::default() }).await;
    uploader.enter(&share.dashboard).await;
    uploader.choose("#leak", &[&leaked]).await;
    uploader.press("#trace details summary").await;
    uploader.choose("#original", &[&picture]).await;
    uploader.press("#trace-button").await;
    let result = uploader.there("#trace-result .found").await.text().await.unwrap();
    assert!(result.contains(&format!("This copy was shown to {id}")), "{result}");
    assert!(result.contains(" UTC from Germany"), "{result}");
    assert!(result.contains("invisible mark"), "{result}");
}
