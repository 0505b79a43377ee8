//! The uploader's dashboard: what happened, and what can be done.

use std::time::Duration;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chatpic_core::{Dashboard, DashboardAccess, Error, ShareId, Status, TraceReport};
use serde::Deserialize;

use super::viewing::{SESSION, current, image, view_page};
use super::{
    Frame, KeyForm, in_words, pasted_key, problem_page, secret_cookie, see_other, share_path, shell, show,
    with_cookie,
};
use crate::App;
use crate::api::dashboard_json;
use crate::client::{Origin, share_id};
use crate::problem::Problem;
use crate::security::{check_form, form_token};
use crate::time::{duration, rfc3339};
use crate::upload;

const DASHBOARD: &str = "chatpic_dashboard";

pub(crate) fn dashboard_cookie(headers: &HeaderMap) -> Result<DashboardAccess, Problem> {
    secret_cookie(headers, DASHBOARD).ok_or_else(Problem::unauthorized)
}

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/d/{id}", get(page).post(exchange))
        .route("/d/{id}/state", get(state))
        .route("/d/{id}/extend", post(extend))
        .route("/d/{id}/ledger", post(ledger))
        .route("/d/{id}/burn", post(burn))
        .route("/d/{id}/trace", post(trace))
        .route("/d/{id}/preview", post(preview))
        .route("/d/{id}/view", get(view))
        .route("/d/{id}/current", get(current))
        .route("/d/{id}/images/{index}", get(image))
}

/// One row of the table of sessions.
struct SessionRow {
    label: String,
    opened_at: String,
    country: String,
    device: &'static str,
    images_seen: u32,
}

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    frame: Frame,
    path: String,
    token: String,
    d: Dashboard,
    status: &'static str,
    active: bool,
    link: Option<String>,
    time_left: String,
    countries: Vec<(String, u32)>,
    countries_reached: usize,
    sessions: Vec<SessionRow>,
    ledger_until: String,
    keep_days: u64,
    purged_at: Option<String>,
    trace: Option<TraceWords>,
}

/// A trace's outcome in words.
struct TraceWords {
    found: Vec<String>,
    candidates: usize,
}

async fn show_page(
    app: &App,
    origin: &Origin,
    id: &ShareId,
    access: &DashboardAccess,
    trace: Option<TraceReport>,
) -> Response {
    let d = match app.chatpic.dashboard(id, access, None).await {
        Ok(dashboard) => dashboard,
        Err(Error::Unauthorized(_)) => return shell(origin, "dashboard", true),
        Err(error) => return problem_page(origin, error.into(), None),
    };
    let country = |country: Option<chatpic_core::Country>| {
        country.map_or_else(|| "unknown".to_owned(), |country| country.to_string())
    };
    let words = |report: TraceReport| {
        TraceWords {
        candidates: report.candidates,
        found: report
            .matches
            .iter()
            .map(|found| {
                let when = found.opened_at.map_or_else(|| "in your own preview".to_owned(), |at| format!("opened {}", rfc3339(at)));
                format!(
                    "{} — image {}, {when}, country {}. Score {:.1}; an innocent session would score so high with a probability of at most {:.0e}.",
                    found.session.label(), found.image + 1, country(found.country), found.score, found.false_alarm.max(1e-300)
                )
            })
            .collect(),
    }
    };
    let active = d.status == Status::Active;
    show(&DashboardPage {
        frame: Frame::new(origin, "Dashboard"),
        path: share_path(origin, 'd', id),
        token: form_token(&access.reveal()),
        status: if active && d.views == 0 { "not opened yet" } else { d.status.as_str() },
        active,
        link: d.link_key.as_ref().map(|key| app.link(origin, 's', id, &key.reveal())),
        time_left: in_words(d.seconds_left),
        countries: d.countries.iter().map(|(c, views)| (country(*c), *views)).collect(),
        countries_reached: d.countries.iter().filter(|(country, _)| country.is_some()).count(),
        sessions: d
            .sessions
            .iter()
            .map(|s| SessionRow {
                label: s.session.label(),
                opened_at: rfc3339(s.opened_at),
                country: country(s.country),
                device: s.device.as_str(),
                images_seen: s.images_seen,
            })
            .collect(),
        ledger_until: rfc3339(d.ledger_until),
        keep_days: d.expires_at.until(d.ledger_until).as_secs() / 86_400,
        purged_at: d.receipt.and_then(|receipt| receipt.purged_at).map(rfc3339),
        trace: trace.map(words),
        d,
    })
}

async fn page(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = share_id(&id) else { return shell(&origin, "dashboard", false) };
    match secret_cookie::<DashboardAccess>(&headers, DASHBOARD) {
        Some(access) => show_page(&app, &origin, &id, &access, None).await,
        None => shell(&origin, "dashboard", false),
    }
}

async fn exchange(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    form: Result<Form<KeyForm>, FormRejection>,
) -> Response {
    let id = share_id(&id).ok();
    let key = form.ok().and_then(|form| pasted_key(&form.key).parse().ok());
    let (Some(id), Some(key)) = (id, key) else { return shell(&origin, "dashboard", true) };
    let access = app.chatpic.dashboard_access(&id, &key);
    match app.chatpic.check_dashboard(&id, &access).await {
        Ok(()) => {
            let path = share_path(&origin, 'd', &id);
            with_cookie(see_other(&path), &app, DASHBOARD, &access.reveal(), &path)
        }
        Err(Error::Unauthorized(_)) => shell(&origin, "dashboard", true),
        Err(error) => problem_page(&origin, error.into(), None),
    }
}

async fn state(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = share_id(&id)?;
    let access = secret_cookie(&headers, DASHBOARD).ok_or_else(Problem::unauthorized)?;
    let dashboard = app.chatpic.dashboard(&id, &access, None).await?;
    Ok(Json(dashboard_json(&app, &origin, &id, &dashboard)).into_response())
}

/// The fields of the dashboard's forms.
#[derive(Deserialize)]
struct ActionForm {
    token: Option<String>,
    extend_by: Option<String>,
    keep_days: Option<u64>,
}

/// A form of the dashboard that was really sent from it.
async fn action<T>(
    origin: &Origin,
    id: &str,
    headers: &HeaderMap,
    form: Result<Form<ActionForm>, FormRejection>,
    act: impl AsyncFnOnce(ShareId, DashboardAccess, ActionForm) -> Result<T, Problem>,
) -> Result<(T, String), Response> {
    let outcome = async {
        let id = share_id(id)?;
        let access: DashboardAccess = secret_cookie(headers, DASHBOARD).ok_or_else(Problem::unauthorized)?;
        let Form(form) = form?;
        check_form(headers, &access.reveal(), form.token.as_deref())?;
        Ok((act(id, access, form).await?, share_path(origin, 'd', &id)))
    };
    let back = format!("{}/d/{id}", origin.prefix);
    outcome.await.map_err(|problem| problem_page(origin, problem, Some(back)))
}

async fn extend(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
    form: Result<Form<ActionForm>, FormRejection>,
) -> Response {
    let act = async |id, access, form: ActionForm| {
        let by = duration("extend_by", form.extend_by.as_deref().unwrap_or_default())?;
        Ok(app.chatpic.extend(&id, &access, by).await?)
    };
    action(&origin, &id, &headers, form, act).await.map_or_else(|page| page, |(_, path)| see_other(&path))
}

async fn ledger(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
    form: Result<Form<ActionForm>, FormRejection>,
) -> Response {
    let act = async |id, access, form: ActionForm| {
        let days = form.keep_days.ok_or_else(|| Problem::malformed("the number of days is missing"))?;
        let keep = Duration::from_secs(days.saturating_mul(86_400));
        Ok(app.chatpic.keep_ledger(&id, &access, keep).await?)
    };
    action(&origin, &id, &headers, form, act).await.map_or_else(|page| page, |(_, path)| see_other(&path))
}

async fn burn(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
    form: Result<Form<ActionForm>, FormRejection>,
) -> Response {
    let act = async |id, access, _| Ok(app.chatpic.burn(&id, &access).await?);
    action(&origin, &id, &headers, form, act).await.map_or_else(|page| page, |(_, path)| see_other(&path))
}

async fn preview(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
    form: Result<Form<ActionForm>, FormRejection>,
) -> Response {
    let act = async |id, access, _| Ok(app.chatpic.preview(&id, &access).await?);
    match action(&origin, &id, &headers, form, act).await {
        Ok((opened, path)) => {
            with_cookie(see_other(&format!("{path}/view")), &app, SESSION, &opened.token.reveal(), &path)
        }
        Err(page) => page,
    }
}

async fn view(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = share_id(&id) else { return shell(&origin, "dashboard", false) };
    let path = share_path(&origin, 'd', &id);
    view_page(&app, &origin, &headers, &id, path).await
}

async fn trace(State(app): State<App>, Path(id): Path<String>, origin: Origin, request: Request) -> Response {
    let headers = request.headers().clone();
    let back = format!("{}/d/{id}", origin.prefix);
    let outcome = async {
        let id = share_id(&id)?;
        let access: DashboardAccess = secret_cookie(&headers, DASHBOARD).ok_or_else(Problem::unauthorized)?;
        app.chatpic.check_dashboard(&id, &access).await?;
        let ([leak, original], token) = upload::files(&app, request, ["image", "original"]).await?;
        check_form(&headers, &access.reveal(), token.as_deref())?;
        let leak = leak.ok_or_else(|| Problem::malformed("choose a picture to trace"))?;
        let report = app.chatpic.trace(&id, &access, leak, original).await?;
        Ok((id, access, report))
    };
    match outcome.await {
        Ok((id, access, report)) => show_page(&app, &origin, &id, &access, Some(report)).await,
        Err(problem) => problem_page(&origin, problem, Some(back)),
    }
}
