//! Style, script and icon, embedded; no page needs anything from elsewhere.

use axum::Router;
use axum::body::Body;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::App;
use crate::pages::chart::world;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/assets/site.css", get(|| file("text/css", include_str!("../assets/site.css"))))
        .route("/assets/icon.svg", get(|| file("image/svg+xml", include_str!("../assets/icon.svg"))))
        .route("/assets/world.svg", get(|| file("image/svg+xml", world())))
        .route("/assets/site.js", get(|| file("text/javascript", include_str!("../assets/site.js"))))
}

async fn file(media_type: &'static str, text: impl Into<Body>) -> impl IntoResponse {
    // A new version must be seen at once; the files are small.
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-cache")], text.into())
}
