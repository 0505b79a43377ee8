//! What a viewer sees: the cover page, which spends nothing, and the viewer.

use askama::Template;
use axum::Json;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chatpic_core::{
    Current, Entropy, Error, ImageInfo, LinkAccess, Opening, OsEntropy, Password, SessionToken, ShareId,
    Timestamp, Unauthorized,
};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::json;

use super::{
    Frame, KeyForm, Lock, access_cookie, back, cookie_name, dated_access, problem_page, see_other, shell,
    show, with_access, with_cookie,
};
use crate::api::{ImageQuery, serve_image};
use crate::client::{Client, Origin, cookie, share_id};
use crate::forms::{id_in, key_in};
use crate::problem::Problem;
use crate::security::{check_form, form_token};
use crate::text::Phrase;
use crate::{App, Route};

/// Cookies, each within its share's path.
const LINK: &str = "chatpic_link";
const SESSION: &str = "chatpic_session";

pub(super) fn routes() -> Vec<Route> {
    let back = |origin, id| back(origin, id, Lock::Share);
    vec![
        ("/s/{id}", get(cover).post(exchange)),
        ("/s/{id}/", get(back)),
        ("/s/{id}/open", post(open).get(back)),
        ("/s/{id}/view", get(view)),
        ("/s/{id}/current", get(current::<'s'>)),
        ("/s/{id}/seen", post(seen::<'s'>)),
        ("/s/{id}/images/{index}", get(image)),
    ]
}

#[derive(Template)]
#[template(path = "cover.html")]
struct CoverPage {
    frame: Frame,
    path: String,
    images: usize,
    seconds_left: u64,
    session_seconds: u64,
    views_left: Option<u32>,
    views: u32,
    password_required: bool,
    password_chars: usize,
    problem: Option<Phrase>,
    nonce: String,
    token: String,
    continues: bool,
}

async fn cover(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
) -> Response {
    let Some(share) = id_in(&id) else { return problem_page(&origin, Problem::not_found(), None) };
    let access = access_cookie(&app, &headers, LINK);
    // What stands behind the id may be the key, which the shell puts away before anything else.
    let Some(access) = access.filter(|_| id == share.to_string()) else {
        return shell(&origin, Lock::Share, &share, false);
    };
    let id = share;
    cover_page(&app, &origin, &headers, &id, &access, None).await
}

async fn cover_page(
    app: &App,
    origin: &Origin,
    headers: &HeaderMap,
    id: &ShareId,
    access: &LinkAccess,
    problem: Option<Problem>,
) -> Response {
    // A last view may be used up while its session goes on: then there is no cover any more, but a way back.
    let continues = match session_cookie(app, headers) {
        Ok(token) => app.chatpic.current(id, &token).await.is_ok(),
        Err(_) => false,
    };
    let cover = match app.chatpic.check_link(id, access).await {
        Ok(()) => app.chatpic.cover(id).await,
        Err(error) => Err(error),
    };
    let cover = match cover {
        Ok(cover) => cover,
        Err(Error::NotFound) if continues => {
            return see_other(&format!("{}/view", origin.share('s', id)));
        }
        Err(Error::Unauthorized(_)) => return shell(origin, Lock::Share, id, true),
        Err(error) => return problem_page(origin, error.into(), None),
    };
    let mut nonce = [0; 16];
    OsEntropy.fill(&mut nonce);
    let status = problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    let frame = Frame::new(origin, "cover.title");
    let path = origin.share('s', id);
    let response = show(&CoverPage {
        path: path.clone(),
        images: cover.image_count,
        seconds_left: cover.seconds_left,
        session_seconds: cover.session_seconds,
        views_left: cover.views_left,
        views: cover.views,
        password_required: cover.password_required,
        password_chars: app.chatpic.limits().password_chars,
        problem: problem.map(|problem| match (problem.retry_after, problem.kind) {
            (Some(seconds), _) => frame.say("cover.throttled").put("wait", frame.time(seconds)),
            (None, "password-missing") => frame.say("cover.missing"),
            (None, _) => frame.say("cover.wrong"),
        }),
        nonce: BASE64URL_NOPAD.encode(&nonce),
        token: form_token(&access.reveal()),
        continues,
        frame,
    });
    let mut response = with_access(response, app, LINK, access, &path);
    *response.status_mut() = status;
    response
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
        Err(rejection) => return problem_page(&origin, rejection.into(), Some(origin.share('s', id))),
    };
    let Some(key) = key else { return shell(&origin, Lock::Share, &id, true) };
    let access = app.chatpic.link_access(&id, &key);
    match app.chatpic.check_link(&id, &access).await {
        // An ended share may still have a live session, which the cover page finds.
        Ok(()) | Err(Error::NotFound) => {
            let path = origin.share('s', id);
            with_access(see_other(&path), &app, LINK, &access, &path)
        }
        Err(Error::Unauthorized(_)) => shell(&origin, Lock::Share, &id, true),
        Err(error) => problem_page(&origin, error.into(), None),
    }
}

#[derive(Deserialize)]
struct OpenForm {
    nonce: String,
    token: Option<String>,
    password: Option<String>,
}

async fn open(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    client: Client,
    headers: HeaderMap,
    form: Result<Form<OpenForm>, FormRejection>,
) -> Response {
    let Ok(id) = share_id(&id) else { return problem_page(&origin, Problem::not_found(), None) };
    let path = origin.share('s', id);
    let form = match form {
        Ok(Form(form)) => form,
        Err(rejection) => return problem_page(&origin, rejection.into(), Some(path)),
    };
    let Some((access, looked_at)) = dated_access(&app, &headers, LINK) else {
        return see_other(&path);
    };
    if let Err(problem) = check_form(&headers, &access.reveal(), form.token.as_deref()) {
        return problem_page(&origin, problem, Some(path));
    }
    let opening = Opening {
        password: form.password.filter(|password| !password.is_empty()).map(|p| Password::new(&p)),
        nonce: BASE64URL_NOPAD.decode(form.nonce.as_bytes()).ok(),
        address: client.address,
        country: client.country,
        device: client.device,
    };
    match app.chatpic.open(&id, &access, opening).await {
        Ok(opened) => {
            let viewer = see_other(&format!("{path}/view"));
            with_session(viewer, &app, &opened.token, opened.ends_at, &path)
        }
        Err(
            error @ (Error::Unauthorized(Unauthorized::PasswordWrong | Unauthorized::PasswordMissing)
            | Error::Throttled { .. }),
        ) => cover_page(&app, &origin, &headers, &id, &access, Some(error.into())).await,
        Err(Error::NotFound)
            if app.chatpic.missed_the_last_view(&id, &access, looked_at).await.unwrap_or(false) =>
        {
            problem_page(&origin, Problem::last_view_used(), None)
        }
        Err(error) => problem_page(&origin, error.into(), Some(path)),
    }
}

#[derive(Template)]
#[template(path = "view.html")]
struct ViewPage {
    frame: Frame,
    path: String,
    label: String,
    images: Vec<ImageInfo>,
    seconds_left: u64,
    /// How often the page says that it is in view, in milliseconds.
    seen_every: u128,
    token: String,
    last_view: bool,
    is_preview: bool,
}

async fn view(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = share_id(&id) else { return problem_page(&origin, Problem::not_found(), None) };
    let path = origin.share('s', id);
    view_page(&app, &origin, &headers, &id, path, false).await
}

/// The viewer, for viewers and for the uploader's preview.
pub(super) async fn view_page(
    app: &App,
    origin: &Origin,
    headers: &HeaderMap,
    id: &ShareId,
    path: String,
    is_preview: bool,
) -> Response {
    let Ok(token) = session_cookie(app, headers) else { return see_other(&path) };
    match app.chatpic.current(id, &token).await {
        Ok(current) => {
            let page = show(&ViewPage {
                frame: Frame::new(origin, "view.title"),
                path: path.clone(),
                label: current.session.label(),
                images: current.images,
                seconds_left: current.seconds_left,
                seen_every: app.chatpic.limits().seen_interval().as_millis(),
                token: form_token(&token.reveal()),
                last_view: current.views_left == Some(0) && !is_preview,
                is_preview,
            });
            with_session(page, app, &token, current.ends_at, &path)
        }
        Err(Error::Unauthorized(_)) => {
            problem_page(origin, Error::from(Unauthorized::Session).into(), Some(path))
        }
        Err(error) => problem_page(origin, error.into(), Some(path)),
    }
}

/// Sets or renews a session's cookie, which lives as long as the session: a viewer who closes the browser can come back.
pub(super) fn with_session(
    response: Response,
    app: &App,
    token: &SessionToken,
    ends_at: Timestamp,
    path: &str,
) -> Response {
    let seconds = app.chatpic.now().until(ends_at).as_millis().div_ceil(1000);
    with_cookie(response, app, [SESSION, &token.reveal()], &format!("; Max-Age={seconds}"), path)
}

pub(crate) fn session_cookie(app: &App, headers: &HeaderMap) -> Result<SessionToken, Problem> {
    let token = cookie(headers, &cookie_name(app, SESSION)).and_then(|value| value.parse().ok());
    token.ok_or_else(|| Error::from(Unauthorized::Session).into())
}

/// How long the session of a page of this kind, `s` or `d`, still lives; asking is no activity.
pub(super) async fn current<const KIND: char>(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, token) = (share_id(&id)?, session_cookie(&app, &headers)?);
    let current = app.chatpic.current(&id, &token).await;
    time_left(&app, &token, current, &origin.share(KIND, id))
}

#[derive(Deserialize)]
pub(super) struct SeenForm {
    token: Option<String>,
}

/// The page of a session is in view, which is activity.
pub(super) async fn seen<const KIND: char>(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    headers: HeaderMap,
    form: Result<Form<SeenForm>, FormRejection>,
) -> Result<Response, Problem> {
    let (id, token) = (share_id(&id)?, session_cookie(&app, &headers)?);
    check_form(&headers, &token.reveal(), form?.0.token.as_deref())?;
    let current = app.chatpic.seen(&id, &token).await;
    time_left(&app, &token, current, &origin.share(KIND, id))
}

/// Tells a page how long its session still lives, and renews its cookie. A session that is over has no seconds left.
fn time_left(
    app: &App,
    token: &SessionToken,
    current: Result<Current, Error>,
    path: &str,
) -> Result<Response, Problem> {
    let answer = |seconds: u64| Json(json!({ "seconds_left": seconds })).into_response();
    match current {
        Ok(current) => Ok(with_session(answer(current.seconds_left), app, token, current.ends_at, path)),
        Err(Error::Unauthorized(_) | Error::NotFound) => Ok(answer(0)),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn image(
    State(app): State<App>,
    Path((id, index)): Path<(String, String)>,
    query: Result<Query<ImageQuery>, QueryRejection>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // A copy is shown within its page; opened on its own, in a tab or by a download, it is refused.
    if headers.get("sec-fetch-dest").is_some_and(|dest| dest != "image") {
        return Err(Problem::not_found());
    }
    serve_image(&app, &client, &id, &index, query, session_cookie(&app, &headers)?).await
}
