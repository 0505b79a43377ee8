//! What works without JavaScript: everything that the site is for.

use chatpic_core::AccessPolicy;

use crate::support::{Browser, Kind, Site};

async fn browser() -> Browser {
    Browser::start_as(Kind { without_javascript: true, ..Kind::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploader_extends_previews_and_chooses_how_long_the_ledger_is_kept() {
    let site = Site::start().await;
    let share = site.share(&[(600, 400)], AccessPolicy::default()).await;
    let uploader = browser().await;
    uploader.enter(&share.dashboard).await;
    uploader.there_says("[data-countdown]", "7 days").await;
    uploader.press("#extend-day").await;
    uploader.there_says("[data-countdown]", "8 days").await;

    uploader.press("#preview").await;
    uploader.there_says(".bar .id", "UPLOADER").await;
    assert!(uploader.there(".gallery img").await.rect().await.unwrap().width > 300.0);
    uploader.press(".bar a").await;
    uploader.there_says("#views", "0").await;

    uploader.press("#keep_ledger option[value='2592000']").await;
    uploader.press("form[action$=ledger] button").await;
    uploader.press("#confirm").await;
    uploader.there("#keep_ledger option[value='2592000'][selected]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reports_and_is_told_of_wrong_passwords_and_keys() {
    let site = Site::start().await;
    let password = Some(chatpic_core::Password::new("swordfish"));
    let share = site.share(&[(600, 400)], AccessPolicy { password, ..AccessPolicy::default() }).await;
    let viewer = browser().await;
    viewer.go(&share.link).await;
    viewer.there("#key").await.send_keys("nonsense").await.unwrap();
    viewer.press("#key-form button").await;
    viewer.there_says("h1", "That key does not fit").await;

    viewer.enter(&share.link).await;
    viewer.there("#password").await.send_keys("catfish").await.unwrap();
    viewer.press("#view").await;
    viewer.there_says("#problem", "That is not the password. No view was used; try again.").await;

    viewer.press("a[href$=report]").await;
    viewer.there("#reason").await.send_keys("These images are mine.").await.unwrap();
    viewer.press("form button").await;
    viewer.there_says("h1", "Thank you").await;
    assert_eq!(site.chatpic.reports(10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_says_what_happened_and_leads_back() {
    let site = Site::start().await;
    let text = site.file("notes.jpg", b"no picture at all");
    let uploader = browser().await;
    uploader.go(&site.url).await;
    uploader.choose("#images", &[&text]).await;
    uploader.press("#send").await;
    uploader.there_says("h1", "A file is not a picture that can be shared").await;
    uploader.press("main a.button").await;
    uploader.there("#images").await;
    assert_eq!(site.shares(), 0);
}
