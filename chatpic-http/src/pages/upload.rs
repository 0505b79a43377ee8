//! The front page, which is the upload itself, and its result.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use chatpic_core::Limits;

use super::chart::{Qr, qr};
use super::{Frame, problem_page, show};
use crate::client::{Client, Origin};
use crate::text::Phrase;
use crate::time::rfc3339;
use crate::{App, Route, upload};

pub(super) fn routes() -> Vec<Route> {
    vec![("/", get(front).post(create))]
}

#[derive(Template)]
#[template(path = "upload.html")]
struct Front {
    frame: Frame,
    images: usize,
    megabytes: usize,
    max_views: u32,
    password_chars: usize,
    upload_password: bool,
    min_seconds: u64,
    max_seconds: u64,
    default_expiry: Phrase,
    /// The other lengths that are offered, as far as they are allowed: ISO 8601 and words.
    expiries: Vec<(&'static str, Phrase)>,
}

impl Front {
    /// A text with this site's limits filled in.
    fn about(&self, path: &str) -> Phrase {
        self.frame
            .say(path)
            .with("site", &self.frame.options.name)
            .put("images", self.frame.count("images", self.images))
            .with("megabytes", self.megabytes)
            .put("expiry", &self.default_expiry)
            .put("longest", self.frame.time(self.max_seconds))
    }
}

/// Lengths of life that the form offers beside the default.
const EXPIRIES: [(&str, u64); 5] =
    [("PT10M", 600), ("PT1H", 3600), ("P1D", 86_400), ("P3D", 3 * 86_400), ("P30D", 30 * 86_400)];

async fn front(State(app): State<App>, origin: Origin) -> Response {
    let limits: &Limits = app.chatpic.limits();
    let frame = Frame::new(&origin, "front.title");
    show(&Front {
        images: limits.images,
        megabytes: limits.image_bytes / (1024 * 1024),
        max_views: limits.max_views,
        password_chars: limits.password_chars,
        upload_password: app.options.upload_password.is_some(),
        min_seconds: limits.min_expiry.as_secs(),
        max_seconds: limits.max_expiry.as_secs(),
        default_expiry: frame.time(limits.default_expiry.as_secs()),
        expiries: EXPIRIES
            .into_iter()
            .filter(|(_, seconds)| {
                (limits.min_expiry.as_secs()..=limits.max_expiry.as_secs()).contains(seconds)
                    && *seconds != limits.default_expiry.as_secs()
            })
            .map(|(iso, seconds)| (iso, frame.time(seconds)))
            .collect(),
        frame,
    })
}

#[derive(Template)]
#[template(path = "result.html")]
struct ResultPage {
    frame: Frame,
    summary: Phrase,
    link: String,
    link_qr: Option<Qr>,
    dashboard: String,
    dashboard_qr: Option<Qr>,
    expires_at: String,
    count: usize,
    untraceable: usize,
    password_required: bool,
}

async fn create(State(app): State<App>, origin: Origin, client: Client, request: Request) -> Response {
    let now = app.chatpic.now();
    match upload::create(&app, &client, request).await {
        Err(problem) => problem_page(&origin, problem, Some(origin.home())),
        Ok(created) => {
            let link = origin.link('s', &created.share_id, &created.link_key.reveal());
            let dashboard = origin.link('d', &created.share_id, &created.dashboard_key.reveal());
            let frame = Frame::new(&origin, "result.title");
            let summary = match created.max_views {
                Some(views) => frame.count("result.limited", views),
                None => frame.say("result.unlimited"),
            };
            let mut response = show(&ResultPage {
                summary: summary
                    .put("images", frame.count("images", created.images.len()))
                    .put("time", frame.time(now.until(created.expires_at).as_secs())),
                frame,
                link_qr: qr(&link),
                link,
                dashboard_qr: qr(&dashboard),
                dashboard,
                expires_at: rfc3339(created.expires_at),
                count: created.images.len(),
                untraceable: created.images.iter().filter(|image| !image.traceable).count(),
                password_required: created.password_required,
            });
            *response.status_mut() = StatusCode::CREATED;
            response
        }
    }
}
