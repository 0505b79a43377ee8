//! Telling the operator about a share.

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use chatpic_core::{LinkKey, ShareId};
use serde::Deserialize;

use super::{Frame, problem_page, show};
use crate::client::{Origin, share_id};
use crate::forms::key_in;
use crate::problem::Problem;
use crate::{App, Route};

pub(super) fn routes() -> Vec<Route> {
    vec![("/s/{id}/report", get(ask).post(take))]
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    frame: Frame,
    path: String,
    most: usize,
    taken: bool,
}

fn page(app: &App, origin: &Origin, id: &ShareId, taken: bool) -> Response {
    show(&ReportPage {
        frame: Frame::new(origin, "report.title"),
        path: origin.share('s', id),
        most: app.chatpic.limits().report_chars,
        taken,
    })
}

async fn ask(State(app): State<App>, Path(id): Path<String>, origin: Origin) -> Response {
    match share_id(&id) {
        Ok(id) => page(&app, &origin, &id, false),
        Err(problem) => problem_page(&origin, problem, None),
    }
}

#[derive(Deserialize)]
struct ReportForm {
    reason: String,
    link: String,
}

async fn take(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    form: Result<Form<ReportForm>, FormRejection>,
) -> Response {
    let outcome = async {
        let (id, Form(form)) = (share_id(&id)?, form?);
        let key: Option<LinkKey> = key_in(&form.link);
        app.chatpic.report(&id, &form.reason, key.as_ref()).await?;
        Ok::<_, Problem>(id)
    };
    match outcome.await {
        Ok(id) => {
            let mut response = page(&app, &origin, &id, true);
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
        Err(problem) => problem_page(&origin, problem, Some(format!("{}/report", origin.share('s', id)))),
    }
}
