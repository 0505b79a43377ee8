//! What is stored, for how long, and what is not.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::{Frame, show};
use crate::client::Origin;
use crate::text::Phrase;
use crate::{App, Route};

pub(super) fn routes() -> Vec<Route> {
    vec![("/privacy", get(privacy))]
}

/// What is kept of one thing, and for how long.
struct Row {
    what: Phrase,
    text: Phrase,
    /// `Until` or `For`, where it has an end.
    prefix: Option<Phrase>,
    until: Phrase,
}

#[derive(Template)]
#[template(path = "privacy.html")]
struct Privacy {
    frame: Frame,
    stored: Vec<Row>,
    session: Phrase,
}

async fn privacy(State(app): State<App>, origin: Origin) -> Response {
    let limits = app.chatpic.limits();
    let frame = Frame::new(&origin, "privacy.title");
    let row = |what: &str, prefix: Option<&str>, until: Phrase| Row {
        what: frame.say(&format!("privacy.{what}")),
        text: frame.say(&format!("privacy.{what}_text")),
        prefix: prefix.map(|prefix| frame.say(prefix)),
        until,
    };
    let (until, lasts) = (Some("privacy.until"), Some("privacy.for"));
    let images = frame.say("privacy.images_until");
    let images = images.put("expiry", frame.time(limits.default_expiry.as_secs()));
    let ledger = frame.say("privacy.ledger_for").put("ledger", frame.time(limits.max_ledger.as_secs()));
    let stored = vec![
        row("images", until, images.put("longest", frame.time(limits.max_expiry.as_secs()))),
        row("keys", until, frame.say("privacy.ledger_goes_below")),
        row("password", None, frame.say("privacy.never")),
        row("sessions", until, frame.say("privacy.ledger_goes_below")),
        row("ledger", lasts, ledger),
        row("blocked", until, frame.say("privacy.ledger_goes")),
        row("reports", until, frame.say("privacy.ledger_goes")),
        row("addresses", lasts, frame.time(limits.wrong_password_window.as_secs())),
        row("log", lasts, frame.say("privacy.log_for")),
    ];
    show(&Privacy { stored, session: frame.time(limits.session_absolute.as_secs()), frame })
}
