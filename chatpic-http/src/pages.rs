//! The reference site's pages; one file a page. Every GET shows, every change is a POST.

pub(crate) mod chart;
mod dashboard;
mod privacy;
mod report;
mod upload;
mod viewing;

use askama::Template;
use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use chatpic_core::ShareId;
use serde::Deserialize;

pub(crate) use dashboard::dashboard_cookie;
pub(crate) use viewing::session_cookie;

use crate::App;
use crate::client::Origin;
use crate::problem::Problem;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .merge(upload::router())
        .merge(privacy::router())
        .merge(report::router())
        .merge(viewing::router())
        .merge(dashboard::router())
}

/// What every page shows around its own content.
struct Frame {
    prefix: String,
    /// The front page: a nested router's root has no slash at its end.
    home: String,
    title: &'static str,
    name: String,
    contact: Option<String>,
    terms: Option<String>,
}

impl Frame {
    fn new(origin: &Origin, title: &'static str) -> Self {
        let options = &origin.options;
        Self {
            prefix: origin.prefix.clone(),
            home: home(origin),
            title,
            name: options.name.clone(),
            contact: options.contact.clone(),
            terms: options.terms.clone(),
        }
    }
}

fn home(origin: &Origin) -> String {
    if origin.prefix.is_empty() { "/".to_owned() } else { origin.prefix.clone() }
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
    status: u16,
    detail: String,
    wait: Option<String>,
    back: Option<String>,
}

/// Shows a problem as a page, with its status and headers.
pub(crate) fn problem_page(origin: &Origin, problem: Problem, back: Option<String>) -> Response {
    let title = match problem.status {
        StatusCode::NOT_FOUND => "Nothing to see here",
        StatusCode::UNAUTHORIZED => "This needs its key",
        StatusCode::TOO_MANY_REQUESTS => "A little too fast",
        StatusCode::SERVICE_UNAVAILABLE => "Busy right now",
        StatusCode::INTERNAL_SERVER_ERROR => "Something went wrong here",
        _ => problem.title,
    };
    let page = Message {
        frame: Frame::new(origin, title),
        status: problem.status.as_u16(),
        detail: problem.detail.clone(),
        wait: problem.retry_after.map(in_words),
        back,
    };
    let html = show(&page);
    let mut response = problem.into_response();
    *response.body_mut() = html.into_body();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

pub(crate) async fn not_found(origin: Origin) -> Response {
    problem_page(&origin, Problem::not_found(), None)
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
    what: &'static str,
    wrong: bool,
}

fn shell(origin: &Origin, what: &'static str, wrong: bool) -> Response {
    let mut response = show(&Shell { frame: Frame::new(origin, "Open the link"), what, wrong });
    if wrong {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

/// Sets a cookie that scripts can't read and that stays within the share's pages.
fn with_cookie(mut response: Response, app: &App, name: &str, value: &str, path: &str) -> Response {
    let secure = if app.is_https() { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn see_other(location: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, location.to_owned())]).into_response()
}

/// The key that a pasted text holds: the key itself, or what follows the `#` of a whole link.
fn pasted_key(text: &str) -> &str {
    text.rsplit('#').next().unwrap_or(text).trim()
}

/// A secret from a cookie.
fn secret_cookie<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    crate::client::cookie(headers, name).and_then(|value| value.parse().ok())
}

/// The path of a share's pages of this kind, `s` or `d`.
fn share_path(origin: &Origin, kind: char, id: &ShareId) -> String {
    format!("{}/{kind}/{id}", origin.prefix)
}

/// A length of time in words, the two largest units.
fn in_words(seconds: u64) -> String {
    let units = [
        ("day", seconds / 86_400),
        ("hour", seconds / 3600 % 24),
        ("minute", seconds / 60 % 60),
        ("second", seconds % 60),
    ];
    let plural = |(unit, n): &(&str, u64)| format!("{n} {unit}{}", if *n == 1 { "" } else { "s" });
    let parts: Vec<String> =
        units.iter().skip_while(|(_, n)| *n == 0).take(2).filter(|(_, n)| *n > 0).map(plural).collect();
    if parts.is_empty() { "no time".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_words() {
        assert_eq!(in_words(0), "no time");
        assert_eq!(in_words(61), "1 minute 1 second");
        assert_eq!(in_words(7 * 86_400), "7 days");
        assert_eq!(in_words(90_000), "1 day 1 hour");
    }

    #[test]
    fn a_pasted_link_gives_its_key() {
        assert_eq!(pasted_key(" https://pics.example/s/abc#KEY "), "KEY");
        assert_eq!(pasted_key("KEY"), "KEY");
    }
}
