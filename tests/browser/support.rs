//! A site on a real port and real Chromium in front of it. The site's clock is manual: nothing waits for time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chatpic_core::testing::faults::{Fault, Faults, FaultyShares};
use chatpic_core::testing::{ManualClock, SeededEntropy, samples};
use chatpic_core::{
    AccessPolicy, ChatPic, Created, InstallationSecret, Limits, Opening, Password, SystemClock, Timestamp,
};
use chatpic_http::Options;
use chatpic_storage::{ObjectBlobs, SqliteShares};
use image::RgbImage;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a page may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running site in a temporary folder.
pub(crate) struct Site {
    pub(crate) chatpic: ChatPic,
    pub(crate) clock: Arc<ManualClock>,
    faults: Faults,
    /// Where the front page stands.
    pub(crate) url: String,
    folder: TempDir,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_under("").await
    }

    /// The site nested under a path of another, such as `/pics`.
    pub(crate) async fn start_under(prefix: &str) -> Self {
        Self::start_with(prefix, |_, _| {}).await
    }

    /// A site with other options and limits.
    pub(crate) async fn start_with(prefix: &str, change: impl FnOnce(&mut Options, &mut Limits)) -> Self {
        let folder = TempDir::new().unwrap();
        let now = chatpic_core::Clock::now(&SystemClock);
        let clock = Arc::new(ManualClock::new(Timestamp(now.0 / 1000 * 1000)));
        let shares = SqliteShares::open(&folder.path().join("chatpic.sqlite")).await.unwrap();
        let blobs = ObjectBlobs::local(&folder.path().join("blobs")).unwrap();
        let faults = Faults::new(clock.clone());
        let mut limits = Limits { workers: 2, queue: 200, ..Limits::default() };
        let mut options = Options {
            trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
            country_header: Some("X-Country".to_owned()),
            contact: Some("mailto:operator@example.org".parse().unwrap()),
            ..Options::default()
        };
        change(&mut options, &mut limits);
        let chatpic = ChatPic::builder(InstallationSecret::from_bytes([42; 32]))
            .stores(Arc::new(FaultyShares::new(Arc::new(shares), faults.clone())), Arc::new(blobs))
            .clock(clock.clone())
            .entropy(Arc::new(SeededEntropy::new(1)))
            .limits(limits)
            .sweep_every(None)
            .build()
            .await
            .unwrap();
        let site = chatpic_http::router(chatpic.clone(), options);
        let router = if prefix.is_empty() { site } else { Router::new().nest(prefix, site) };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            chatpic,
            clock,
            faults,
            url: format!("http://{address}{}", if prefix.is_empty() { "/" } else { prefix }),
            folder,
        }
    }

    /// A photograph on disk, for a file field.
    pub(crate) fn photograph(&self, name: &str, width: u32, height: u32, seed: u64) -> PathBuf {
        self.file(name, &samples::jpeg(&samples::photograph(width, height, seed), 90))
    }

    /// A share made without a browser, of photographs of these sizes.
    pub(crate) async fn share(&self, pictures: &[(u32, u32)], policy: AccessPolicy) -> Share {
        let mut upload = self.chatpic.upload(None).unwrap();
        for (seed, (width, height)) in pictures.iter().enumerate() {
            upload.add(samples::jpeg(&landscape(*width, *height, seed as u32), 90)).await.unwrap();
        }
        let made = upload.commit(policy).await.unwrap();
        let (url, id) = (self.url.trim_end_matches('/'), &made.share_id);
        let link = format!("{url}/s/{id}#{}", made.link_key.reveal());
        let dashboard = format!("{url}/d/{id}#{}", made.dashboard_key.reveal());
        Share { link, dashboard, made }
    }

    /// From now on the database answers nothing but errors.
    pub(crate) fn lose_the_database(&self) {
        self.faults.plan(std::iter::repeat(Some(Fault::Fails)));
    }

    /// Guesses the password from the browsers' address until no more guesses are taken.
    pub(crate) async fn guess_until_throttled(&self, share: &Share) {
        let access = self.chatpic.link_access(&share.made.share_id, &share.made.link_key);
        for _ in 0..self.chatpic.limits().wrong_passwords_per_address {
            let password = Some(Password::new("a guess"));
            let opening = Opening { password, address: "127.0.0.1".to_owned(), ..Opening::default() };
            assert!(self.chatpic.open(&share.made.share_id, &access, opening).await.is_err());
        }
    }

    /// How many shares have files.
    pub(crate) fn shares(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("blobs")).map_or(0, Iterator::count)
    }

    /// A landscape on disk, which is nicer to look at, for a file field.
    pub(crate) fn landscape(&self, name: &str, width: u32, height: u32, seed: u32) -> PathBuf {
        self.file(name, &samples::jpeg(&landscape(width, height, seed), 90))
    }

    /// A file on disk, for a file field.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Hills before a low sun, for the pictures of the documents.
fn landscape(width: u32, height: u32, seed: u32) -> RgbImage {
    let (w, h) = (width as f32, height as f32);
    let skies = [[250.0, 190.0, 130.0], [245.0, 205.0, 190.0], [190.0, 215.0, 240.0]];
    let sky = skies[seed as usize % skies.len()];
    let phase = seed as f32 * 1.7;
    let sun = (w * (0.3 + 0.17 * (seed % 4) as f32), h * 0.36, h.min(w) * 0.09);
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / w, y as f32 / h);
        let mut colour = sky.map(|c| c * (0.62 + 0.38 * (v * 1.8).min(1.0)));
        let away = (x as f32 - sun.0).hypot(y as f32 - sun.1) / sun.2;
        let glow = if away < 1.0 { 1.0 } else { 0.5 / (away * away) };
        colour = colour.map(|c| c + (255.0 - c) * glow);
        for layer in 0..4 {
            let depth = layer as f32;
            let wave = |f: f32| (u * f * w / h + phase + depth * 2.3).sin();
            let ridge = 0.5 + 0.13 * depth - 0.05 * wave(4.0) - 0.025 * wave(9.0) - 0.006 * wave(31.0);
            if v > ridge {
                let shade = 0.78 - 0.19 * depth;
                colour = [sky[0] * shade * 0.62, sky[1] * shade * 0.8, sky[2] * shade * 0.95];
            }
        }
        // Grain, as a sensor would add; the same for the same picture.
        let grain =
            (x.wrapping_mul(374_761_393) ^ y.wrapping_mul(668_265_263)).wrapping_mul(1_274_126_177) >> 24;
        let grain = (grain as f32 / 255.0 - 0.5) * 14.0;
        image::Rgb(colour.map(|c| (c + grain).clamp(0.0, 255.0) as u8))
    })
}

/// A share with its two links.
pub(crate) struct Share {
    pub(crate) link: String,
    pub(crate) dashboard: String,
    pub(crate) made: Created,
}

/// How a wire is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Whole,
    /// Answers are lost on their way.
    Deaf,
    Cut,
}

/// A wire to a site that can be cut, with everything that is on its way, or lose the site's answers.
pub(crate) struct Wire {
    pub(crate) url: String,
    condition: tokio::sync::watch::Sender<Condition>,
    lost: tokio::sync::watch::Receiver<bool>,
}

impl Wire {
    pub(crate) async fn to(site: &Site) -> Self {
        let far = site.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (condition, seen) = tokio::sync::watch::channel(Condition::Whole);
        let (losing, lost) = tokio::sync::watch::channel(false);
        let losing = Arc::new(losing);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (mut seen, losing, far) = (seen.clone(), losing.clone(), far.clone());
                tokio::spawn(async move {
                    let now = seen.clone();
                    let relay = async {
                        let (mut from_near, mut to_near) = near.into_split();
                        let far = tokio::net::TcpStream::connect(far).await?;
                        let (mut from_far, mut to_far) = far.into_split();
                        let asked = tokio::io::copy(&mut from_near, &mut to_far);
                        let answered = async {
                            let mut bytes = vec![0; 16 * 1024];
                            loop {
                                let count = from_far.read(&mut bytes).await?;
                                if count == 0 {
                                    return Ok::<_, std::io::Error>(());
                                }
                                if *now.borrow() == Condition::Deaf {
                                    losing.send_modify(|lost| {
                                        *lost |= bytes[..count].starts_with(b"HTTP/1.1 201")
                                    });
                                } else {
                                    to_near.write_all(&bytes[..count]).await?;
                                }
                            }
                        };
                        tokio::select! { asked = asked => asked.map(drop), answered = answered => answered }
                    };
                    tokio::select! {
                        _ = relay => {}
                        _ = seen.wait_for(|condition| *condition == Condition::Cut) => {}
                    }
                });
            }
        });
        Self { url, condition, lost }
    }

    pub(crate) fn cut(&self) {
        self.condition.send_replace(Condition::Cut);
    }

    pub(crate) fn deafen(&self) {
        self.condition.send_replace(Condition::Deaf);
    }

    /// Waits until the site's answer that a share was made is lost; that of an icon asked for meanwhile is none.
    pub(crate) async fn lose_the_share(&self) {
        self.lost.clone().wait_for(|lost| *lost).await.unwrap();
    }

    pub(crate) fn mend(&self) {
        self.condition.send_replace(Condition::Whole);
    }
}

/// Chromium with a profile of its own; it ends with the value.
pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
    _driver_process: Driver,
    profile: TempDir,
}

/// The driver, which ends its browser when it is told to shut down; one that is only killed leaves it behind.
struct Driver {
    process: Child,
    port: u16,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let ended = std::net::TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut wire| {
            wire.set_read_timeout(Some(PATIENCE))?;
            let host = format!("Host: 127.0.0.1:{}", self.port);
            wire.write_all(
                format!("GET /shutdown HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n").as_bytes(),
            )?;
            wire.read_to_end(&mut Vec::new())
        });
        if ended.is_err() {
            drop(self.process.kill());
        }
        drop(self.process.wait());
    }
}

/// What a browser may be asked to be.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kind {
    pub(crate) without_javascript: bool,
    pub(crate) phone: bool,
    pub(crate) dark: bool,
}

/// What most links are opened with.
pub(crate) const PHONE_IN_THE_DARK: Kind = Kind { without_javascript: false, phone: true, dark: true };

impl Browser {
    pub(crate) async fn start() -> Self {
        Self::start_as(Kind::default()).await
    }

    pub(crate) async fn start_as(kind: Kind) -> Self {
        Self::start_with(TempDir::new().unwrap(), kind).await
    }

    /// Closes the browser, and starts it again with what it keeps.
    pub(crate) async fn restart(self) -> Self {
        let Self { driver, _driver_process, profile } = self;
        driver.quit().await.unwrap();
        drop(_driver_process);
        Self::start_with(profile, Kind::default()).await
    }

    async fn start_with(profile: TempDir, kind: Kind) -> Self {
        let process = start_driver();
        let address = format!("http://127.0.0.1:{}", process.port);
        let mut wanted = DesiredCapabilities::chrome();
        for argument in [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en-GB",
            "--window-size=1440,900",
        ] {
            wanted.add_arg(argument).unwrap();
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.path().display())).unwrap();
        if kind.without_javascript {
            let never = json!({ "profile.managed_default_content_settings.javascript": 2 });
            wanted.add_experimental_option("prefs", never).unwrap();
        }
        wanted.set("goog:loggingPrefs", json!({ "browser": "WARNING" })).unwrap();
        // The client shares a build with S3's, which leaves the choice to whoever runs it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let driver = WebDriver::new(&address, wanted).await.expect("chromium starts");
        driver.set_script_timeout(2 * PATIENCE).await.unwrap();
        let browser = Self { driver, _driver_process: process, profile };
        browser.become_a(kind).await;
        browser
    }

    /// The folder of its profile, which stands on the command line of each of its processes.
    pub(crate) fn profile(&self) -> &str {
        self.profile.path().to_str().unwrap()
    }

    /// Takes on another width, touch and colour scheme.
    pub(crate) async fn become_a(&self, kind: Kind) {
        let (width, height, scale) = if kind.phone { (390, 844, 2) } else { (1440, 900, 1) };
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": kind.phone });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        self.devtools("Emulation.setTouchEmulationEnabled", json!({ "enabled": kind.phone })).await;
        let scheme = if kind.dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// A Chrome DevTools Protocol command.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(method, parameters).await.expect(method)
    }

    pub(crate) async fn go(&self, url: &str) {
        self.driver.goto(url).await.expect(url);
    }

    /// Waits until a condition, written in JavaScript, holds on the page. The page itself looks, again and again, so
    /// that nothing here sleeps; a page that is left meanwhile is followed to the next.
    async fn until(&self, condition: &str, patience: Duration) -> bool {
        let script = format!(
            "const done = arguments[0], end = performance.now() + {};
             const holds = () => {{ try {{ return Boolean({condition}); }} catch {{ return false; }} }};
             const look = () => holds() ? done(true) : performance.now() > end ? done(false) : setTimeout(look, 30);
             look();",
            patience.as_millis()
        );
        for _ in 0..10 {
            if let Ok(answer) = self.driver.execute_async(&script, Vec::new()).await {
                return answer.json() == true;
            }
        }
        false
    }

    /// Waits until something that fits is shown.
    pub(crate) async fn see(&self, css: &str) -> WebElement {
        self.see_within(css, PATIENCE).await
    }

    pub(crate) async fn see_within(&self, css: &str, patience: Duration) -> WebElement {
        let condition = format!("{}.some((e) => e.checkVisibility())", all(css));
        let seen = self.until(&condition, patience).await;
        assert!(seen, "{css} is not there:\n{}", self.page_text().await);
        self.driver.find(By::Css(css)).await.expect(css)
    }

    /// Waits until something that fits holds this text.
    pub(crate) async fn see_text(&self, css: &str, text: &str) {
        let condition = format!("{}.some((e) => e.textContent.includes({text:?}))", all(css));
        let seen = self.until(&condition, PATIENCE).await;
        assert!(seen, "{css} does not say {text:?}:\n{}", self.page_text().await);
    }

    /// Waits until nothing that fits is shown any more.
    pub(crate) async fn see_no(&self, css: &str) {
        let condition = format!("!{}.some((e) => e.checkVisibility())", all(css));
        let gone = self.until(&condition, PATIENCE).await;
        assert!(gone, "{css} is still there:\n{}", self.page_text().await);
    }

    pub(crate) async fn click(&self, css: &str) {
        let element = self.see(css).await;
        element.scroll_into_view().await.unwrap();
        if let Err(error) = element.click().await {
            panic!("{css} can't be clicked: {error}\n{}", self.page_text().await);
        }
    }

    /// Something that is there, also on pages without scripts, which can't look for themselves.
    pub(crate) async fn there(&self, css: &str) -> WebElement {
        match self.driver.query(By::Css(css)).first().await {
            Ok(element) => element,
            Err(_) => panic!("{css} is not there:\n{}", self.page_text().await),
        }
    }

    /// Like `there`, once its whole text is this: the page that a form leads to may hold the same element.
    pub(crate) async fn there_says(&self, css: &str, text: &str) {
        let query = self.driver.query(By::Css(css)).ignore_errors(true).with_text(text.to_owned());
        let said = query.exists().await.unwrap_or(false);
        assert!(said, "{css} does not say {text:?}:\n{}", self.page_text().await);
    }

    /// Opens a link with its key in the field of its page, as is done without scripts.
    pub(crate) async fn enter(&self, link: &str) {
        self.go(link).await;
        let key = self.there("#key").await;
        key.clear().await.unwrap();
        key.send_keys(link).await.unwrap();
        self.press("#key-form button").await;
    }

    /// Clicks something that is there; the driver waits for the page that follows.
    pub(crate) async fn press(&self, css: &str) {
        let element = self.there(css).await;
        element.click().await.expect(css);
    }

    /// Presses keys where the focus is.
    pub(crate) async fn keys(&self, keys: impl Into<TypingData>) {
        self.driver.action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// What the QR code says that is shown there, read from the screen.
    pub(crate) async fn read_qr(&self, css: &str) -> String {
        let code = self.see(css).await;
        code.scroll_into_view().await.unwrap();
        let picture = image::load_from_memory(&code.screenshot_as_png().await.unwrap()).unwrap().to_luma8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let shade = |x: usize, y: usize| picture.get_pixel(x as u32, y as u32).0[0];
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, shade);
        picture.detect_grids().first().expect("a QR code is found").decode().unwrap().1
    }

    /// Spreads two fingers over the middle of the screen.
    pub(crate) async fn spread_fingers(&self) {
        let fingers = |apart: i32| json!([{ "x": 195 - apart, "y": 420, "id": 0 }, { "x": 195 + apart, "y": 420, "id": 1 }]);
        let touch = async |kind: &str, points: Value| {
            self.devtools("Input.dispatchTouchEvent", json!({ "type": kind, "touchPoints": points })).await;
        };
        touch("touchStart", fingers(30)).await;
        for apart in [45, 60, 75, 90, 105, 120] {
            touch("touchMove", fingers(apart)).await;
        }
        touch("touchEnd", json!([])).await;
    }

    /// Draws with the mouse from the middle of one thing to the middle of another.
    pub(crate) async fn draw_onto(&self, from: &str, to: &str) {
        let (from, to) = (self.see(from).await, self.see(to).await);
        from.scroll_into_view().await.unwrap();
        self.driver.action_chain().drag_and_drop_element(&from, &to).perform().await.unwrap();
    }

    /// Draws a finger from right to left over the middle of the screen.
    pub(crate) async fn swipe_left(&self) {
        for (kind, points) in [
            ("touchStart", json!([{ "x": 320, "y": 420 }])),
            ("touchMove", json!([{ "x": 80, "y": 425 }])),
            ("touchEnd", json!([])),
        ] {
            self.devtools("Input.dispatchTouchEvent", json!({ "type": kind, "touchPoints": points })).await;
        }
    }

    /// Lets an upload out at this many bytes a second; -1 is no bound.
    pub(crate) async fn upload_at(&self, bytes_a_second: i64) {
        self.network(false, bytes_a_second).await;
    }

    /// Takes the network away.
    pub(crate) async fn go_offline(&self) {
        self.network(true, -1).await;
    }

    async fn network(&self, offline: bool, bytes_a_second: i64) {
        self.devtools("Network.enable", json!({})).await;
        let conditions = json!({
            "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_a_second,
        });
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    /// Waits until a condition, written in JavaScript, holds.
    pub(crate) async fn see_true(&self, condition: &str) {
        assert!(self.until(condition, PATIENCE).await, "{condition}:\n{}", self.page_text().await);
    }

    pub(crate) async fn write(&self, css: &str, text: &str) {
        let field = self.see(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Puts files into a file field, as choosing them would.
    pub(crate) async fn choose(&self, css: &str, files: &[&Path]) {
        let field = self.driver.find(By::Css(css)).await.expect(css);
        let names: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
        field.send_keys(names.join("\n")).await.unwrap();
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.expect(script).json().clone()
    }

    /// Runs a script that answers by calling `arguments[0]`.
    pub(crate) async fn run_async(&self, script: &str) -> Value {
        self.driver.execute_async(script, Vec::new()).await.expect(script).json().clone()
    }

    /// Waits until images are there and every one on the screen is decoded.
    pub(crate) async fn see_loaded(&self, css: &str) {
        let loaded = "every((i) => i.loading === 'lazy' || (i.complete && i.naturalWidth > 0))";
        let condition = format!("{0}.length > 0 && {0}.{loaded}", all(css));
        assert!(self.until(&condition, PATIENCE).await, "{css} does not load:\n{}", self.page_text().await);
    }

    /// Drops what the console said about an answer that was meant to be an error.
    pub(crate) async fn forget_console(&self) {
        drop(self.driver.get_log("browser").await.unwrap());
    }

    pub(crate) async fn value(&self, css: &str) -> String {
        self.see(css).await.value().await.unwrap().unwrap_or_default()
    }

    /// What is shown right now, as a picture.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        self.driver.screenshot_as_png().await.unwrap()
    }

    pub(crate) async fn page_text(&self) -> String {
        match self.driver.find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// Fails when the page broke the content policy, threw, or asked for something that is not there.
    pub(crate) async fn expect_a_quiet_console(&self) {
        let log = self.driver.get_log("browser").await.unwrap();
        let loud: Vec<_> = log.iter().map(|line| format!("{line:?}")).collect();
        assert!(loud.is_empty(), "{loud:#?}");
    }
}

fn all(css: &str) -> String {
    format!("[...document.querySelectorAll({css:?})]")
}

fn start_driver() -> Driver {
    let process = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn();
    let mut process = process.expect("chromedriver is missing: `scripts/test --install` gets it");
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| {
        let port = line.split_once("started successfully on port ")?.1;
        port.trim_end_matches('.').parse().ok()
    });
    Driver { process, port: port.expect("chromedriver names its port") }
}
