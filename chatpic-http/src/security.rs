//! Headers that protect every answer, the check of forms, and the log.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use ring::hmac;

use crate::client::{Origin, nested_under};
use crate::problem::Problem;
use crate::{API, App, pages, upload};

/// Only this site's own files, no inline script or style, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Adds the security headers to every answer.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    // Below this router's own path, wherever it is nested.
    let is_front_page = request.uri().path() == "/";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    add(header::REFERRER_POLICY, "no-referrer");
    add(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    add(header::CONTENT_SECURITY_POLICY, POLICY);
    add(header::CACHE_CONTROL, "private, no-store");
    if !is_front_page {
        add(HeaderName::from_static("x-robots-tag"), "noindex");
    }
    response
}

/// Logs the route's pattern, never the path: paths hold share ids.
pub(crate) async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    tracing::info!(%method, route = route.as_deref().unwrap_or("-"), status = response.status().as_u16());
    response
}

/// Refuses what a page of another site makes its visitor's browser send here: an upload, say, to a site in the visitor's
/// own network. Nothing but browsers sends `Sec-Fetch-Site`, and pages can't change it.
pub(crate) async fn own_pages(State(app): State<App>, request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site");
    let is_foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    if is_foreign && !request.method().is_safe() {
        return refuse(&app, request, Problem::forbidden()).await;
    }
    next.run(request).await
}

/// Whether a path below this router's own is the JSON API's.
fn is_api(path: &str) -> bool {
    path.strip_prefix(API).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Refuses a request in place of its handler, as that would: by a document or a page, once the body was read.
pub(crate) async fn refuse(app: &App, request: Request, problem: Problem) -> Response {
    let (mut parts, body) = request.into_parts();
    upload::drain(app, body).await;
    if is_api(parts.uri.path()) {
        return problem.into_response();
    }
    let Ok(origin) = Origin::from_request_parts(&mut parts, app).await;
    pages::problem_page(&origin, problem, None)
}

/// Hides what only operators ask for from those who come by a path of another site.
pub(crate) async fn at_the_root(State(app): State<App>, request: Request, next: Next) -> Response {
    if nested_under(request.extensions()).is_empty() {
        next.run(request).await
    } else {
        refuse(&app, request, Problem::not_found()).await
    }
}

/// The token that a form carries for browsers without `Sec-Fetch-Site`: a hash of the form's cookie.
pub(crate) fn form_token(cookie: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, cookie.as_bytes());
    BASE64URL_NOPAD.encode(hmac::sign(&key, b"chatpic form").as_ref())
}

/// Refuses a form that another site sent: `Sec-Fetch-Site` must say `same-origin`, or, in browsers without that
/// header, the form must carry the cookie's token.
pub(crate) fn check_form(headers: &HeaderMap, cookie: &str, token: Option<&str>) -> Result<(), Problem> {
    let trusted = match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => token.and_then(|token| BASE64URL_NOPAD.decode(token.as_bytes()).ok()).is_some_and(|tag| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, cookie.as_bytes());
            hmac::verify(&key, b"chatpic form", &tag).is_ok()
        }),
    };
    if trusted { Ok(()) } else { Err(Problem::forbidden()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_needs_the_same_origin_or_its_cookies_token() {
        let from = |site: &'static str| {
            HeaderMap::from_iter([(
                HeaderName::from_static("sec-fetch-site"),
                HeaderValue::from_static(site),
            )])
        };
        assert!(check_form(&from("same-origin"), "cookie", None).is_ok());
        assert!(check_form(&from("cross-site"), "cookie", Some(&form_token("cookie"))).is_err());
        assert!(check_form(&from("same-site"), "cookie", None).is_err());
        assert!(check_form(&HeaderMap::new(), "cookie", Some(&form_token("cookie"))).is_ok());
        assert!(check_form(&HeaderMap::new(), "cookie", Some(&form_token("another"))).is_err());
        assert!(check_form(&HeaderMap::new(), "cookie", None).is_err());
    }
}
