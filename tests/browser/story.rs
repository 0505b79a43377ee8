//! From two photographs to a traced leak.

use std::time::Duration;

use crate::support::{Browser, Site};

#[tokio::test(flavor = "multi_thread")]
async fn from_two_photographs_to_a_traced_leak() {
    let site = Site::start().await;
    let uploader = Browser::start().await;
    uploader.go(&site.url).await;
    let first = site.photograph("harbour.jpg", 1200, 800, 1);
    let second = site.photograph("garden.jpg", 900, 1200, 2);
    uploader.choose("#images", &[&first, &second]).await;
    uploader.write("#max_views", "3").await;
    uploader.click("#send").await;
    uploader.see("#result").await;
    let link = uploader.value("#link").await;
    let dashboard = uploader.value("#dashboard").await;
    uploader.click("[data-copy=dashboard]").await;

    uploader.go(&dashboard).await;
    uploader.see_text("#status-word", "not opened yet").await;

    let viewer = Browser::start().await;
    viewer.go(&link).await;
    viewer.see_text("h1", "2 images").await;
    viewer.click("#view").await;
    viewer.see(".gallery img").await;
    let id = viewer.see(".id").await.text().await.unwrap();
    assert!(id.starts_with("ID:") && id.len() == 11, "{id}");
    let loaded = viewer.run("return [...document.querySelectorAll('.gallery img')].filter((i) => i.complete && i.naturalWidth > 0).length").await;
    assert_eq!(loaded, 2);
    let leak = site.file("leak.png", &viewer.screenshot().await);

    uploader.see_text("#views", "1").await;
    uploader.see_text("td code", &id).await;
    uploader.click("#burn-ask").await;
    uploader.click("#burn").await;
    uploader.see_text("#status-word", "burned").await;
    viewer.see_within("#over", Duration::from_secs(2)).await;
    viewer.see_no(".gallery img").await;

    uploader.choose("#leak", &[&leak]).await;
    uploader.click("#trace-form button.primary").await;
    uploader.see_text("#trace-result", &id).await;
    viewer.expect_a_quiet_console().await;
    uploader.expect_a_quiet_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_browser_outlives_its_test() {
    let browser = Browser::start().await;
    let profile = browser.profile().to_owned();
    let running = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&profile)).count()
    };
    assert!(running() > 0, "the browser runs");
    drop(browser);
    assert_eq!(running(), 0, "nothing of it is left");
}
