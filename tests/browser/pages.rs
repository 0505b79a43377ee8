//! Every page in every state: accessible, light, within its policy; and, when asked for, on a picture.

use std::path::PathBuf;
use std::time::Duration;

use chatpic_core::{AccessPolicy, Opening, Password};
use serde_json::{Value, json};

use crate::support::{Browser, Kind, PHONE_IN_THE_DARK, Site};

/// Bytes of a page with its style and script, without images.
const PAGE_BYTES: u64 = 100_000;

/// Looks at a page in each width and scheme.
async fn look(browser: &Browser, name: &str) {
    let desktop = Kind::default();
    let phone = Kind { phone: true, ..desktop };
    let dark = Kind { dark: true, ..desktop };
    for (looks, kind) in
        [("desktop", desktop), ("desktop-dark", dark), ("phone", phone), ("phone-dark", PHONE_IN_THE_DARK)]
    {
        browser.become_a(kind).await;
        if looks == "desktop" || looks == "phone-dark" {
            expect_no_barriers(browser, &format!("{name}, {looks}")).await;
        }
        let wider = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
        assert!(wider.as_i64() <= Some(0), "{name}, {looks}: {wider} pixels wider than the screen");
        if let Ok(folder) = std::env::var("CHATPIC_PICTURES") {
            let (width, height) = if kind.phone { (390, 844) } else { (1440, 900) };
            let whole = browser.run("return document.documentElement.scrollHeight").await.as_i64().unwrap();
            // The large view lies over its page; of a long page the beginning is enough.
            let height = if name == "viewer-large" { height } else { whole.clamp(height, 2 * height + 200) };
            let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": if kind.phone { 0.7 } else { 0.8 } });
            let form =
                json!({ "format": "webp", "quality": 65, "captureBeyondViewport": true, "clip": clip });
            let answer = browser.devtools("Page.captureScreenshot", form).await;
            let picture = data_encoding::BASE64.decode(answer["data"].as_str().unwrap().as_bytes()).unwrap();
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(PathBuf::from(folder).join(format!("{name}-{looks}.webp")), picture).unwrap();
        }
    }
    browser.become_a(desktop).await;
    let bytes = browser.run(
        "return performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))
         .filter((e) => !/images\\/|blob:|world.svg/.test(e.name) && e.initiatorType !== 'fetch' && e.initiatorType !== 'xmlhttprequest')
         .reduce((sum, e) => sum + e.decodedBodySize, 0)",
    );
    let bytes = bytes.await;
    assert!(bytes.as_f64().unwrap() < PAGE_BYTES as f64, "{name}: {bytes} bytes");
    browser.expect_a_quiet_console().await;
}

/// Runs axe-core with its rules for WCAG 2.2 AA and for good practice.
async fn expect_no_barriers(browser: &Browser, what: &str) {
    browser.run(axe()).await;
    let report = browser.run_async(
        "const done = arguments[0];
         axe.run(document, { resultTypes: ['violations'] }).then((r) => done(r.violations.map((v) =>
           `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join('; ')}`)), (e) => done([String(e)]));",
    );
    let violations = report.await;
    assert_eq!(violations, Value::Array(Vec::new()), "{what}: {violations:#}");
}

/// The script of axe-core, from the Python package that `scripts/test --install` puts into `.venv`.
fn axe() -> &'static str {
    static AXE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    AXE.get_or_init(|| {
        let libraries = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.venv/lib");
        let pythons = std::fs::read_dir(&libraries).into_iter().flatten().flatten();
        let file = pythons
            .map(|python| python.path().join("site-packages/axe_playwright_python/axe.min.js"))
            .find(|file| file.exists());
        std::fs::read_to_string(file.expect("axe-core is missing: `scripts/test --install` gets it")).unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_uploaders_pages_have_no_barriers() {
    let site = Site::start().await;
    let browser = Browser::start().await;
    browser.go(&site.url).await;
    look(&browser, "front").await;

    let tiny = site.landscape("one tiny picture.jpg", 40, 30, 3);
    let long = "a very long name that somebody gave to a picture of the old harbour in the evening.jpg";
    let long = site.landscape(long, 1200, 800, 1);
    let heic = site.file("IMG_0042.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    let portrait = site.landscape("garden.jpg", 800, 1100, 2);
    browser.choose("#images", &[&long, &portrait, &tiny, &heic]).await;
    browser.see_text(".thumbs .bad .said", "HEIC").await;
    browser.click("#password-make").await;
    look(&browser, "front-checks").await;

    browser.click(".thumbs .bad button:last-child").await;
    browser.click("#send").await;
    browser.see("#result").await;
    browser.click("[data-copy=dashboard]").await;
    browser.click(".qr summary").await;
    look(&browser, "result").await;

    browser.go(&format!("{}privacy", site.url)).await;
    look(&browser, "privacy").await;

    let policy = AccessPolicy { max_views: Some(40), ..AccessPolicy::default() };
    let busy = site.share(&[(1200, 800), (800, 1100)], policy).await;
    browser.go(&busy.dashboard).await;
    browser.see_text("#status-word", "not opened yet").await;
    look(&browser, "dashboard-new").await;
    let access = site.chatpic.link_access(&busy.made.share_id, &busy.made.link_key);
    let places = ["DE", "DE", "FR", "US", "BR", "DE", "IN", "SG", "", "JP", "DE", "FR", "ZA", "AU"];
    for (hour, place) in places.iter().enumerate() {
        let opening = Opening {
            country: place.parse().ok(),
            device: chatpic_core::Device::from_user_agent(if hour % 3 == 0 {
                "iPhone Mobile"
            } else {
                "X11; Linux"
            }),
            ..Opening::default()
        };
        site.chatpic.open(&busy.made.share_id, &access, opening).await.unwrap();
        site.clock.advance(Duration::from_secs(1800 * (1 + hour as u64 % 4)));
    }
    browser.see_text("#views", "14").await;
    look(&browser, "dashboard").await;

    browser.choose("#leak", &[&long]).await;
    browser.click("#trace-form button.primary").await;
    browser.see_text("#trace-result", "No match").await;
    look(&browser, "dashboard-no-match").await;

    browser.click("#burn-ask").await;
    browser.click("#burn").await;
    browser.see("#receipt").await;
    look(&browser, "dashboard-burned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_viewers_pages_have_no_barriers() {
    let site = Site::start().await;
    let browser = Browser::start().await;
    let password = Some(Password::new("correct horse"));
    let policy = AccessPolicy { max_views: Some(1), password, ..AccessPolicy::default() };
    let shared = site.share(&[(1200, 800), (800, 1100), (40, 30)], policy).await;
    let url = shared.link.clone();
    browser.go(url.split('#').next().unwrap()).await;
    browser.see("#key-form").await;
    look(&browser, "key").await;
    browser.write("#key", &url).await;
    browser.click("#key-form button").await;
    browser.see("#view").await;
    look(&browser, "cover").await;
    browser.click("a[href$=report]").await;
    browser.see("#reason").await;
    look(&browser, "report").await;
    browser.click(".row a").await;
    browser.see("#view").await;

    browser.write("#password", "wrong horse").await;
    browser.click("#view").await;
    browser.see_text("#problem", "not the password").await;
    browser.forget_console().await;
    look(&browser, "cover-wrong-password").await;

    browser.write("#password", "correct horse").await;
    browser.click("#view").await;
    browser.see(".gallery img").await;
    browser.see_loaded(".gallery img").await;
    look(&browser, "viewer").await;
    browser.click(".enlarge").await;
    browser.see_loaded("#lightbox img").await;
    look(&browser, "viewer-large").await;

    let access = site.chatpic.dashboard_access(&shared.made.share_id, &shared.made.dashboard_key);
    site.chatpic.burn(&shared.made.share_id, &access).await.unwrap();
    browser.see("#over").await;
    look(&browser, "viewer-over").await;

    browser.go(&url).await;
    browser.see("h1").await;
    browser.forget_console().await;
    look(&browser, "ended").await;
}
