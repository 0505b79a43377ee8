//! The reference site's pages; one file a page. Every GET shows, every change is a POST.

pub(crate) mod chart;
mod dashboard;
mod privacy;
mod report;
mod upload;
mod viewing;

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use chatpic_core::secret::Secret;
use chatpic_core::{ShareId, Timestamp};
use serde::Deserialize;

pub(crate) use dashboard::dashboard_cookie;
pub(crate) use viewing::session_cookie;

use crate::client::{Origin, cookie};
use crate::forms::id_in;
use crate::problem::Problem;
use crate::security::refuse;
use crate::text::{Number, Phrase};
use crate::{App, Options, Route};

/// How long the cookie of a key's access is good after its last use.
const ACCESS_IDLE: Duration = Duration::from_secs(60 * 60);

pub(crate) fn routes() -> Vec<Route> {
    [upload::routes(), privacy::routes(), report::routes(), viewing::routes(), dashboard::routes()].concat()
}

/// What every page shows around its own content, and what it says.
struct Frame {
    prefix: String,
    /// The front page: a nested router's root has no slash at its end.
    home: String,
    title: Phrase,
    options: Arc<Options>,
}

impl Frame {
    /// The frame of a page whose title is the text at this path.
    fn new(origin: &Origin, title: &str) -> Self {
        let options = origin.options.clone();
        Self { prefix: origin.prefix.clone(), home: origin.home(), title: options.text.say(title), options }
    }

    fn say(&self, path: &str) -> Phrase {
        self.options.text.say(path)
    }

    fn count(&self, path: &str, number: impl Number) -> Phrase {
        self.options.text.count(path, number)
    }

    /// A length of time in words.
    fn time(&self, seconds: impl Number) -> Phrase {
        self.options.text.time(seconds.number())
    }

    /// An instant, given in RFC 3339, that scripts write in the reader's own zone and language.
    fn instant(&self, at: &str) -> Phrase {
        let minutes = at.get(..16).unwrap_or(at).replace('T', " ");
        Phrase::instant(at, &minutes)
    }

    fn has_links(&self) -> bool {
        let Options { contact, terms, links, .. } = &*self.options;
        contact.is_some() || terms.is_some() || !links.is_empty()
    }
}

fn show(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be drawn");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page that says what went wrong and what to do.
#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    frame: Frame,
    what: Phrase,
    wait: Option<Phrase>,
    advice: Phrase,
    back: Option<String>,
    /// Whether the same may work later.
    again: bool,
}

/// Shows a problem as a page, with its status and headers.
pub(crate) fn problem_page(origin: &Origin, problem: Problem, back: Option<String>) -> Response {
    let text = |part: &str| format!("problem.{}.{part}", problem.kind);
    let frame = Frame::new(origin, &text("title"));
    let mut detail = problem.detail.clone();
    if let Some(first) = detail.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let page = Message {
        what: frame.say(&text("what")).with("detail", detail),
        wait: problem.retry_after.map(|seconds| frame.time(seconds)),
        advice: frame.say(&text("do")),
        again: problem.retry_after.is_some() || problem.status.is_server_error(),
        back,
        frame,
    };
    let html = show(&page);
    let mut response = problem.into_response();
    *response.body_mut() = html.into_body();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

pub(crate) async fn no_such_page(State(app): State<App>, request: Request) -> Response {
    refuse(&app, request, Problem::no_such_page()).await
}

/// A key pasted or read from a link's fragment.
#[derive(Deserialize)]
struct KeyForm {
    key: String,
}

/// The page that asks for a link's key: its script reads it from the fragment, a form takes it without one.
#[derive(Template)]
#[template(path = "shell.html")]
struct Shell {
    frame: Frame,
    /// The link's path, as it was before a messenger bent it.
    path: String,
    heading: &'static str,
    wrong_text: &'static str,
    wrong: bool,
}

/// What a key opens.
#[derive(Clone, Copy)]
enum Lock {
    Share,
    Dashboard,
}

impl Lock {
    /// Which of a share's pages it opens.
    fn kind(self) -> char {
        match self {
            Lock::Share => 's',
            Lock::Dashboard => 'd',
        }
    }
}

fn shell(origin: &Origin, lock: Lock, id: &ShareId, wrong: bool) -> Response {
    let (heading, wrong_text) = match lock {
        Lock::Share => ("key.share", "key.wrong_share"),
        Lock::Dashboard => ("key.dashboard", "key.wrong_dashboard"),
    };
    let (frame, path) = (Frame::new(origin, "key.title"), origin.share(lock.kind(), id));
    let mut response = show(&Shell { frame, path, heading, wrong_text, wrong });
    if wrong {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

/// A cookie's name as browsers keep it: over https with the prefix that keeps pages without TLS from setting it.
fn cookie_name(app: &App, name: &str) -> String {
    let prefix = if app.is_https() { "__Secure-" } else { "" };
    format!("{prefix}{name}")
}

/// Sets a cookie that scripts can't read and that stays within the share's pages. It ends with the browser unless `life`
/// says otherwise.
fn with_cookie(mut response: Response, app: &App, cookie: [&str; 2], life: &str, path: &str) -> Response {
    let [name, value] = cookie;
    let name = cookie_name(app, name);
    let secure = if app.is_https() { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path={path}{life}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Leads back to the share's page from a link to which a slash was added, and from a form's address that was left in the
/// address bar. Browsers keep the fragment.
async fn back(origin: Origin, Path(id): Path<String>, lock: Lock) -> Response {
    match id_in(&id) {
        Some(share) if id == share.to_string() => see_other(&origin.share(lock.kind(), share)),
        Some(share) => shell(&origin, lock, &share, false),
        None => problem_page(&origin, Problem::not_found(), None),
    }
}

/// Sets or renews the cookie of a key's access, which ends with the browser, and [`ACCESS_IDLE`] after its last use.
fn with_access<K>(response: Response, app: &App, name: &str, access: &Secret<K, 32>, path: &str) -> Response {
    let value = app.chatpic.dated_access(access, app.chatpic.now() + ACCESS_IDLE);
    with_cookie(response, app, [name, &value], "", path)
}

/// The access in a cookie that [`with_access`] set.
fn access_cookie<K>(app: &App, headers: &HeaderMap, name: &str) -> Option<Secret<K, 32>> {
    dated_access(app, headers, name).map(|(access, _)| access)
}

/// The access in a cookie that [`with_access`] set, and when that was, to the second.
fn dated_access<K>(app: &App, headers: &HeaderMap, name: &str) -> Option<(Secret<K, 32>, Timestamp)> {
    let value = cookie(headers, &cookie_name(app, name))?;
    let (access, until) = app.chatpic.read_dated_access(value)?;
    Some((access, until - ACCESS_IDLE))
}

fn see_other(location: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, location.to_owned())]).into_response()
}
