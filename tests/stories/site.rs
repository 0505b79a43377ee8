//! A whole site in a temporary folder: the router on SQLite and files, driven by a manual clock.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use chatpic_core::testing::faults::{Faults, FaultyBlobs, FaultyShares};
use chatpic_core::testing::{ManualClock, SeededEntropy, samples};
use chatpic_core::{ChatPic, InstallationSecret, Limits, SystemClock, Timestamp};
use chatpic_http::Options;
use chatpic_storage::{ObjectBlobs, SqliteShares};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const BOUNDARY: &str = "a-boundary-between-fields";

pub(crate) struct Site {
    pub(crate) chatpic: ChatPic,
    pub(crate) clock: Arc<ManualClock>,
    /// What befalls the calls of its share store; nothing unless it is planned.
    pub(crate) share_faults: Faults,
    /// What befalls the calls of its blob store.
    pub(crate) blob_faults: Faults,
    folder: TempDir,
    router: Router,
}

/// What the site answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// The cookie that it sets: what a browser sends back, and how long the browser keeps it.
    pub(crate) fn set_cookie(&self) -> (String, String) {
        let cookie = self.headers[header::SET_COOKIE].to_str().unwrap();
        let (pair, attributes) = cookie.split_once(';').unwrap();
        (pair.to_owned(), attributes.to_owned())
    }
}

/// A share as its uploader got it.
pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) link_key: String,
    pub(crate) dashboard_key: String,
    pub(crate) answer: Value,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default(), limits()).await
    }

    /// A site with other options and limits.
    pub(crate) async fn with(options: Options, limits: Limits) -> Self {
        let folder = TempDir::new().unwrap();
        let now = chatpic_core::Clock::now(&SystemClock);
        let clock = Arc::new(ManualClock::new(Timestamp(now.0 / 1000 * 1000)));
        Self::open(folder, clock, 1, options, limits).await
    }

    /// The same site after a restart: the same folder and clock, nothing else.
    pub(crate) async fn restart(self) -> Self {
        let Self { folder, clock, .. } = self;
        Self::open(folder, clock, 2, Options::default(), limits()).await
    }

    async fn open(
        folder: TempDir,
        clock: Arc<ManualClock>,
        seed: u64,
        options: Options,
        limits: Limits,
    ) -> Self {
        let shares = SqliteShares::open(&folder.path().join("chatpic.sqlite")).await.unwrap();
        let blobs = ObjectBlobs::local(&folder.path().join("blobs")).unwrap();
        let (share_faults, blob_faults) = (Faults::new(clock.clone()), Faults::new(clock.clone()));
        let shares = FaultyShares::new(Arc::new(shares), share_faults.clone());
        let blobs = FaultyBlobs::new(Arc::new(blobs), blob_faults.clone());
        let chatpic = ChatPic::builder(InstallationSecret::from_bytes([42; 32]))
            .stores(Arc::new(shares), Arc::new(blobs))
            .clock(clock.clone())
            .entropy(Arc::new(SeededEntropy::new(seed)))
            .limits(limits)
            .sweep_every(None)
            .build()
            .await
            .unwrap();
        let router = chatpic_http::router(chatpic.clone(), options)
            .layer(MockConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4711))));
        Self { chatpic, clock, share_faults, blob_faults, folder, router }
    }

    /// The answer as it comes, its body unread.
    pub(crate) async fn begin(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, key: Option<&str>, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "chatpic.test");
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        };
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, key: Option<&str>) -> Answer {
        self.call(Method::GET, path, key, Value::Null).await
    }

    /// Gets a page, or posts a form of one, as a browser does that holds these cookies.
    pub(crate) async fn page(&self, method: Method, path: &str, cookies: &str, form: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "chatpic.test")
            .header("sec-fetch-site", "same-origin")
            .header(header::COOKIE, cookies)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    /// Exchanges a key on the page of this path for the page's cookie.
    pub(crate) async fn enter(&self, path: &str, key: &str) -> String {
        let entered = self.page(Method::POST, path, "", &format!("key={key}")).await.expect(303);
        entered.set_cookie().0
    }

    /// What the dashboard's page says to a holder of the dashboard link.
    pub(crate) async fn dashboard_page(&self, shared: &Shared) -> String {
        let path = format!("/d/{}", shared.id);
        let cookie = self.enter(&path, &shared.dashboard_key).await;
        self.page(Method::GET, &path, &cookie, "").await.expect(200).text()
    }

    /// Posts a multipart form: text fields and files.
    pub(crate) async fn post_form(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        texts: &[(&str, &str)],
        files: &[(&str, &[u8])],
    ) -> Answer {
        let mut body = Vec::new();
        for (name, value) in texts {
            let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(value.as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        for (name, bytes) in files {
            let head = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"my holiday.jpg\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let mut request = Request::post(path)
            .header(header::HOST, "chatpic.test")
            .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn upload(&self, texts: &[(&str, &str)], images: &[&[u8]]) -> Answer {
        let files: Vec<_> = images.iter().map(|bytes| ("images", *bytes)).collect();
        self.post_form("/api/v1/shares", &[], texts, &files).await
    }

    /// Shares one photograph with these options.
    pub(crate) async fn share(&self, texts: &[(&str, &str)]) -> Shared {
        Shared::from(self.upload(texts, &[&photograph()]).await.expect(201).json())
    }

    pub(crate) async fn open_session(&self, shared: &Shared, extra: Value) -> Answer {
        let mut body = json!({ "key": shared.link_key });
        if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
            body.extend(extra.clone());
        }
        self.call(Method::POST, &format!("/api/v1/shares/{}/sessions", shared.id), None, body).await
    }

    pub(crate) async fn image(&self, shared: &Shared, session: &Value) -> Answer {
        let path = format!("/api/v1/shares/{}/images/0", shared.id);
        self.get(&path, session["token"].as_str()).await
    }

    pub(crate) async fn dashboard(&self, shared: &Shared) -> Value {
        let path = format!("/api/v1/shares/{}/dashboard", shared.id);
        self.get(&path, Some(&shared.dashboard_key)).await.expect(200).json()
    }

    pub(crate) async fn burn(&self, shared: &Shared) -> Answer {
        let path = format!("/api/v1/shares/{}", shared.id);
        self.call(Method::DELETE, &path, Some(&shared.dashboard_key), Value::Null).await
    }

    pub(crate) async fn trace(&self, shared: &Shared, leak: &[u8]) -> Answer {
        let path = format!("/api/v1/shares/{}/trace", shared.id);
        let bearer = format!("Bearer {}", shared.dashboard_key);
        self.post_form(&path, &[("Authorization", &bearer)], &[], &[("image", leak)]).await
    }

    /// Every file under the site's folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, files) } else { files.push(path) }
            }
        }
        let mut files = Vec::new();
        walk(self.folder.path(), &mut files);
        files
    }

    /// Every sealed object.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        self.files().into_iter().filter(|path| path.starts_with(self.folder.path().join("blobs"))).collect()
    }
}

impl From<Value> for Shared {
    fn from(answer: Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Self {
            id: text("share_id"),
            link_key: text("link_key"),
            dashboard_key: text("dashboard_key"),
            answer,
        }
    }
}

/// The contract's limits, with a queue that no test fills by accident.
pub(crate) fn limits() -> Limits {
    Limits { workers: 2, queue: 200, ..Limits::default() }
}

/// A small photograph with texture enough for the forensic mark.
pub(crate) fn photograph() -> Vec<u8> {
    samples::jpeg(&samples::photograph(900, 600, 7), 92)
}
