//! What is stored, for how long, and what is not.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::{Frame, in_words, show};
use crate::App;
use crate::client::Origin;

pub(super) fn router() -> Router<App> {
    Router::new().route("/privacy", get(privacy))
}

#[derive(Template)]
#[template(path = "privacy.html")]
struct Privacy {
    frame: Frame,
    default_expiry: String,
    max_expiry: String,
    session: String,
    ledger: String,
    throttle: String,
}

async fn privacy(State(app): State<App>, origin: Origin) -> Response {
    let limits = app.chatpic.limits();
    show(&Privacy {
        frame: Frame::new(&origin, "Privacy"),
        default_expiry: in_words(limits.default_expiry.as_secs()),
        max_expiry: in_words(limits.max_expiry.as_secs()),
        session: in_words(limits.session_absolute.as_secs()),
        ledger: in_words(limits.max_ledger.as_secs()),
        throttle: in_words(limits.wrong_password_window.as_secs()),
    })
}
