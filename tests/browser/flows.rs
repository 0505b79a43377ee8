//! What uploaders and viewers do, one promise a test.

use std::path::Path;
use std::time::Duration;

use chatpic_core::{AccessPolicy, Password};
use thirtyfour::prelude::*;

use crate::support::{Browser, Kind, Site, Wire};

const BLANK_WITHIN: Duration = Duration::from_secs(2);

fn views(limit: u32) -> AccessPolicy {
    AccessPolicy { max_views: Some(limit), ..AccessPolicy::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_spends_nothing_and_the_right_one_opens() {
    let site = Site::start().await;
    let policy = AccessPolicy { password: Some(Password::new("swordfish")), ..views(1) };
    let share = site.share(&[(600, 400)], policy).await;
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.write("#password", "catfish").await;
    viewer.click("#view").await;
    viewer.see_text("#problem", "No view was used").await;
    viewer.write("#password", "swordfish").await;
    viewer.click("#view").await;
    viewer.see_loaded(".gallery img").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_wrong_passwords_say_how_long_to_wait() {
    let site = Site::start().await;
    let policy = AccessPolicy { password: Some(Password::new("swordfish")), ..views(3) };
    let share = site.share(&[(600, 400)], policy).await;
    site.guess_until_throttled(&share).await;
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.write("#password", "swordfish").await;
    viewer.click("#view").await;
    viewer.see_text("#problem", "Wait").await;
    site.clock.advance(site.chatpic.limits().wrong_password_window + Duration::from_secs(1));
    viewer.write("#password", "swordfish").await;
    viewer.click("#view").await;
    viewer.see_loaded(".gallery img").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_profiles_at_once_one_gets_the_last_view() {
    let site = Site::start().await;
    let share = site.share(&[(600, 400)], views(1)).await;
    let (one, other) = tokio::join!(Browser::start(), Browser::start());
    tokio::join!(one.go(&share.link), other.go(&share.link));
    tokio::join!(one.see("#view"), other.see("#view"));
    tokio::join!(one.click("#view"), other.click("#view"));
    tokio::join!(one.see("h1"), other.see("h1"));
    let viewers = [&one, &other];
    let mut opened = 0;
    for viewer in viewers {
        viewer.see_text("h1", "").await;
        opened += viewer.driver.find_all(By::Css("#viewer")).await.unwrap().len();
    }
    assert_eq!(opened, 1);
    let refused = if one.driver.find(By::Css("#viewer")).await.is_ok() { &other } else { &one };
    refused.see_text("h1", "The last view has been used").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_goes_blank_when_the_share_expires() {
    let site = Site::start().await;
    let policy = AccessPolicy { expires_in: Some(Duration::from_secs(300)), ..views(5) };
    let share = site.share(&[(600, 400)], policy).await;
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.click("#view").await;
    viewer.see_loaded(".gallery img").await;
    site.clock.advance(Duration::from_secs(301));
    viewer.see_within("#over", BLANK_WITHIN).await;
    viewer.see_no("img:not(.brand img)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_back_goes_on_with_the_same_session() {
    let site = Site::start().await;
    let share = site.share(&[(600, 400)], views(1)).await;
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.click("#view").await;
    let id = viewer.see(".bar .id").await.text().await.unwrap();
    viewer.go(&share.link).await;
    viewer.see_text(".bar .id", &id).await;
    viewer.see_loaded(".gallery img").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_extends_previews_and_keeps_its_ledger() {
    let site = Site::start().await;
    let share = site.share(&[(600, 400)], views(3)).await;
    let uploader = Browser::start().await;
    uploader.go(&share.dashboard).await;
    uploader.see_text("[data-countdown]", "7 days").await;
    uploader.click("#extend-day").await;
    uploader.see_text("[data-countdown]", "8 days").await;
    uploader.click("#preview").await;
    uploader.see_text(".bar .id", "UPLOADER").await;
    uploader.see_loaded(".gallery img").await;
    uploader.go(&share.dashboard).await;
    uploader.see_text("#views", "0").await;
    uploader.press("#keep_ledger option[value='604800']").await;
    uploader.click("form[action$=ledger] button").await;
    uploader.see_text("#detail", "no leak of this share can be traced").await;
    uploader.click("#confirm-no").await;
    uploader.see_true("document.querySelector('#keep_ledger [selected]')?.value === '7776000'").await;
    uploader.press("#keep_ledger option[value='604800']").await;
    uploader.click("form[action$=ledger] button").await;
    uploader.click("#confirm").await;
    uploader.see_true("document.querySelector('#keep_ledger [selected]')?.value === '604800'").await;
    uploader.expect_a_quiet_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_works_without_javascript() {
    let site = Site::start().await;
    let photograph = site.photograph("p.jpg", 600, 400, 1);
    let browser = Browser::start_as(Kind { without_javascript: true, ..Kind::default() }).await;
    browser.go(&site.url).await;
    browser.choose("#images", &[&photograph]).await;
    browser.press("#send").await;
    let link = browser.there("#link").await.value().await.unwrap().unwrap();
    let dashboard = browser.there("#dashboard").await.value().await.unwrap().unwrap();

    browser.enter(&link).await;
    browser.press("#view").await;
    let picture = browser.there(".gallery img").await;
    assert!(picture.rect().await.unwrap().width > 300.0);

    browser.enter(&dashboard).await;
    browser.there_says("#views", "1").await;
    browser.press("#burn-ask").await;
    browser.press("#burn").await;
    browser.there_says("#status-word", "burned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_shares_looks_and_turns_pictures_by_swiping() {
    let site = Site::start().await;
    let phone = Browser::start_as(Kind { phone: true, ..Kind::default() }).await;
    phone.go(&site.url).await;
    let one = site.photograph("one.jpg", 600, 800, 1);
    let two = site.photograph("two.jpg", 800, 600, 2);
    phone.choose("#images", &[&one, &two]).await;
    phone.click("#send").await;
    let link = phone.value("#link").await;
    phone.click("[data-copy=dashboard]").await;
    phone.go(&link).await;
    phone.click("#view").await;
    phone.click(".enlarge").await;
    phone.see_text("#lightbox-place", "1 of 2").await;
    phone.swipe_left().await;
    phone.see_text("#lightbox-place", "2 of 2").await;
    phone.see_loaded("#lightbox img").await;
    phone.spread_fingers().await;
    phone.see_true("visualViewport.scale > 1.5").await;
    phone.swipe_left().await;
    phone.see_text("#lightbox-place", "2 of 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gallery_is_complete_by_keyboard() {
    let site = Site::start().await;
    let share = site.share(&[(600, 400), (400, 600)], views(3)).await;
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.see("#view").await;
    viewer.keys(Key::Tab).await;
    let focused = viewer.run("return document.activeElement.className").await;
    assert_eq!(focused, "skip", "the first stop leads past the header");
    viewer.see("#view").await.send_keys(Key::Enter).await.unwrap();
    viewer.see(".enlarge").await.send_keys(Key::Enter).await.unwrap();
    viewer.see_text("#lightbox-place", "1 of 2").await;
    viewer.keys(Key::Right).await;
    viewer.see_text("#lightbox-place", "2 of 2").await;
    viewer.keys(Key::Left).await;
    viewer.see_text("#lightbox-place", "1 of 2").await;
    viewer.keys(Key::Escape).await;
    viewer.see_no("#lightbox").await;
    let focused = viewer.run("return document.activeElement.className").await;
    assert_eq!(focused, "enlarge", "the focus goes back to where it was");
}

/// Ten photographs on disk.
fn ten(site: &Site) -> Vec<std::path::PathBuf> {
    (0..10).map(|seed| site.photograph(&format!("{seed}.jpg"), 600, 400, seed)).collect()
}

fn paths(files: &[std::path::PathBuf]) -> Vec<&Path> {
    files.iter().map(|path| path.as_path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_of_ten_images_that_loses_the_network_in_the_middle_makes_one_share() {
    let site = Site::start().await;
    let uploader = Browser::start().await;
    let wire = Wire::to(&site).await;
    uploader.go(&wire.url).await;
    let pictures = ten(&site);
    uploader.choose("#images", &paths(&pictures)).await;
    uploader.see_text("#send", "10 images").await;
    uploader.upload_at(150_000).await;
    uploader.click("#send").await;
    uploader.see_true("document.getElementById('progress').value > 0.3").await;
    uploader.see_text("#progress-label", "%").await;
    let halfway = "[...document.querySelectorAll('.thumbs progress')].map((p) => p.value / p.max)";
    uploader.see_true(&format!("{halfway}[0] === 1 && {halfway}[9] < 1")).await;
    wire.cut();
    uploader.see_text("#failure", "Nothing is lost").await;
    uploader.go_offline().await;
    uploader.see("#offline").await;
    uploader.see(".thumbs li:nth-child(10)").await;
    uploader.click("#send").await;
    uploader.see_text("#offline", "Try again when the network is back").await;
    wire.mend();
    uploader.upload_at(-1).await;
    uploader.see_no("#offline").await;
    uploader.see_text("#send", "Try again").await;
    uploader.click("#send").await;
    uploader.see_text("#result .lead", "10 images").await;
    site.clock.advance(site.chatpic.limits().upload_timeout + Duration::from_secs(60));
    site.chatpic.sweep().await.unwrap();
    assert_eq!(site.shares(), 1, "of what was cut off, nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_answer_is_lost_is_found_again_by_its_key() {
    let site = Site::start().await;
    let uploader = Browser::start().await;
    let wire = Wire::to(&site).await;
    uploader.go(&wire.url).await;
    let pictures = ten(&site);
    uploader.choose("#images", &paths(&pictures)).await;
    uploader.see_text("#send", "10 images").await;
    wire.deafen();
    uploader.click("#send").await;
    wire.lose_the_share().await;
    wire.cut();
    uploader.see_text("#failure", "Nothing is lost").await;
    assert_eq!(site.shares(), 1, "the share was made, but nobody knows");
    wire.mend();
    uploader.click("#send").await;
    uploader.see_text("#result .lead", "10 images").await;
    assert_eq!(site.shares(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_told_before_and_removed_with_one_press() {
    let site = Site::start().await;
    let uploader = Browser::start().await;
    uploader.go(&site.url).await;
    let heic = site.file("IMG_0042.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    let large = site.file("large.jpg", &[&[0xff, 0xd8][..], &vec![0; 11 << 20]].concat());
    let text = site.file("notes.png", b"no picture");
    let good = site.photograph("good.jpg", 600, 400, 1);
    uploader.choose("#images", &[&heic, &large, &text, &good]).await;
    uploader.see_text("#checks", "3 files can’t be sent").await;
    uploader.see_text("#checks", "Most compatible").await;
    uploader.see_text("#checks", "make them smaller").await;
    uploader.see_text(".thumbs li:nth-child(2) .said", "larger than 10 MB").await;
    assert!(!uploader.see("#send").await.is_enabled().await.unwrap());
    uploader.click("#remove-bad").await;
    uploader.see_text("#send", "1 image").await;

    let eleven: Vec<_> = (0..11).map(|n| site.photograph(&format!("n{n}.jpg"), 64, 48, n)).collect();
    uploader.choose("#images", &paths(&eleven)).await;
    uploader.see_text("#checks", "At most 10 images can be shared at once: remove 2").await;
    uploader.click("#remove-bad").await;
    uploader.see_text("#send", "10 images").await;

    // A screenshot is pasted.
    uploader.click(".thumbs li:last-child .tools button:last-child").await;
    uploader.run(
        "const file = new File([new Uint8Array([0x89, 0x50, 0x4e, 0x47])], 'screenshot.png', { type: 'image/png' });
         const data = new DataTransfer(); data.items.add(file);
         document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }));",
    ).await;
    uploader.see_text(".thumbs li:last-child .name", "screenshot.png").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tile_that_is_drawn_onto_another_takes_its_place() {
    let site = Site::start().await;
    let uploader = Browser::start().await;
    uploader.go(&site.url).await;
    let pictures: Vec<_> = (0..3).map(|n| site.photograph(&format!("{n}.jpg"), 64, 48, n)).collect();
    uploader.choose("#images", &paths(&pictures)).await;
    uploader.see_text(".thumbs li:nth-child(3) .name", "2.jpg").await;
    uploader.draw_onto(".thumbs li:nth-child(3) img", ".thumbs li:first-child img").await;
    uploader.see_text(".thumbs li:first-child .name", "2.jpg").await;
    uploader.see_text("#status", "2.jpg is now image 1").await;
    let order =
        uploader.run("return [...document.getElementById('images').files].map((f) => f.name).join()").await;
    assert_eq!(order, "2.jpg,0.jpg,1.jpg", "the form sends them in this order, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_link_is_not_left_by_accident_and_both_links_pass_on() {
    let site = Site::start().await;
    let uploader = Browser::start().await;
    let sheet = "navigator.share = (what) => { window.passedOn = what.url; return Promise.resolve(); }";
    uploader.devtools("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({ "source": sheet })).await;
    uploader.go(&site.url).await;
    uploader.choose("#images", &[&site.photograph("one.jpg", 600, 400, 1)]).await;
    uploader.click("#send").await;
    let (link, dashboard) = (uploader.value("#link").await, uploader.value("#dashboard").await);
    uploader.click("[data-share=link]").await;
    uploader.see_true(&format!("window.passedOn === {link:?}")).await;

    uploader.click(".qr summary").await;
    assert_eq!(uploader.read_qr(".qr svg").await, link);
    uploader.click(".keep .qr summary").await;
    assert_eq!(uploader.read_qr(".keep .qr svg").await, dashboard);

    uploader.click(".brand").await;
    uploader.see_text("#leave", "nobody can show it to you again").await;
    uploader.keys(Key::Escape).await;
    uploader.see_no("#leave").await;
    assert_eq!(uploader.value("#dashboard").await, dashboard, "nothing is lost");
    uploader.click(".brand").await;
    uploader.click("#leave-copy").await;
    uploader.see_text("[data-copy=dashboard]", "Copied").await;
    uploader.see_no("#leave").await;
    uploader.click(".brand").await;
    uploader.see("#upload").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_can_be_put_in_order_cancelled_and_sent_with_exact_limits() {
    let site = Site::start().await;
    let uploader = Browser::start().await;
    uploader.go(&site.url).await;
    let one = site.photograph("one.jpg", 600, 400, 1);
    let two = site.photograph("two.jpg", 600, 400, 2);
    uploader.choose("#images", &[&one]).await;
    uploader.see_text(".thumbs li:first-child", "one.jpg").await;
    uploader.choose("#images", &[&two]).await;
    uploader.see_text(".thumbs li:last-child", "two.jpg").await;
    uploader.click(".thumbs li:last-child .tools button").await;
    uploader.see_text(".thumbs li:first-child", "two.jpg").await;
    uploader.click(".thumbs li:first-child .tools button:last-child").await;
    uploader.see_no(".thumbs li:nth-child(2)").await;

    uploader.upload_at(20_000).await;
    uploader.click("#send").await;
    uploader.click("#cancel").await;
    uploader.see("#send").await;
    uploader.upload_at(-1).await;

    uploader.press("#expires_in option[value=exact]").await;
    uploader.write("#exact-number", "90").await;
    uploader.press("#exact-unit option[value='60']").await;
    uploader.click("[data-views='5']").await;
    uploader.click("#send").await;
    uploader.see_text("#result .lead", "1 image, for 1 hour 30 minutes, 5 views at most").await;
    uploader.click("#remember").await;
    uploader.go(&site.url).await;
    uploader.see_text("#remembered-list", "1 image").await;
    assert_eq!(site.shares(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_says_why_and_keeps_the_form() {
    let site = Site::start().await;
    let whole = std::fs::read(site.photograph("whole.jpg", 600, 400, 1)).unwrap();
    let cut = site.file("cut.jpg", &whole[..whole.len() / 2]);
    let uploader = Browser::start().await;
    uploader.go(&site.url).await;
    uploader.choose("#images", &[&cut]).await;
    uploader.click("#send").await;
    uploader.see_text("#failure", "Image 1").await;
    uploader.see_text(".thumbs .name", "cut.jpg").await;
    assert_eq!(site.shares(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_site_works_under_a_path_of_another() {
    let site = Site::start_under("/pics").await;
    let browser = Browser::start().await;
    browser.go(&site.url).await;
    let photograph = site.photograph("p.jpg", 600, 400, 1);
    browser.choose("#images", &[&photograph]).await;
    browser.click("#send").await;
    let link = browser.value("#link").await;
    let dashboard = browser.value("#dashboard").await;
    browser.click("[data-copy=dashboard]").await;
    assert!(link.starts_with(&format!("{}/s/", site.url)), "{link}");
    browser.go(&link).await;
    browser.click("#view").await;
    browser.see_loaded(".gallery img").await;
    browser.go(&dashboard).await;
    browser.see_text("#views", "1").await;
    browser.click("nav a[href$=privacy]").await;
    browser.see_text("h1", "What is stored").await;
    browser.expect_a_quiet_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reports_a_share_to_the_operator() {
    let site = Site::start().await;
    let share = site.share(&[(600, 400)], views(3)).await;
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.click("a[href$=report]").await;
    viewer.write("#reason", "These images are mine.").await;
    viewer.write("#link", &share.link).await;
    viewer.click("form button").await;
    viewer.see_text("h1", "Thank you").await;
    let reports = site.chatpic.reports(10).await.unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].reason, "These images are mine.");
    assert!(reports[0].link_key.is_some(), "the operator may look");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_opens_only_as_an_image_of_its_page() {
    let site = Site::start().await;
    let share = site.share(&[(600, 400)], views(3)).await;
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.click("#view").await;
    viewer.see_loaded(".gallery img").await;
    let address = viewer.run("return document.querySelector('.gallery img').currentSrc").await;
    viewer.go(address.as_str().unwrap()).await;
    assert_eq!(viewer.run("return document.images.length").await, 0);
}
