//! The whole flow as a screen reader is told of it, and by keyboard alone.

use chatpic_core::{AccessPolicy, Opening, Password};
use serde_json::{Value, json};
use thirtyfour::prelude::*;

use crate::support::{Browser, Site};

/// Something that assistive technology is told of.
#[derive(Debug)]
struct Node {
    role: String,
    name: String,
    focused: bool,
}

/// Roles of what can be operated, as Chromium names them.
const OPERATED: [&str; 9] = [
    "button",
    "link",
    "textbox",
    "combobox",
    "spinbutton",
    "checkbox",
    "DisclosureTriangle",
    "textField",
    "searchbox",
];

/// Chromium's accessibility tree without what is hidden from assistive technology.
async fn tree(browser: &Browser) -> Vec<Node> {
    let answer = browser.devtools("Accessibility.getFullAXTree", json!({})).await;
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    let shown = answer["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] != true);
    shown
        .map(|node| Node {
            role: text(&node["role"]),
            name: text(&node["name"]).trim().to_owned(),
            focused: node["properties"]
                .as_array()
                .is_some_and(|all| all.iter().any(|p| p["name"] == "focused" && p["value"]["value"] == true)),
        })
        .collect()
}

/// What must hold of every page's tree; answers the tree.
async fn expect_a_clear_tree(browser: &Browser, page: &str) -> Vec<Node> {
    let tree = tree(browser).await;
    let count = |role: &str| tree.iter().filter(|node| node.role == role).count();
    assert_eq!(count("main"), 1, "{page}: one main part");
    assert_eq!(count("banner"), 1, "{page}: one banner");
    assert_eq!(count("contentinfo"), 1, "{page}: one footer");
    let root = tree.iter().find(|node| node.role == "RootWebArea").unwrap();
    assert!(!root.name.is_empty(), "{page}: {root:?}");
    for node in tree.iter().filter(|node| OPERATED.contains(&node.role.as_str()) || node.role == "image") {
        assert!(!node.name.is_empty(), "{page}: a {} without a name: {tree:#?}", node.role);
    }
    tree
}

/// Presses Tab until the focus is on this, and sees at each stop that the focus is shown.
async fn tab_to(browser: &Browser, role: &str, name: &str) {
    let mut passed = Vec::new();
    for _ in 0..60 {
        browser.keys(Key::Tab).await;
        let shown = browser.run(
            "const shown = (e) => e && getComputedStyle(e).outlineStyle !== 'none' && parseFloat(getComputedStyle(e).outlineWidth) >= 2;
             const e = document.activeElement;
             return e === document.body || shown(e) || shown(e.closest('label'))",
        );
        assert_eq!(shown.await, true, "the focus is not shown after {passed:?}");
        let focused =
            tree(browser).await.into_iter().rfind(|node| node.focused && node.role != "RootWebArea");
        let Some(node) = focused else { continue };
        if node.role == role && node.name.contains(name) {
            return;
        }
        passed.push(format!("{} {:?}", node.role, node.name));
    }
    panic!("no stop at the {role} {name:?}, but at {passed:#?}");
}

fn says(tree: &[Node], text: &str) -> bool {
    tree.iter().any(|node| node.name.contains(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_flow_is_told_to_a_screen_reader_and_done_by_keyboard() {
    let site = Site::start().await;
    let one = site.photograph("one.jpg", 900, 600, 1);
    let two = site.photograph("two.jpg", 600, 400, 2);
    let uploader = Browser::start().await;
    uploader.go(&site.url).await;
    expect_a_clear_tree(&uploader, "front").await;
    tab_to(&uploader, "link", "Skip to the content").await;
    tab_to(&uploader, "button", "Choose images").await;
    uploader.choose("#images", &[&one, &two]).await;
    uploader.see_text("#status", "2 images chosen").await;
    let tree = expect_a_clear_tree(&uploader, "chosen").await;
    assert!(says(&tree, "Move two.jpg, image 2 of 2, forward"), "{tree:#?}");
    tab_to(&uploader, "button", "Move two.jpg, image 2 of 2, forward").await;
    uploader.keys(Key::Enter).await;
    uploader.see_text("#status", "two.jpg is now image 1").await;
    tab_to(&uploader, "spinbutton", "Views, at most").await;
    uploader.keys("3").await;
    tab_to(&uploader, "button", "Make one").await;
    uploader.keys(Key::Space).await;
    let password = uploader.value("#password").await;
    assert_eq!(password.len(), 14, "{password}");
    tab_to(&uploader, "button", "Make the link for 2 images").await;
    uploader.keys(Key::Enter).await;

    uploader.see("#result").await;
    assert_eq!(uploader.run("return document.activeElement.tagName").await, "H1", "the result is read out");
    let tree = expect_a_clear_tree(&uploader, "result").await;
    assert!(says(&tree, "it is shown once"), "{tree:#?}");
    let (link, dashboard) = (uploader.value("#link").await, uploader.value("#dashboard").await);
    tab_to(&uploader, "link", "Open the dashboard").await;
    uploader.keys(Key::Enter).await;
    uploader.see_text("#status-word", "not opened yet").await;
    assert!(
        uploader
            .driver
            .current_url()
            .await
            .unwrap()
            .as_str()
            .starts_with(dashboard.split('#').next().unwrap())
    );
    expect_a_clear_tree(&uploader, "dashboard").await;

    let viewer = Browser::start().await;
    viewer.go(&link).await;
    viewer.see("#view").await;
    let tree = expect_a_clear_tree(&viewer, "cover").await;
    assert!(says(&tree, "2 images for you"), "{tree:#?}");
    tab_to(&viewer, "textbox", "Password").await;
    viewer.keys(password.as_str()).await;
    tab_to(&viewer, "button", "View").await;
    viewer.keys(Key::Enter).await;
    viewer.see_loaded(".gallery img").await;
    let id = viewer.see(".bar .id").await.text().await.unwrap();
    let tree = expect_a_clear_tree(&viewer, "viewer").await;
    assert!(says(&tree, &format!("Image 1 of 2, marked {id}")), "{tree:#?}");
    tab_to(&viewer, "button", "Enlarge. Image 1 of 2").await;
    viewer.keys(Key::Enter).await;
    viewer.see_text("#lightbox-place", "Image 1 of 2").await;
    viewer.keys(Key::Right).await;
    viewer.see_text("#lightbox-place", "Image 2 of 2").await;
    tab_to(&viewer, "button", "Close").await;
    viewer.keys(Key::Enter).await;
    viewer.see_no("#lightbox").await;

    uploader.see_text("#news", "Opened: 1 view so far").await;
    let tree = expect_a_clear_tree(&uploader, "dashboard after a view").await;
    assert!(says(&tree, &id), "{tree:#?}");
    tab_to(&uploader, "DisclosureTriangle", "Burn this share").await;
    uploader.keys(Key::Enter).await;
    tab_to(&uploader, "button", "Yes, burn it now").await;
    uploader.keys(Key::Enter).await;
    uploader.see("#receipt").await;
    let tree = expect_a_clear_tree(&uploader, "receipt").await;
    assert!(says(&tree, "Deletion receipt"), "{tree:#?}");

    viewer.see_within("#over", std::time::Duration::from_secs(2)).await;
    assert_eq!(viewer.run("return document.activeElement.textContent").await, "This viewing is over");
    let tree = expect_a_clear_tree(&viewer, "over").await;
    assert!(!says(&tree, "marked ID"), "no image is left: {tree:#?}");
    viewer.expect_a_quiet_console().await;
    uploader.expect_a_quiet_console().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_by_itself_is_said_once() {
    let site = Site::start().await;
    // What a share's end cuts short, no image prolongs.
    let idle = site.chatpic.limits().session_idle;
    let password = Some(Password::new("swordfish"));
    let policy = AccessPolicy { password, expires_in: Some(idle), ..AccessPolicy::default() };
    let share = site.share(&[(600, 400)], policy).await;
    let viewer = Browser::start().await;
    viewer.go(&share.link).await;
    viewer.write("#password", "catfish").await;
    viewer.click("#view").await;
    viewer.see("#problem[role=alert]").await;
    let described = "document.activeElement.getAttribute('aria-describedby') === 'problem'";
    viewer.see_true(described).await;

    let access = site.chatpic.link_access(&share.made.share_id, &share.made.link_key);
    let password = Some(Password::new("swordfish"));
    let opening = Opening { password, ..Opening::default() };
    let opened = site.chatpic.open(&share.made.share_id, &access, opening).await.unwrap();
    drop(opened);
    // Counting down is not read out each second, but once, when a minute is left.
    viewer.write("#password", "swordfish").await;
    viewer.click("#view").await;
    viewer.see_loaded(".gallery img").await;
    assert_eq!(
        viewer.run("return document.querySelector('[data-countdown]').closest('[role],[aria-live]')").await,
        Value::Null
    );
    assert_eq!(viewer.run("return document.getElementById('closing').textContent").await, "");
    site.clock.advance(idle - std::time::Duration::from_secs(50));
    viewer.driver.refresh().await.unwrap();
    viewer.see_text("#closing", "This viewing closes in").await;
    viewer.see("#closing[role=status]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn less_motion_and_forced_colours_are_heeded() {
    let site = Site::start().await;
    let browser = Browser::start().await;
    let features = json!({ "features": [
        { "name": "prefers-reduced-motion", "value": "reduce" },
        { "name": "forced-colors", "value": "active" },
    ] });
    browser.devtools("Emulation.setEmulatedMedia", features).await;
    browser.go(&site.url).await;
    browser.see("#send").await;
    assert_eq!(browser.run("return matchMedia('(forced-colors: active)').matches").await, true);
    let moving = browser.run(
        "return [...document.querySelectorAll('*')].filter((e) => { const s = getComputedStyle(e);
           return s.transitionDuration !== '0s' && s.transitionProperty !== 'none' && s.transitionProperty !== 'all'
             || s.animationName !== 'none'; }).length",
    );
    assert_eq!(moving.await, 0);
    // Where colours are the system's, what can be pressed still has an edge.
    let edges = browser.run(
        "return [...document.querySelectorAll('button, .button, input:not([type=file],[type=hidden]), select')]
           .filter((e) => e.checkVisibility()).every((e) => parseFloat(getComputedStyle(e).borderTopWidth) >= 1)",
    );
    assert_eq!(edges.await, true);
    let one = site.photograph("one.jpg", 600, 400, 1);
    browser.choose("#images", &[&one]).await;
    browser.click("#send").await;
    let link = browser.value("#link").await;
    browser.click(".qr summary").await;
    assert_eq!(browser.read_qr(".qr svg").await, link, "the code keeps its own colours");
    browser.click("[data-copy=dashboard]").await;
}
