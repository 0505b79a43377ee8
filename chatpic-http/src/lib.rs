//! ChatPic over HTTP: the JSON API and the reference site, as an [`axum::Router`] that nests under any path.
//!
//! It takes a built [`ChatPic`], so a host mounts it on stores of its own.

mod answers;
mod api;
mod assets;
mod base_url;
mod brand;
mod client;
mod country;
mod events;
mod forms;
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
use axum::http::HeaderName;
use axum::routing::{MethodRouter, get};
use axum::{Router, middleware};
use chatpic_core::{ChatPic, Limits};
use ipnet::IpNet;

pub use answers::TraceAnswer;
pub use base_url::{BaseUrl, BaseUrlError};
pub use brand::{Accent, BrandError, FooterLink, Href, Logo};
pub use country::Countries;
pub use text::{Text, TextError};
pub use upload::UploadPassword;

use crate::client::Strangers;
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
    pub contact: Option<Href>,
    /// Where the operator's terms stand, which pages link to.
    pub terms: Option<Href>,
    /// Further links at the foot of every page.
    pub links: Vec<FooterLink>,
    /// What pages say.
    pub text: Text,
    /// The site's public address, such as `https://pics.example` or `https://example.org/pics`. Every address in an answer
    /// is made from it, and with a path in it the routes answer below that path too, as well as at the root, for proxies
    /// that strip it. Without it, addresses are made from the request's `Host` and the path that the router is nested
    /// under.
    pub base_url: Option<BaseUrl>,
    /// Peers whose headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which a trusted proxy gives the client's address, with or without a port, brackets or quotes. An entry
    /// that is no address is logged once and counted in `/metrics`; such clients are told apart by what the proxy wrote,
    /// and their country is unknown.
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
    /// Whether `/healthz`, `/readyz` and `/metrics` are answered under a path too: where the router is nested, or the path
    /// of [`Options::base_url`]. At the root they always are.
    pub nested_health: bool,
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
            nested_health: false,
        }
    }
}

/// Which option is out of its range.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{option} must be {rule}")]
pub struct InvalidOption {
    option: &'static str,
    rule: String,
}

impl Options {
    /// Checks the options against each other and against the limits of the [`ChatPic`]: with what is refused here, every
    /// upload, image or event stream would be. [`router`] logs it as an error.
    ///
    /// ```
    /// use chatpic_core::Limits;
    /// use chatpic_http::Options;
    ///
    /// let options = Options { form_bytes: 1_000_000, ..Options::default() };
    /// let told = options.check(&Limits::default()).unwrap_err().to_string();
    /// assert_eq!(told, "form_bytes must be at least 83886080, eight times image_bytes");
    /// ```
    ///
    /// # Errors
    /// The first option that is not right.
    pub fn check(&self, limits: &Limits) -> Result<(), InvalidOption> {
        let invalid = |option, rule: &str| Err(InvalidOption { option, rule: rule.to_owned() });
        let is_header = |name: &str| name.parse::<HeaderName>().is_ok();
        if !is_header(&self.client_header) || self.client_header.eq_ignore_ascii_case("forwarded") {
            return invalid(
                "client_header",
                "the name of a header that holds addresses, such as X-Forwarded-For",
            );
        }
        if self.country_header.as_deref().is_some_and(|name| !is_header(name)) {
            return invalid("country_header", "the name of a header");
        }
        // For proxies that strip the path, the site's own routes answer at the root too.
        if self.base_url.as_ref().is_some_and(|url| is_own_path(url.path())) {
            return invalid("base_url", "without a path that begins like a page of the site");
        }
        // An address has a quarter of each.
        if self.listeners < 4 {
            return invalid("listeners", "at least 4");
        }
        // A leak and its original are in memory at once.
        let forms = limits.image_bytes.saturating_mul(8);
        if self.form_bytes < forms {
            return invalid("form_bytes", &format!("at least {forms}, eight times image_bytes"));
        }
        // The largest copy has four bytes for each pixel.
        let answers = limits.rendition_pixels.saturating_mul(16);
        if (self.answer_bytes as u64) < answers {
            return invalid("answer_bytes", &format!("at least {answers}, 16 times rendition_pixels"));
        }
        Ok(())
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
    /// Forms whose images came before their upload password.
    unproved: Arc<Places>,
    strangers: Arc<Strangers>,
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

/// Forms on this node at the same time that send images before the upload password; an address has a quarter, so one.
const UNPROVED: usize = 4;

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
            unproved: Places::new(UNPROVED, UNPROVED),
            strangers: Arc::default(),
            hub: Arc::default(),
            metrics: Arc::new(Metrics::new()),
            options: Arc::new(options),
        }
    }

    fn is_https(&self) -> bool {
        self.options.base_url.as_ref().is_some_and(BaseUrl::is_https)
    }
}

/// The JSON API under `/api/v1`, the pages, `/healthz`, `/readyz` and `/metrics`.
///
/// It nests under any path: `Router::nest_service("/pics", router)` answers `/pics` and `/pics/`, while `Router::nest`
/// leaves the latter to the host.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: caps, turns and wrong passwords are counted by the
/// client's address. A request without its peer's address counts as a client of its own, so that strangers can't use up
/// each other's caps. What holds for a share or the node still holds, but no cap for an address does: a warning is logged
/// once, and `/readyz` says so.
///
/// What ends is deleted by the sweep of the [`ChatPic`], which runs by itself unless its builder was told otherwise.
pub fn router(chatpic: ChatPic, options: Options) -> Router {
    if let Err(invalid) = options.check(chatpic.limits()) {
        tracing::error!(%invalid, "an option is out of its range");
    }
    let site = routes(App::new(chatpic, options.clone()));
    let path = options.base_url.as_ref().map_or("", BaseUrl::path);
    if path.is_empty() {
        return site;
    }
    Router::new().nest_service(path, site.clone()).fallback_service(site)
}

/// Where the JSON API stands below the router's own path.
const API: &str = "/api/v1";

/// A pattern below the router's own path, and what answers there.
type Route = (&'static str, MethodRouter<App>);

/// The pages with what they ask for; the JSON API is told by its own document.
fn site_routes() -> Vec<Route> {
    [pages::routes(), events::routes(), assets::routes()].concat()
}

/// Whether a path begins like one of the site's own routes.
fn is_own_path(path: &str) -> bool {
    let first = |path: &'static str| path.split('/').nth(1);
    let mut own = site_routes().into_iter().filter_map(|(path, _)| first(path));
    path.split('/').nth(1).is_some_and(|begin| {
        !begin.is_empty()
            && (own.any(|route| route == begin) || ["api", "healthz", "readyz", "metrics"].contains(&begin))
    })
}

/// What operators ask for.
fn health(app: &App) -> Router<App> {
    let mut router =
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(api::ready));
    if app.options.metrics {
        router = router.route("/metrics", get(metrics::show));
    }
    if app.options.nested_health {
        return router;
    }
    router.route_layer(middleware::from_fn_with_state(app.clone(), security::at_the_root))
}

fn routes(app: App) -> Router {
    Router::new()
        .merge(
            site_routes().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route)),
        )
        .nest(API, api::router())
        .merge(health(&app))
        .fallback(pages::no_such_page)
        // Handlers that take uploads bound their bodies themselves; nothing else needs more than this.
        .layer(DefaultBodyLimit::max(64 * 1024))
        .layer(middleware::from_fn_with_state(app.clone(), throttle::guard))
        .layer(middleware::from_fn_with_state(app.clone(), security::own_pages))
        .layer(middleware::from_fn_with_state(app.clone(), pace::bodies))
        .layer(middleware::from_fn(security::headers))
        .layer(middleware::from_fn_with_state(app.clone(), metrics::count))
        .layer(middleware::from_fn(security::log))
        .layer(middleware::map_request(forms::tidy_content_type))
        .layer(middleware::map_request(client::note_nesting))
        .with_state(app)
}

/// The crate's README, whose example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
