//! ChatPic over HTTP: the JSON API and the reference site, as an [`axum::Router`] that nests under any path.
//!
//! It takes a built [`ChatPic`], so a host mounts it on stores of its own.

mod api;
mod assets;
mod client;
mod pages;
mod problem;
mod security;
mod time;
mod upload;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::routing::get;
use axum::{Router, middleware};
use chatpic_core::{ChatPic, ShareId};
use ipnet::IpNet;

/// How the site is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// The site's public address, such as `https://pics.example`, with the path that the router is nested under;
    /// without it, links are made from the request's `Host`.
    pub base_url: Option<String>,
    /// Peers whose headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which a trusted proxy gives the client's address.
    pub client_header: String,
    /// The header in which a trusted proxy gives the client's country.
    pub country_header: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            base_url: None,
            trusted_proxies: Vec::new(),
            client_header: "X-Forwarded-For".to_owned(),
            country_header: None,
        }
    }
}

/// What every handler can reach.
#[derive(Clone)]
struct App {
    chatpic: ChatPic,
    options: Arc<Options>,
}

impl FromRef<App> for ChatPic {
    fn from_ref(app: &App) -> Self {
        app.chatpic.clone()
    }
}

impl App {
    fn is_https(&self) -> bool {
        self.options.base_url.as_deref().is_some_and(|url| url.starts_with("https:"))
    }

    /// The share link or (`/d/`) dashboard link; the key stands in the fragment, which browsers never send.
    fn link(&self, origin: &client::Origin, kind: char, id: &ShareId, key: &str) -> String {
        let base = self.options.base_url.as_deref().unwrap_or(&origin.url).trim_end_matches('/');
        format!("{base}/{kind}/{id}#{key}")
    }
}

/// The JSON API under `/api/v1`, the pages, and `/healthz` and `/readyz`.
pub fn router(chatpic: ChatPic, options: Options) -> Router {
    let app = App { chatpic, options: Arc::new(options) };
    Router::new()
        .merge(pages::router())
        .nest("/api/v1", api::router())
        .merge(assets::router())
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(api::ready))
        .fallback(pages::not_found)
        // Handlers that take uploads bound their bodies themselves; nothing else needs more than this.
        .layer(DefaultBodyLimit::max(64 * 1024))
        .layer(middleware::from_fn(security::headers))
        .layer(middleware::from_fn(security::log))
        .with_state(app)
}
