//! Style, script, texts and pictures of pages, embedded; no page needs anything from elsewhere.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::brand::Logo;
use crate::pages::chart::world;
use crate::{App, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/assets/site.css", get(style)),
        ("/assets/site.js", get(|| file("text/javascript", include_str!("../assets/site.js")))),
        ("/assets/text.js", get(text)),
        ("/assets/logo", get(logo)),
        ("/assets/world.svg", get(|| file("image/svg+xml", world()))),
    ]
}

async fn style(State(app): State<App>) -> impl IntoResponse {
    let accent = app.options.accent.css();
    file("text/css", format!("{}{accent}", include_str!("../assets/site.css"))).await
}

async fn text(State(app): State<App>) -> impl IntoResponse {
    file("text/javascript", app.options.text.script()).await
}

async fn logo(State(app): State<App>) -> impl IntoResponse {
    let logo = app.options.logo.clone().unwrap_or_else(|| Logo::own(app.options.accent));
    // Drawings hold styles of their own; scripts in them stay forbidden.
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], file(logo.media_type(), logo.bytes()).await)
}

async fn file(media_type: &'static str, content: impl Into<Body>) -> impl IntoResponse {
    // A new version must be seen at once; the files are small.
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-cache")], content.into())
}
