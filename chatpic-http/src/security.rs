//! Headers that protect every answer, the check of forms, and the log.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use ring::hmac;

use crate::problem::Problem;

/// Only this site's own files, no inline script or style, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Adds the security headers to every answer.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let is_front_page = request.extensions().get::<MatchedPath>().is_some_and(|path| path.as_str() == "/");
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
