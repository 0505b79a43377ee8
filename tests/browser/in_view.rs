//! What a viewer's page knows of the time that is left: all that prolongs the session prolongs the page.

use std::time::Duration;

use chatpic_core::{AccessPolicy, Limits};

use crate::support::{Browser, Share, Site};

const SECOND: Duration = Duration::from_secs(1);
/// Seconds that the page was last told it has.
const LEFT: &str = "Number(document.querySelector('[data-blanks]').dataset.countdown)";

/// A site whose sessions end after so many idle seconds, and a share of two views.
async fn site(idle: u32, expires_in: Option<Duration>) -> (Site, Share) {
    let limits = |limits: &mut Limits| limits.session_idle = idle * SECOND;
    let site = Site::start_with("", |_, given| limits(given)).await;
    let policy = AccessPolicy { max_views: Some(2), expires_in, ..AccessPolicy::default() };
    let share = site.share(&[(600, 400)], policy).await;
    (site, share)
}

async fn view(viewer: &Browser, share: &Share) {
    viewer.go(&share.link).await;
    viewer.click("#view").await;
    viewer.see_loaded(".gallery img").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_loaded_prolongs_the_page() {
    let (site, share) = site(180, None).await;
    let viewer = Browser::start().await;
    view(&viewer, &share).await;
    site.clock.advance(150 * SECOND);
    viewer.click(".enlarge").await;
    viewer.see_loaded("#lightbox-stage img").await;
    viewer.see_true(&format!("{LEFT} >= 179")).await;
    // The page is shown anew with what was left, and its images give it the whole time again.
    site.clock.advance(170 * SECOND);
    viewer.driver.refresh().await.unwrap();
    viewer.see_loaded(".gallery img").await;
    viewer.see_true(&format!("{LEFT} >= 179")).await;
    viewer.expect_a_quiet_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_prolongs_the_page() {
    let (site, share) = site(600, Some(60 * SECOND)).await;
    let viewer = Browser::start().await;
    view(&viewer, &share).await;
    viewer.see_true(&format!("{LEFT} <= 60")).await;
    let access = site.chatpic.dashboard_access(&share.made.share_id, &share.made.dashboard_key);
    site.chatpic.extend(&share.made.share_id, &access, 86_400 * SECOND).await.unwrap();
    viewer.see_true(&format!("{LEFT} > 500")).await;
    site.clock.advance(120 * SECOND);
    viewer.driver.refresh().await.unwrap();
    viewer.see_loaded(".gallery img").await;
    viewer.expect_a_quiet_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_view_stays_and_one_in_the_background_does_not() {
    let (site, share) = site(60, None).await;
    let viewer = Browser::start().await;
    view(&viewer, &share).await;
    // It says that it is in view three times in the idle time; here every second, so that no machine is too slow for it.
    viewer.see_true("document.getElementById('viewer').dataset.seenEvery === '20000'").await;
    viewer.run("document.getElementById('viewer').dataset.seenEvery = 1000;").await;
    let watch = "window.told = 0; const ask = window.fetch;
        window.fetch = async (...what) => {
            const answer = await ask(...what);
            if (String(what[0]).endsWith('/seen')) window.told += 1;
            return answer;
        };";
    viewer.run(watch).await;
    for _ in 0..2 {
        site.clock.advance(40 * SECOND);
        // Of two more answers, the second at least was asked for after that.
        let told = viewer.run("return window.told").await;
        viewer.see_true(&format!("window.told >= {told} + 2")).await;
    }
    viewer.see(".gallery img").await;
    viewer.expect_a_quiet_console().await;

    viewer.run("Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' });").await;
    // What was said just before may still arrive, so it is long over; such an answer is a 401 in the console.
    site.clock.advance(100 * SECOND);
    viewer.see("#over").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_was_closed_goes_on_with_the_view_that_was_paid_for() {
    let site = Site::start().await;
    let policy = AccessPolicy { max_views: Some(1), ..AccessPolicy::default() };
    let share = site.share(&[(600, 400)], policy).await;
    let viewer = Browser::start().await;
    view(&viewer, &share).await;
    let id = viewer.see(".bar .id").await.text().await.unwrap();
    let viewer = viewer.restart().await;
    viewer.go(&share.link).await;
    viewer.see_text(".bar .id", &id).await;
    viewer.see_loaded(".gallery img").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cover_says_how_long_one_may_look() {
    let (_site, share) = site(600, Some(1800 * SECOND)).await;
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.see_text(".cover", "After you press View, you can look for up to").await;
    viewer.see_text(".cover", "minutes").await;
}
