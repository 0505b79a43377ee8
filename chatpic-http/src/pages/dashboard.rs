//! The uploader's dashboard: what happened, and what can be done.

use std::collections::BTreeSet;
use std::time::Duration;

use askama::Template;
use axum::Json;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chatpic_core::mark::Evidence;
use chatpic_core::{
    Country, Cursor, Dashboard, DashboardAccess, Error, SessionInfo, ShareId, Status, Timestamp, TraceMatch,
    TraceReport,
};
use serde::Deserialize;

use super::chart::{Bar, Reached, bars, country_name, reached};
use super::viewing::{current, image, seen, view_page, with_session};
use super::{Frame, KeyForm, Lock, access_cookie, back, problem_page, see_other, shell, show, with_access};
use crate::answers::DashboardAnswer;
use crate::api::serve_csv;
use crate::client::{Client, Origin, share_id};
use crate::forms::{id_in, key_in};
use crate::problem::Problem;
use crate::security::{check_form, form_token};
use crate::text::Phrase;
use crate::time::{duration, rfc3339};
use crate::{App, Route, upload};

const DASHBOARD: &str = "chatpic_dashboard";

pub(crate) fn dashboard_cookie(app: &App, headers: &HeaderMap) -> Result<DashboardAccess, Problem> {
    access_cookie(app, headers, DASHBOARD).ok_or_else(Problem::unauthorized)
}

pub(super) fn routes() -> Vec<Route> {
    let back = |origin, id| back(origin, id, Lock::Dashboard);
    vec![
        ("/d/{id}", get(page).post(exchange)),
        ("/d/{id}/", get(back)),
        ("/d/{id}/state", get(state)),
        ("/d/{id}/sessions.csv", get(sessions_csv)),
        ("/d/{id}/extend", post(extend).get(back)),
        ("/d/{id}/ledger", post(ledger).get(back)),
        ("/d/{id}/burn", post(burn).get(back)),
        ("/d/{id}/trace", post(trace).get(back)),
        ("/d/{id}/preview", post(preview).get(back)),
        ("/d/{id}/view", get(view)),
        ("/d/{id}/current", get(current::<'d'>)),
        ("/d/{id}/seen", post(seen::<'d'>)),
        ("/d/{id}/images/{index}", get(image)),
    ]
}

/// One row of the table of sessions.
struct SessionRow {
    label: String,
    opened_at: String,
    country: Place,
    device: Phrase,
    images_seen: u32,
}

/// A country as pages show it: the code for scripts that know its name in the reader's language.
struct Place {
    code: String,
    name: String,
}

impl Place {
    fn new(frame: &Frame, country: Option<Country>) -> Self {
        match country {
            Some(country) => Self { code: country.to_string(), name: country_name(country) },
            None => Self { code: String::new(), name: frame.say("dashboard.unknown").to_string() },
        }
    }
}

/// How long the ledger can be kept, in seconds, as the dashboard offers it: usual times up to the longest, and the present
/// one.
fn ledger_times(present: Duration, longest: Duration) -> BTreeSet<u64> {
    let usual = [0, 7, 30, 90].map(|days| days * 86_400);
    let usual = usual.into_iter().filter(|seconds| *seconds <= longest.as_secs());
    usual.chain([present.as_secs()]).collect()
}

/// A step by which the share can be extended.
struct Step {
    name: &'static str,
    text: &'static str,
    value: &'static str,
    by: Duration,
}

/// The value of the last step, which goes as far as possible.
const FULLY: &str = "most";

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The steps that fit; the last goes as far as possible.
fn steps(extendable_by: Duration) -> Vec<Step> {
    let steps = [
        Step { name: "hour", text: "dashboard.hour", value: "PT1H", by: HOUR },
        Step { name: "day", text: "dashboard.day", value: "P1D", by: 24 * HOUR },
        Step { name: "week", text: "dashboard.week", value: "P7D", by: 7 * 24 * HOUR },
        Step { name: FULLY, text: "dashboard.most", value: FULLY, by: Duration::from_secs(60) },
    ];
    steps.into_iter().filter(|step| step.by <= extendable_by).collect()
}

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
    status: Phrase,
    active: bool,
    steps: Vec<Step>,
    link: Option<String>,
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
    /// How long the ledger can be kept, in seconds and in words.
    ledger_times: Vec<(u64, Phrase)>,
    burned_at: Option<String>,
    purged_at: Option<String>,
    megabytes: usize,
    /// What a trace found, if one was made.
    trace: Option<Vec<Found>>,
    trace_complete: bool,
}

/// One session that a leak was served to, in words.
struct Found {
    heading: Phrase,
    text: Phrase,
    sure: Phrase,
    odds: Phrase,
    evidence: Phrase,
    score: String,
}

impl Found {
    fn new(frame: &Frame, found: &TraceMatch, candidates: usize) -> Self {
        let place = Place::new(frame, found.country);
        let (heading, text) = match (found.opened_at.map(rfc3339), &*place.code) {
            (None, _) => (frame.say("trace.found_preview"), frame.say("trace.found_preview_text")),
            (Some(at), code) => {
                let text =
                    frame.say(if code.is_empty() { "trace.found_unknown" } else { "trace.found_text" });
                let text = text.put("time", frame.instant(&at));
                let text = text.put("country", Phrase::country(code, &place.name));
                (frame.say("trace.found").with("id", found.session.label()), text)
            }
        };
        let (sure, odds) = certainty(found.false_alarm);
        Self {
            heading,
            text: text.with("image", found.image + 1),
            sure: frame.say(sure),
            odds: frame
                .say("trace.odds")
                .put("odds", frame.say(odds))
                .put("candidates", frame.count("trace.candidates", candidates)),
            evidence: frame.say(match found.evidence {
                Evidence::Blind => "trace.evidence_blind",
                Evidence::Original => "trace.evidence_original",
                Evidence::Inverse => "trace.evidence_inverse",
                Evidence::Triple => "trace.evidence_triple",
            }),
            score: format!("{:.1}", found.score),
        }
    }
}

/// How sure a match is and how rarely chance looks like it, as texts. Powers of ten are rounded towards the likelier: no
/// more is claimed than was found; nothing is reported above one in a million.
fn certainty(false_alarm: f64) -> (&'static str, &'static str) {
    if false_alarm <= 1e-12 {
        ("trace.sure_almost", "trace.odds_trillion")
    } else if false_alarm <= 1e-9 {
        ("trace.sure_almost", "trace.odds_billion")
    } else {
        ("trace.sure_very", "trace.odds_million")
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
        Err(Error::Unauthorized(_)) => return shell(origin, Lock::Dashboard, id, true),
        Err(error) => return problem_page(origin, error.into(), None),
    };
    let limits = app.chatpic.limits();
    let active = d.status == Status::Active;
    let now = app.chatpic.now();
    // Nothing is opened after the end, so the plot ends there.
    let shown_until = if active { now } else { Timestamp(now.0.min(d.expires_at.0)) };
    let path = origin.share('d', id);
    let older = match d.sessions.get(SESSIONS) {
        Some(_) => d.sessions.get(SESSIONS - 1).map(SessionInfo::cursor),
        None => d.next,
    };
    let bars = bars(&d.timeline, d.created_at, shown_until);
    let frame = Frame::new(origin, "dashboard.title");
    let place = |country: Option<Country>| Place::new(&frame, country);
    let status = if active && d.views == 0 { "new" } else { d.status.as_str() };
    let page = show(&DashboardPage {
        id: id.to_string(),
        token: form_token(&access.reveal()),
        status: frame.say(&format!("dashboard.status_{status}")),
        active,
        steps: steps(d.extendable_by),
        link: d.link_key.as_ref().map(|key| origin.link('s', id, &key.reveal())),
        created_at: rfc3339(d.created_at),
        expires_at: rfc3339(d.expires_at),
        countries: d.countries.iter().map(|(country, views)| (place(*country), *views)).collect(),
        countries_reached: d.countries.iter().filter(|(country, _)| country.is_some()).count(),
        reached: reached(&d.countries),
        busiest: bars.iter().map(|bar| bar.views).max().unwrap_or(0),
        bars,
        sessions: d.sessions.iter().take(SESSIONS).map(|session| SessionRow::new(&frame, session)).collect(),
        older: older.map(|next| format!("{path}?after={next}")),
        path: path.clone(),
        ledger_until: rfc3339(d.ledger_until),
        ledger_times: ledger_times(d.keep_ledger, limits.max_ledger)
            .into_iter()
            .map(|seconds| (seconds, frame.time(seconds)))
            .collect(),
        burned_at: d.receipt.as_ref().and_then(|receipt| receipt.burned_at).map(rfc3339),
        purged_at: d.receipt.as_ref().and_then(|receipt| receipt.purged_at).map(rfc3339),
        megabytes: limits.image_bytes / (1024 * 1024),
        trace_complete: trace.as_ref().is_none_or(|report| report.complete),
        trace: trace.map(|report| {
            report.matches.iter().map(|found| Found::new(&frame, found, report.candidates)).collect()
        }),
        d,
        frame,
    });
    with_access(page, app, DASHBOARD, access, &path)
}

impl SessionRow {
    fn new(frame: &Frame, session: &SessionInfo) -> Self {
        Self {
            label: session.session.label(),
            opened_at: rfc3339(session.opened_at),
            country: Place::new(frame, session.country),
            device: frame.say(&format!("dashboard.device_{}", session.device.as_str())),
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
    page: Result<Query<Page>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let Some(share) = id_in(&id) else { return problem_page(&origin, Problem::not_found(), None) };
    let page = match page {
        Ok(Query(page)) => page,
        Err(rejection) => return problem_page(&origin, rejection.into(), Some(origin.share('d', share))),
    };
    // A cursor that can't be read shows the newest, as none does.
    let after = page.after.and_then(|after| after.parse().ok());
    let access = access_cookie(&app, &headers, DASHBOARD);
    // What stands behind the id may be the key, which the shell puts away before anything else.
    match access.filter(|_| id == share.to_string()) {
        Some(access) => show_page(&app, &origin, &share, &access, after, None).await,
        None => shell(&origin, Lock::Dashboard, &share, false),
    }
}

async fn exchange(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    form: Result<Form<KeyForm>, FormRejection>,
) -> Response {
    let Ok(id) = share_id(&id) else { return problem_page(&origin, Problem::not_found(), None) };
    let key = match form {
        Ok(Form(form)) => key_in(&form.key),
        Err(rejection) => return problem_page(&origin, rejection.into(), Some(origin.share('d', id))),
    };
    let Some(key) = key else { return shell(&origin, Lock::Dashboard, &id, true) };
    let access = app.chatpic.dashboard_access(&id, &key);
    match app.chatpic.check_dashboard(&id, &access).await {
        Ok(()) => {
            let path = origin.share('d', id);
            with_access(see_other(&path), &app, DASHBOARD, &access, &path)
        }
        Err(Error::Unauthorized(_)) => shell(&origin, Lock::Dashboard, &id, true),
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
    let access = dashboard_cookie(&app, &headers)?;
    let dashboard = app.chatpic.dashboard(&id, &access, None).await?;
    let answer = Json(DashboardAnswer::new(&origin, &id, &dashboard)).into_response();
    Ok(with_access(answer, &app, DASHBOARD, &access, &origin.share('d', id)))
}

async fn sessions_csv(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let access = dashboard_cookie(&app, &headers)?;
    serve_csv(app.chatpic, share_id(&id)?, access).await
}

/// The fields of the dashboard's forms.
#[derive(Deserialize)]
struct Fields {
    token: Option<String>,
    extend_by: Option<String>,
    keep_ledger: Option<String>,
    /// Whether the uploader has confirmed it.
    sure: Option<String>,
}

/// A form of a share's dashboard that was really sent from it.
struct Sent {
    id: ShareId,
    access: DashboardAccess,
    fields: Fields,
    origin: Origin,
    /// Where the dashboard stands.
    path: String,
}

impl FromRequest<App> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Ok(origin) = Origin::from_request_parts(&mut parts, app).await;
        let Ok(Path(id)) = Path::<String>::from_request_parts(&mut parts, app).await else {
            return Err(problem_page(&origin, Problem::not_found(), None));
        };
        let path = origin.share('d', &id);
        let read = async {
            let (id, access) = (share_id(&id)?, dashboard_cookie(app, &parts.headers)?);
            let headers = parts.headers.clone();
            let Form(fields) = Form::<Fields>::from_request(Request::from_parts(parts, body), app).await?;
            check_form(&headers, &access.reveal(), fields.token.as_deref())?;
            Ok((id, access, fields))
        };
        match read.await {
            Ok((id, access, fields)) => Ok(Self { id, access, fields, origin, path }),
            Err(problem) => Err(problem_page(&origin, problem, Some(path))),
        }
    }
}

impl Sent {
    /// Back to the dashboard, or why that was not done.
    fn done<T>(self, outcome: Result<T, Problem>) -> Response {
        match outcome {
            Ok(_) => see_other(&self.path),
            Err(problem) => problem_page(&self.origin, problem, Some(self.path)),
        }
    }
}

async fn extend(State(app): State<App>, sent: Sent) -> Response {
    let done = async {
        let by = sent.fields.extend_by.as_deref().unwrap_or_default();
        if by == FULLY {
            return Ok(app.chatpic.extend_fully(&sent.id, &sent.access).await?);
        }
        Ok(app.chatpic.extend(&sent.id, &sent.access, duration("extend_by", by)?).await?)
    };
    let done = done.await;
    sent.done(done)
}

async fn ledger(State(app): State<App>, sent: Sent) -> Response {
    let done = async {
        let keep = duration("keep_ledger", sent.fields.keep_ledger.as_deref().unwrap_or_default())?;
        if sent.fields.sure.is_none() {
            let d = app.chatpic.dashboard(&sent.id, &sent.access, None).await?;
            if keep < d.keep_ledger {
                return Ok(Some(confirm_shortening(&app, &sent, &d, keep)));
            }
        }
        app.chatpic.keep_ledger(&sent.id, &sent.access, keep).await?;
        Ok(None)
    };
    match done.await {
        Ok(Some(question)) => question,
        done => sent.done(done),
    }
}

/// A question before something is done that can't be undone.
#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm {
    frame: Frame,
    what: Phrase,
    /// Where the answer goes, with this field.
    action: String,
    token: String,
    field: &'static str,
    value: String,
    yes: Phrase,
    no: Phrase,
    back: String,
}

/// Asks whether the ledger is to be kept for a shorter time.
fn confirm_shortening(app: &App, sent: &Sent, d: &Dashboard, keep: Duration) -> Response {
    let frame = Frame::new(&sent.origin, "dashboard.shorten");
    let until = d.ledger_until - d.keep_ledger + keep;
    let what = if until <= app.chatpic.now() {
        frame.say("dashboard.shorten_now")
    } else if keep.is_zero() {
        frame.say("dashboard.shorten_end")
    } else {
        let until = frame.instant(&rfc3339(until));
        let before = frame.instant(&rfc3339(d.ledger_until));
        frame.say("dashboard.shorten_until").put("time", until).put("before", before)
    };
    show(&Confirm {
        what,
        action: format!("{}/ledger", sent.path),
        token: form_token(&sent.access.reveal()),
        field: "keep_ledger",
        value: keep.as_secs().to_string(),
        yes: frame.say("dashboard.shorten_yes"),
        no: frame.say("dashboard.shorten_no"),
        back: sent.path.clone(),
        frame,
    })
}

async fn burn(State(app): State<App>, sent: Sent) -> Response {
    let done = app.chatpic.burn(&sent.id, &sent.access).await.map_err(Problem::from);
    sent.done(done)
}

async fn preview(State(app): State<App>, sent: Sent) -> Response {
    match app.chatpic.preview(&sent.id, &sent.access).await {
        Ok(opened) => {
            let viewer = see_other(&format!("{}/view", sent.path));
            with_session(viewer, &app, &opened.token, opened.ends_at, &sent.path)
        }
        Err(error) => sent.done(Err::<(), _>(error.into())),
    }
}

async fn view(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = share_id(&id) else { return problem_page(&origin, Problem::not_found(), None) };
    let path = origin.share('d', id);
    view_page(&app, &origin, &headers, &id, path, true).await
}

async fn trace(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    client: Client,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let back = origin.share('d', &id);
    let outcome = async {
        let id = share_id(&id)?;
        let access = dashboard_cookie(&app, &headers)?;
        let check = |token: Option<&str>| check_form(&headers, &access.reveal(), token);
        let report = upload::trace(&app, &client, &id, &access, request, check).await?;
        Ok((id, access, report))
    };
    match outcome.await {
        Ok((id, access, report)) => show_page(&app, &origin, &id, &access, None, Some(report)).await,
        Err(problem) => problem_page(&origin, problem, Some(back)),
    }
}
