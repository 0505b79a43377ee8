//! Style, script and icon, embedded; no page needs anything from elsewhere.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::App;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/assets/site.css", get(|| file("text/css", include_str!("../assets/site.css"))))
        .route("/assets/icon.svg", get(|| file("image/svg+xml", include_str!("../assets/icon.svg"))))
        .route("/assets/site.js", get(|| file("text/javascript", include_str!("../assets/site.js"))))
}

async fn file(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    // A new version must be seen at once; the files are small.
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-cache")], text)
}
