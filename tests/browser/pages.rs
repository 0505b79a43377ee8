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
            // What lies over its page is as high as the screen; of a long page the beginning is enough.
            let over = ["viewer-large", "result-leave"].contains(&name);
            let height = if over { height } else { whole.clamp(height, 2 * height + 200) };
            // A trace's result stands far down its page.
            let top = if name.starts_with("trace-") {
                browser.run("return document.getElementById('trace').offsetTop - 16").await.as_f64().unwrap()
            } else {
                0.0
            };
            let height = if top > 0.0 { 900 } else { height };
            let clip = json!({ "x": 0, "y": top, "width": width, "height": height, "scale": if kind.phone { 0.7 } else { 0.8 } });
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
    if let Ok(folder) = std::env::var("CHATPIC_PICTURES") {
        std::fs::write(PathBuf::from(folder).join(format!("{name}.bytes")), bytes.to_string()).unwrap();
    }
    let foreign = browser.run(
        "return performance.getEntriesByType('resource').map((e) => e.name)
         .filter((name) => !name.startsWith(location.origin + '/') && !name.startsWith('blob:' + location.origin))",
    );
    assert_eq!(foreign.await, json!([]), "{name}: nothing comes from elsewhere");
    let inline = browser.run(
        "return [...document.querySelectorAll('script:not([src]), style, [style]')].length
         + [...document.querySelectorAll('*')].filter((e) => [...e.attributes].some((a) => a.name.startsWith('on'))).length",
    );
    assert_eq!(inline.await, 0, "{name}: no script or style stands in the page");
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

    browser.click("#remove-bad").await;
    browser.click("#send").await;
    browser.see("#result").await;
    browser.click("[data-copy=dashboard]").await;
    browser.click(".qr summary").await;
    look(&browser, "result").await;
    browser.run("document.getElementById('leave').showModal()").await;
    look(&browser, "result-leave").await;

    browser.go(&format!("{}privacy", site.url)).await;
    look(&browser, "privacy").await;

    let policy = AccessPolicy { max_views: Some(40), ..AccessPolicy::default() };
    let busy = site.share(&[(1200, 800), (800, 1100)], policy).await;
    browser.go(&busy.dashboard).await;
    browser.see_text("#status-word", "not opened yet").await;
    look(&browser, "dashboard-new").await;
    // Hours pass at once, and the page's cookie with them.
    browser.go(&site.url).await;
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
    browser.go(&busy.dashboard).await;
    browser.see_text("#views", "14").await;
    look(&browser, "dashboard").await;

    let small = site.share(&[(900, 600)], AccessPolicy::default()).await;
    let access = site.chatpic.link_access(&small.made.share_id, &small.made.link_key);
    let opening = Opening { country: "DE".parse().ok(), ..Opening::default() };
    let opened = site.chatpic.open(&small.made.share_id, &access, opening).await.unwrap();
    let copy = site.chatpic.image(&small.made.share_id, &opened.token, 0, None).await.unwrap();
    browser.go(&small.dashboard).await;
    browser.see("#trace-button").await;
    for (leak, result, name) in [
        (site.photograph("somewhere-else.jpg", 900, 600, 99), "No match", "trace-no-match"),
        (site.file("leak.jpg", &copy.bytes), &*opened.session.label(), "trace-match"),
    ] {
        browser.choose("#leak", &[&leak]).await;
        browser.click("#trace-button").await;
        browser.see_text("#trace-result h3", result).await;
        look(&browser, name).await;
    }

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

#[tokio::test(flavor = "multi_thread")]
async fn ten_images_have_no_barriers() {
    let site = Site::start().await;
    let browser = Browser::start().await;
    let sizes = [
        (600, 400),
        (400, 600),
        (64, 48),
        (800, 300),
        (300, 800),
        (1, 1),
        (500, 500),
        (640, 480),
        (120, 900),
        (480, 640),
    ];
    let share = site.share(&sizes, AccessPolicy::default()).await;
    browser.go(&share.link).await;
    browser.see("#view").await;
    look(&browser, "cover-ten").await;
    browser.click("#view").await;
    browser.see_loaded(".gallery img").await;
    look(&browser, "viewer-ten").await;
}

/// Sends the form of the front page as browsers without scripts do, and looks at the page that answers.
async fn send_plainly(browser: &Browser, site: &Site, files: &[&std::path::Path], name: &str, says: &str) {
    browser.go(&site.url).await;
    browser.choose("#images", files).await;
    browser.see(".thumbs li").await;
    browser.run("document.getElementById('upload').submit()").await;
    expect_a_problem(browser, name, says).await;
}

/// The page says what happened and what to do, leads somewhere, and has no barriers.
async fn expect_a_problem(browser: &Browser, name: &str, says: &str) {
    browser.see_text(".message h1", says).await;
    browser.see_true("document.getElementById('detail').textContent.trim().length > 10").await;
    browser.see_true("document.getElementById('advice').textContent.trim().length > 10").await;
    browser.see("main a.button").await;
    assert_eq!(
        browser.run("return /[{}]|problem\\./.test(document.body.textContent)").await,
        false,
        "{name}"
    );
    browser.forget_console().await;
    look(browser, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_says_what_happened_and_what_to_do() {
    let site = Site::start_with("", |options, _| options.uploads_per_hour = 3).await;
    let browser = Browser::start().await;
    browser.go(&format!("{}nowhere", site.url)).await;
    expect_a_problem(&browser, "error-no-such-page", "There is no such page").await;

    let large = site.file("large.jpg", &[&[0xff, 0xd8][..], &vec![0; 11 << 20]].concat());
    send_plainly(&browser, &site, &[&large], "error-too-large", "too large").await;
    browser.see_text("#detail", "Image 1").await;
    browser.see_text("#detail", "10 MB").await;
    let text = site.file("notes.jpg", b"no picture");
    send_plainly(&browser, &site, &[&text], "error-unsupported", "not a picture").await;
    let good = site.photograph("good.jpg", 600, 400, 1);
    browser.go(&site.url).await;
    browser.choose("#images", &[&good]).await;
    browser.see(".thumbs li").await;
    browser.run("document.getElementById('expires_in').add(new Option('', 'P90D', true, true)); document.getElementById('upload').submit()").await;
    expect_a_problem(&browser, "error-out-of-range", "out of its range").await;
    browser
        .go(&format!("data:text/html,<form method=post action={}><button>x</button></form>", site.url))
        .await;
    browser.click("button").await;
    expect_a_problem(&browser, "error-foreign", "Not from this site").await;
    send_plainly(&browser, &site, &[&good], "error-too-many", "A little too fast").await;
    browser.see_text("#advice", "Try again in").await;
    assert_eq!(site.shares(), 0);

    let full = Site::start_with("", |_, limits| limits.max_stored = Some(1)).await;
    full.share(&[(64, 48)], AccessPolicy::default()).await;
    send_plainly(&browser, &full, &[&good], "error-full", "No room").await;
    full.lose_the_database();
    send_plainly(&browser, &full, &[&good], "error-unavailable", "Not available at the moment").await;
    browser.see_text("#advice", "Try again in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_a_viewer_says_what_happened_and_what_to_do() {
    let site = Site::start().await;
    let browser = Browser::start().await;
    let share = site.share(&[(600, 400)], AccessPolicy::default()).await;
    browser.go(&share.link).await;
    browser.see("#view").await;
    let nonce = browser.run("return document.querySelector('[name=nonce]').value").await;
    browser.click("#view").await;
    browser.see("#viewer").await;
    site.clock.advance(Duration::from_secs(90));
    browser.go(&share.link).await;
    browser.see_text("#continue", "Continue").await;
    look(&browser, "cover-again").await;
    browser.run(&format!("document.querySelector('[name=nonce]').value = {nonce}")).await;
    browser.click("#view").await;
    expect_a_problem(&browser, "error-old-page", "This page is old").await;

    site.clock.advance(Duration::from_secs(2 * 60 * 60));
    browser.go(&format!("{}/view", share.link.split('#').next().unwrap())).await;
    expect_a_problem(&browser, "error-session-over", "This viewing is over").await;
    browser.go(&share.dashboard.replace("/d/", "/d/x").replace('#', "#x")).await;
    browser.see_text("h1", "That key does not fit").await;
    browser.forget_console().await;
    look(&browser, "key-wrong").await;

    let policy = AccessPolicy { password: Some(Password::new("swordfish")), ..AccessPolicy::default() };
    let locked = site.share(&[(600, 400)], policy).await;
    browser.go(&locked.link).await;
    site.guess_until_throttled(&locked).await;
    browser.write("#password", "catfish").await;
    browser.click("#view").await;
    browser.see_text("#problem", "Too many wrong passwords. Wait").await;
    browser.forget_console().await;
    look(&browser, "cover-throttled").await;
    browser.go_offline().await;
    browser.see("#offline").await;
    browser.write("#password", "swordfish").await;
    browser.click("#view").await;
    browser.see_text("#offline", "Try again when the network is back").await;
    assert_eq!(browser.value("#password").await, "swordfish", "what was written is kept");
    look(&browser, "offline").await;
    browser.upload_at(-1).await;
    browser.see_no("#offline").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_own_name_logo_colour_links_and_language_have_no_barriers() {
    let logo = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 60 20'><rect width='60' height='20' style='fill:#c0a'/></svg>";
    let german = r#"{ "language": "de", "front": { "title": "Bilder teilen, die nicht bleiben" }, "script": { "send_other": "Link für {{count}} Bilder" } }"#;
    // Pale yellow on white could not be read as it is.
    for accent in ["#ffe14d", "#101010"] {
        let site = Site::start_with("/pics", |options, _| {
            options.name = "Pics & <Proofs>".to_owned();
            options.logo = Some(chatpic_http::Logo::new(logo).unwrap());
            options.accent = accent.parse().unwrap();
            options.terms = Some("https://pics.example/terms".parse().unwrap());
            options.links = vec!["Imprint=https://pics.example/imprint".parse().unwrap()];
            options.text = chatpic_http::Text::parse(german).unwrap();
        });
        let site = site.await;
        let browser = Browser::start().await;
        browser.go(&site.url).await;
        browser.see_text("h1", "Bilder teilen").await;
        browser.see_text(".brand", "Pics & <Proofs>").await;
        browser.see_text("footer", "Imprint").await;
        browser.see_true("document.querySelector('.brand img').naturalWidth > 0").await;
        browser.see_true("document.documentElement.lang === 'de'").await;
        let (one, two) = (site.photograph("1.jpg", 64, 48, 1), site.photograph("2.jpg", 64, 48, 2));
        browser.choose("#images", &[&one, &two]).await;
        browser.see_text("#send", "Link für 2 Bilder").await;
        look(&browser, &format!("brand-{}", &accent[1..])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_numbers_and_countries_are_the_readers() {
    let site = Site::start().await;
    let share =
        site.share(&[(64, 48)], AccessPolicy { max_views: Some(5000), ..AccessPolicy::default() }).await;
    let access = site.chatpic.link_access(&share.made.share_id, &share.made.link_key);
    let opening = Opening { country: "DE".parse().ok(), ..Opening::default() };
    site.chatpic.open(&share.made.share_id, &access, opening).await.unwrap();
    let browser = Browser::start().await;
    browser.devtools("Emulation.setLocaleOverride", json!({ "locale": "de-DE" })).await;
    browser.devtools("Emulation.setTimezoneOverride", json!({ "timezoneId": "Asia/Tokyo" })).await;
    browser.go(&share.dashboard).await;
    browser.see_text("#views-left", "4.999").await;
    browser.see_text("[data-country=DE]", "Deutschland").await;
    let theirs = "new Date(e.dateTime).toLocaleString('de-DE', { timeZone: 'Asia/Tokyo', dateStyle: 'medium', timeStyle: 'short' })";
    browser
        .see_true(&format!("[...document.querySelectorAll('time')].every((e) => e.textContent === {theirs})"))
        .await;
}
