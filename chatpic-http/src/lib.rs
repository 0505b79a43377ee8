//! ChatPic over HTTP: the JSON API and the reference site, as an [`axum::Router`] that nests under any path.
//!
//! It takes a built [`ChatPic`], so a host mounts it on stores of its own.

mod answers;
mod api;
mod assets;
mod brand;
mod client;
mod country;
mod events;
mod metrics;
mod openapi;
mod pace;
mod pages;
mod places;
mod problem;
mod security;
mod sending;
#[cfg(test)]
mod tests;
mod text;
mod throttle;
mod time;
mod upload;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::routing::get;
use axum::{Router, middleware};
use chatpic_core::{ChatPic, ShareId};
use ipnet::IpNet;

pub use answers::TraceAnswer;
pub use brand::{Accent, BrandError, FooterLink, Logo};
pub use country::Countries;
pub use text::{Text, TextError};
pub use upload::UploadPassword;

use crate::events::Hub;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::throttle::Throttle;

/// How the site is reached, and how it presents itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the site calls itself.
    pub name: String,
    /// The picture beside the name, and in the browser's tab; without it, ChatPic's own in the accent colour.
    pub logo: Option<Logo>,
    /// The colour of buttons and links.
    pub accent: Accent,
    /// How the operator is reached: a `mailto:` or `https:` address that pages link to.
    pub contact: Option<String>,
    /// Where the operator's terms stand, which pages link to.
    pub terms: Option<String>,
    /// Further links at the foot of every page.
    pub links: Vec<FooterLink>,
    /// What pages say.
    pub text: Text,
    /// The site's public address, such as `https://pics.example`, with the path that the router is nested under;
    /// without it, links are made from the request's `Host`.
    pub base_url: Option<String>,
    /// Peers whose headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which a trusted proxy gives the client's address.
    pub client_header: String,
    /// The header in which a trusted proxy gives the client's country.
    pub country_header: Option<String>,
    /// Where countries are looked up that no trusted proxy tells.
    pub countries: Countries,
    /// Uploads of one address within an hour; 0 is no cap.
    pub uploads_per_hour: u32,
    /// Openings of one address within an hour; 0 is no cap.
    pub opens_per_hour: u32,
    /// Traces of one address within an hour; 0 is no cap.
    pub traces_per_hour: u32,
    /// Reports of one address within an hour; 0 is no cap.
    pub reports_per_hour: u32,
    /// What uploaders must know, if not everybody may upload.
    pub upload_password: Option<UploadPassword>,
    /// Event streams at the same time; of them, eight for one session or dashboard, a quarter for one address and a half
    /// for one share.
    pub listeners: usize,
    /// Bytes of uploads and pictures to trace in memory at the same time, encoded; a quarter of them for one address.
    pub form_bytes: usize,
    /// Bytes of images on their way to viewers at the same time; a quarter of them for one session or address, a half for
    /// one share.
    pub answer_bytes: usize,
    /// Whether `/metrics` is shown.
    pub metrics: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "ChatPic".to_owned(),
            logo: None,
            accent: Accent::default(),
            contact: None,
            terms: None,
            links: Vec::new(),
            text: Text::default(),
            base_url: None,
            trusted_proxies: Vec::new(),
            client_header: "X-Forwarded-For".to_owned(),
            country_header: None,
            countries: Countries::default(),
            uploads_per_hour: 60,
            opens_per_hour: 600,
            traces_per_hour: 60,
            reports_per_hour: 60,
            upload_password: None,
            listeners: 1000,
            form_bytes: 512 * 1024 * 1024,
            answer_bytes: 256 * 1024 * 1024,
            metrics: true,
        }
    }
}

/// What every handler can reach.
#[derive(Clone)]
struct App {
    chatpic: ChatPic,
    options: Arc<Options>,
    uploads: Arc<Throttle>,
    opens: Arc<Throttle>,
    traces: Arc<Throttle>,
    reports: Arc<Throttle>,
    streams: Arc<Places>,
    forms: Arc<Places>,
    answers: Arc<Places>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
}

impl FromRef<App> for ChatPic {
    fn from_ref(app: &App) -> Self {
        app.chatpic.clone()
    }
}

/// Event streams of one session, which may be open in several tabs, or of one dashboard.
const STREAMS_EACH: usize = 8;

impl App {
    fn new(chatpic: ChatPic, options: Options) -> Self {
        Self {
            chatpic,
            uploads: Arc::new(Throttle::new(options.uploads_per_hour)),
            opens: Arc::new(Throttle::new(options.opens_per_hour)),
            traces: Arc::new(Throttle::new(options.traces_per_hour)),
            reports: Arc::new(Throttle::new(options.reports_per_hour)),
            streams: Places::new(options.listeners, STREAMS_EACH),
            forms: Places::new(options.form_bytes, options.form_bytes),
            answers: Places::new(options.answer_bytes, options.answer_bytes / 4),
            hub: Arc::default(),
            metrics: Arc::new(Metrics::new()),
            options: Arc::new(options),
        }
    }

    fn is_https(&self) -> bool {
        self.options.base_url.as_deref().is_some_and(|url| url.starts_with("https:"))
    }

    /// The share link or (`/d/`) dashboard link; the key stands in the fragment, which browsers never send.
    fn link(&self, origin: &client::Origin, kind: char, id: &ShareId, key: &str) -> String {
        let base = self.options.base_url.as_deref().unwrap_or(&origin.url).trim_end_matches('/');
        format!("{base}/{kind}/{id}#{key}")
    }
}

/// The JSON API under `/api/v1`, the pages, `/healthz`, `/readyz` and `/metrics`.
pub fn router(chatpic: ChatPic, options: Options) -> Router {
    routes(App::new(chatpic, options))
}

fn routes(app: App) -> Router {
    let metrics =
        if app.options.metrics { Router::new().route("/metrics", get(metrics::show)) } else { Router::new() };
    Router::new()
        .merge(pages::router())
        .merge(events::router())
        .nest("/api/v1", api::router())
        .merge(assets::router())
        .merge(metrics)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(api::ready))
        .fallback(pages::no_such_page)
        // Handlers that take uploads bound their bodies themselves; nothing else needs more than this.
        .layer(DefaultBodyLimit::max(64 * 1024))
        .layer(middleware::from_fn_with_state(app.clone(), throttle::guard))
        .layer(middleware::from_fn_with_state(app.clone(), security::own_pages))
        .layer(middleware::from_fn_with_state(app.clone(), pace::bodies))
        .layer(middleware::from_fn(security::headers))
        .layer(middleware::from_fn_with_state(app.clone(), metrics::count))
        .layer(middleware::from_fn(security::log))
        .with_state(app)
}

/// The crate's README, whose example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
