//! Links as messengers leave them, and where their keys go.

use chatpic_core::AccessPolicy;

use crate::support::{Browser, Kind, Share, Site};

/// A link's address up to its id, and its key.
fn parts(link: &str) -> (&str, &str) {
    link.split_once('#').unwrap()
}

async fn shared() -> (Site, Share) {
    let site = Site::start().await;
    let share = site.share(&[(600, 400)], AccessPolicy::default()).await;
    (site, share)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_messenger_made_of_a_link_opens_and_leaves_no_key_in_the_address() {
    let (_site, share) = shared().await;
    let (path, key) = parts(&share.link);
    for bent in [
        format!("{path}#{key}."),
        format!("{path}#{key})"),
        format!("{path}#{key}。"),
        format!("{path}#{key}&utm_source=x"),
        format!("{path}#\u{200b}{key}\u{200b}"),
        format!("{path}?utm_source=x#{key}"),
        format!("{path}/#{key}"),
        format!("{path}%23{key}"),
        format!("{path}%23{key}/"),
        format!("{path}%23{key}&utm_source=x"),
    ] {
        // A browser that keeps no cookie of the visit before.
        let viewer = Browser::start().await;
        viewer.go(&bent).await;
        viewer.see("#view").await;
        assert_eq!(viewer.run("return location.href").await, path, "{bent}");
        viewer.expect_a_quiet_console().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_from_the_address_of_every_page_of_a_viewer() {
    let (_site, share) = shared().await;
    let (path, key) = parts(&share.link);
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.click("#view").await;
    viewer.see_loaded(".gallery img").await;
    for page in ["/view", "/report", ""] {
        let tab = viewer.driver.new_tab().await.unwrap();
        viewer.driver.switch_to_window(tab).await.unwrap();
        viewer.go(&format!("{path}{page}#{key}")).await;
        viewer.see_true("location.hash === ''").await;
        assert_eq!(viewer.run("return location.href").await, format!("{path}{page}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_link_with_what_stood_around_it_can_be_pasted_without_scripts() {
    let (_site, share) = shared().await;
    let (path, key) = parts(&share.link);
    let viewer = Browser::start_as(Kind { without_javascript: true, ..Kind::default() }).await;
    for pasted in [format!("<{path}%23{key}>, see?"), format!("{key}.")] {
        viewer.driver.delete_all_cookies().await.unwrap();
        // Where the key stands in the path, the form leads to the link's own.
        viewer.go(&format!("{path}%23{key}")).await;
        viewer.there("#key").await.send_keys(&pasted).await.unwrap();
        viewer.press("#key-form button").await;
        viewer.there("#view").await;
        assert_eq!(viewer.driver.current_url().await.unwrap().as_str(), path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboards_address_keeps_its_key_through_what_is_done_there() {
    let (_site, share) = shared().await;
    let (path, key) = parts(&share.dashboard);
    let uploader = Browser::start().await;
    uploader.go(&format!("{path}/#{key}")).await;
    uploader.see_text("[data-countdown]", "7 days").await;
    assert_eq!(uploader.run("return location.href").await, share.dashboard);
    uploader.click("#extend-day").await;
    uploader.see_text("[data-countdown]", "8 days").await;
    assert_eq!(uploader.run("return location.href").await, share.dashboard);
    uploader.driver.delete_all_cookies().await.unwrap();
    uploader.driver.refresh().await.unwrap();
    uploader.see_text("[data-countdown]", "8 days").await;

    let another = Browser::start().await;
    another.go(&format!("{path}%23{key}.")).await;
    another.see("#status-word").await;
    another.expect_a_quiet_console().await;
}
