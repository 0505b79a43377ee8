//! The front page, which is the upload itself, and its result.

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use chatpic_core::Limits;

use super::{Frame, in_words, problem_page, show};
use crate::App;
use crate::client::Origin;
use crate::security::check_form;
use crate::upload;

pub(super) fn router() -> Router<App> {
    Router::new().route("/", get(front).post(create))
}

#[derive(Template)]
#[template(path = "upload.html")]
struct Front {
    frame: Frame,
    images: usize,
    megabytes: usize,
    max_views: u32,
    default_expiry: String,
}

async fn front(State(app): State<App>, origin: Origin) -> Response {
    let limits: &Limits = app.chatpic.limits();
    show(&Front {
        frame: Frame::new(&origin, "ChatPic: private, temporary image sharing"),
        images: limits.images,
        megabytes: limits.image_bytes / (1024 * 1024),
        max_views: limits.max_views,
        default_expiry: in_words(limits.default_expiry.as_secs()),
    })
}

#[derive(Template)]
#[template(path = "result.html")]
struct ResultPage {
    frame: Frame,
    link: String,
    dashboard: String,
    count: usize,
    untraceable: usize,
    expires_in: String,
    max_views: Option<u32>,
    password_required: bool,
}

async fn create(State(app): State<App>, origin: Origin, request: Request) -> Response {
    // No cookie takes part: another site's form could only make a share that nobody can open.
    if request.headers().contains_key("sec-fetch-site")
        && let Err(problem) = check_form(request.headers(), "", None)
    {
        return problem_page(&origin, problem, None);
    }
    let now = app.chatpic.now();
    match upload::create(&app, request).await {
        Err(problem) => problem_page(&origin, problem, Some(format!("{}/", origin.prefix))),
        Ok(created) => {
            let mut response = show(&ResultPage {
                frame: Frame::new(&origin, "Your share is ready"),
                link: app.link(&origin, 's', &created.share_id, &created.link_key.reveal()),
                dashboard: app.link(&origin, 'd', &created.share_id, &created.dashboard_key.reveal()),
                count: created.images.len(),
                untraceable: created.images.iter().filter(|image| !image.traceable).count(),
                expires_in: in_words(now.until(created.expires_at).as_secs()),
                max_views: created.max_views,
                password_required: created.password_required,
            });
            *response.status_mut() = StatusCode::CREATED;
            response
        }
    }
}
