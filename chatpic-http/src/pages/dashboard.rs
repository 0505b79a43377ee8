//! The uploader's dashboard: what happened, and what can be done.

use std::time::Duration;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chatpic_core::{
    Country, Cursor, Dashboard, DashboardAccess, Error, SessionInfo, ShareId, Status, Timestamp, TraceMatch,
    TraceReport,
};
use serde::Deserialize;

use super::chart::{Bar, Reached, bars, country_name, reached};
use super::viewing::{SESSION, current, image, view_page};
use super::{
    Frame, KeyForm, in_words, pasted_key, problem_page, secret_cookie, see_other, share_path, shell, show,
    with_cookie,
};
use crate::App;
use crate::api::{dashboard_json, serve_csv};
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
        .route("/d/{id}/sessions.csv", get(sessions_csv))
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
    country: Place,
    device: &'static str,
    images_seen: u32,
}

/// A country as pages show it: the code for scripts that know its name in the reader's language.
struct Place {
    code: String,
    name: String,
}

impl From<Option<Country>> for Place {
    fn from(country: Option<Country>) -> Self {
        match country {
            Some(country) => Self { code: country.to_string(), name: country_name(country) },
            None => Self { code: String::new(), name: "unknown".to_owned() },
        }
    }
}

/// How long the ledger can be kept, as the dashboard offers it.
const LEDGER_DAYS: [u64; 4] = [0, 7, 30, 90];

/// Sessions on one page, so that it stays light; the API's pages and the CSV are longer.
const SESSIONS: usize = 100;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    frame: Frame,
    path: String,
    id: String,
    token: String,
    d: Dashboard,
    status: &'static str,
    active: bool,
    link: Option<String>,
    time_left: String,
    created_at: String,
    expires_at: String,
    countries: Vec<(Place, u32)>,
    countries_reached: usize,
    reached: Vec<Reached>,
    bars: Vec<Bar>,
    busiest: u32,
    sessions: Vec<SessionRow>,
    older: Option<String>,
    ledger_until: String,
    keep_days: u64,
    ledger_days: Vec<u64>,
    burned_at: Option<String>,
    purged_at: Option<String>,
    megabytes: usize,
    trace: Option<TraceWords>,
}

/// A trace's outcome in words.
struct TraceWords {
    found: Vec<Found>,
    candidates: usize,
}

/// One session that a leak was served to.
struct Found {
    label: String,
    image: usize,
    opened_at: Option<String>,
    country: Place,
    odds: String,
    score: String,
}

impl From<&TraceMatch> for Found {
    fn from(found: &TraceMatch) -> Self {
        Self {
            label: found.session.label(),
            image: found.image + 1,
            opened_at: found.opened_at.map(rfc3339),
            country: found.country.into(),
            odds: odds(found.false_alarm),
            score: format!("{:.1}", found.score),
        }
    }
}

/// A small probability as a chance that people can image.
fn odds(probability: f64) -> String {
    // Powers of ten are rounded towards the likelier: no more is claimed than was found.
    match -probability.max(1e-300).log10() {
        zeros if zeros >= 15.0 => "less than one in a million billion".to_owned(),
        zeros if zeros >= 12.0 => "less than one in a million million".to_owned(),
        zeros if zeros >= 9.0 => "less than one in a thousand million".to_owned(),
        zeros if zeros >= 6.0 => "at most one in a million".to_owned(),
        _ => format!("about {probability:.0e}"),
    }
}

async fn show_page(
    app: &App,
    origin: &Origin,
    id: &ShareId,
    access: &DashboardAccess,
    after: Option<Cursor>,
    trace: Option<TraceReport>,
) -> Response {
    let d = match app.chatpic.dashboard(id, access, after).await {
        Ok(dashboard) => dashboard,
        Err(Error::Unauthorized(_)) => return shell(origin, "dashboard", true),
        Err(error) => return problem_page(origin, error.into(), None),
    };
    let limits = app.chatpic.limits();
    let active = d.status == Status::Active;
    let now = app.chatpic.now();
    // Nothing is opened after the end, so the plot ends there.
    let shown_until = if active { now } else { Timestamp(now.0.min(d.expires_at.0)) };
    let path = share_path(origin, 'd', id);
    let older = match d.sessions.get(SESSIONS) {
        Some(_) => d.sessions.get(SESSIONS - 1).map(SessionInfo::cursor),
        None => d.next,
    };
    show(&DashboardPage {
        frame: Frame::new(origin, "Dashboard"),
        id: id.to_string(),
        token: form_token(&access.reveal()),
        status: if active && d.views == 0 { "not opened yet" } else { d.status.as_str() },
        active,
        link: d.link_key.as_ref().map(|key| app.link(origin, 's', id, &key.reveal())),
        time_left: in_words(d.seconds_left),
        created_at: rfc3339(d.created_at),
        expires_at: rfc3339(d.expires_at),
        countries: d.countries.iter().map(|(country, views)| ((*country).into(), *views)).collect(),
        countries_reached: d.countries.iter().filter(|(country, _)| country.is_some()).count(),
        reached: reached(&d.countries),
        busiest: d.timeline.iter().map(|(_, views)| *views).max().unwrap_or(0),
        bars: bars(&d.timeline, d.created_at, shown_until),
        sessions: d.sessions.iter().take(SESSIONS).map(SessionRow::from).collect(),
        older: older.map(|next| format!("{path}?after={next}")),
        path,
        ledger_until: rfc3339(d.ledger_until),
        keep_days: d.expires_at.until(d.ledger_until).as_secs() / 86_400,
        ledger_days: LEDGER_DAYS
            .into_iter()
            .filter(|days| days * 86_400 <= limits.max_ledger.as_secs())
            .collect(),
        burned_at: d.receipt.as_ref().and_then(|receipt| receipt.burned_at).map(rfc3339),
        purged_at: d.receipt.as_ref().and_then(|receipt| receipt.purged_at).map(rfc3339),
        megabytes: limits.image_bytes / (1024 * 1024),
        trace: trace.map(|report| TraceWords {
            candidates: report.candidates,
            found: report.matches.iter().map(Found::from).collect(),
        }),
        d,
    })
}

impl From<&SessionInfo> for SessionRow {
    fn from(session: &SessionInfo) -> Self {
        Self {
            label: session.session.label(),
            opened_at: rfc3339(session.opened_at),
            country: session.country.into(),
            device: session.device.as_str(),
            images_seen: session.images_seen,
        }
    }
}

#[derive(Deserialize)]
struct Page {
    after: Option<String>,
}

async fn page(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = share_id(&id) else { return shell(&origin, "dashboard", false) };
    // A cursor that can't be read shows the newest, as none does.
    let after = page.after.and_then(|after| after.parse().ok());
    match secret_cookie::<DashboardAccess>(&headers, DASHBOARD) {
        Some(access) => show_page(&app, &origin, &id, &access, after, None).await,
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
    let access = dashboard_cookie(&headers)?;
    let dashboard = app.chatpic.dashboard(&id, &access, None).await?;
    Ok(Json(dashboard_json(&app, &origin, &id, &dashboard)).into_response())
}

async fn sessions_csv(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    serve_csv(app.chatpic, share_id(&id)?, dashboard_cookie(&headers)?).await
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
        let access = dashboard_cookie(headers)?;
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
    view_page(&app, &origin, &headers, &id, path, true).await
}

async fn trace(State(app): State<App>, Path(id): Path<String>, origin: Origin, request: Request) -> Response {
    let headers = request.headers().clone();
    let back = format!("{}/d/{id}", origin.prefix);
    let outcome = async {
        let id = share_id(&id)?;
        let access = dashboard_cookie(&headers)?;
        app.chatpic.check_dashboard(&id, &access).await?;
        let ([leak, original], token) = upload::files(&app, request, ["image", "original"]).await?;
        check_form(&headers, &access.reveal(), token.as_deref())?;
        let leak = leak.ok_or_else(|| Problem::malformed("choose a image to trace"))?;
        let report = app.chatpic.trace(&id, &access, leak, original).await?;
        Ok((id, access, report))
    };
    match outcome.await {
        Ok((id, access, report)) => show_page(&app, &origin, &id, &access, None, Some(report)).await,
        Err(problem) => problem_page(&origin, problem, Some(back)),
    }
}
