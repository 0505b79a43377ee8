//! Errors as answers: the one place where an error gets its status (RFC 9457).

use axum::extract::rejection::{BytesRejection, FormRejection, JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chatpic_core::{Conflict, Error, Invalid, Unauthorized};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// Seconds after which a busy server is worth another try.
const BUSY_RETRY: u64 = 5;

/// Seconds after which shares may have ended and made room.
const FULL_RETRY: u64 = 10 * 60;

/// What every problem's type begins with.
const URN: &str = "urn:chatpic:problem:";

/// The last parts of all problems' types. `docs/problems.md` says what each means.
pub(crate) const KINDS: [&str; 24] = [
    "malformed",
    "key",
    "password-missing",
    "password-wrong",
    "session-over",
    "upload-password",
    "foreign-form",
    "not-found",
    "last-view-used",
    "no-such-page",
    "no-such-image",
    "ended",
    "nonce-spent",
    "idempotency-key",
    "tracing",
    "too-large",
    "image-too-large",
    "image-unsupported",
    "out-of-range",
    "throttled",
    "busy",
    "full",
    "unavailable",
    "internal",
];

/// All problems' types, for the OpenAPI document.
fn types() -> Schema {
    let types = KINDS.map(|kind| format!("{URN}{kind}"));
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("What kind of problem it is, stable for programs."))
        .enum_values(Some(types))
        .into()
}

/// What went wrong, for a program or a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// The last part of the problem's type, stable for programs.
    pub(crate) kind: &'static str,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
    pub(crate) retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: String) -> Self {
        Self { status, kind, title, detail, retry_after: None }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request can't be read", detail.into())
    }

    pub(crate) fn out_of_range(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "out-of-range", "An option is out of its range", detail.into())
    }

    pub(crate) fn unauthorized() -> Self {
        Error::from(Unauthorized::Key).into()
    }

    pub(crate) fn not_found() -> Self {
        Error::NotFound.into()
    }

    pub(crate) fn no_such_page() -> Self {
        let detail = "there is nothing at this address".to_owned();
        Self::new(StatusCode::NOT_FOUND, "no-such-page", "There is no such page", detail)
    }

    /// For a holder of the right key who came a moment too late; everybody else is told [`Problem::not_found`].
    pub(crate) fn last_view_used() -> Self {
        Self { kind: "last-view-used", ..Self::not_found() }
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail.into())
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = Self::new(status, "unavailable", "Not available at the moment", detail.into());
        Self { retry_after: Some(BUSY_RETRY), ..problem }
    }

    pub(crate) fn upload_password() -> Self {
        let detail = "this site asks uploaders for a password, and it is missing or wrong".to_owned();
        Self::new(StatusCode::UNAUTHORIZED, "upload-password", "Not allowed", detail)
    }

    pub(crate) fn forbidden() -> Self {
        let detail = "this form was not sent from this site".to_owned();
        Self::new(StatusCode::FORBIDDEN, "foreign-form", "Not from this site", detail)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        let problem = |status, kind, title| Self::new(status, kind, title, detail.clone());
        match &error {
            Error::NotFound => {
                problem(StatusCode::NOT_FOUND, "not-found", "This share does not exist or has ended")
            }
            Error::Unauthorized(which) => {
                let kind = match which {
                    Unauthorized::PasswordMissing => "password-missing",
                    Unauthorized::PasswordWrong => "password-wrong",
                    Unauthorized::Session => "session-over",
                    _ => "key",
                };
                problem(StatusCode::UNAUTHORIZED, kind, "Not allowed")
            }
            Error::Throttled { retry_after } => Self {
                retry_after: Some(retry_after.as_secs().max(1)),
                ..problem(StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many tries")
            },
            Error::Conflict(which) => {
                let kind = match which {
                    Conflict::NonceSpent => "nonce-spent",
                    Conflict::IdempotencyKey => "idempotency-key",
                    Conflict::Tracing => "tracing",
                    _ => "ended",
                };
                problem(StatusCode::CONFLICT, kind, "This can't be done now")
            }
            Error::Rejected { rejection, .. } if rejection.is_too_large() => {
                problem(StatusCode::PAYLOAD_TOO_LARGE, "image-too-large", "An image is too large")
            }
            Error::Rejected { .. } => {
                let title = "A file is not a picture that can be shared";
                problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "image-unsupported", title)
            }
            Error::Invalid(Invalid::Image) => {
                problem(StatusCode::NOT_FOUND, "no-such-image", "There is no such image")
            }
            Error::Invalid(_) => {
                let title = "An option is out of its range";
                problem(StatusCode::UNPROCESSABLE_ENTITY, "out-of-range", title)
            }
            Error::Busy => Self {
                retry_after: Some(BUSY_RETRY),
                ..problem(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server is busy")
            },
            Error::Full => Self {
                retry_after: Some(FULL_RETRY),
                ..problem(StatusCode::SERVICE_UNAVAILABLE, "full", "There is no room at the moment")
            },
            Error::Store(_) => {
                tracing::error!(error = error.for_log(), "a store failed");
                Self::unavailable("a store does not answer")
            }
            _ => {
                tracing::error!(error = error.for_log(), "a request failed");
                let detail = "something went wrong on the server".to_owned();
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong", detail)
            }
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::malformed(rejection.body_text())
    }
}

impl From<FormRejection> for Problem {
    fn from(rejection: FormRejection) -> Self {
        Self::malformed(format!("the form can't be read: {}", first_cause(&rejection)))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::malformed(format!("the query can't be read: {}", first_cause(&rejection)))
    }
}

/// What an error began with, such as a field that comes twice.
fn first_cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error).to_string()
}

impl From<BytesRejection> for Problem {
    fn from(_: BytesRejection) -> Self {
        Self::malformed("the body can't be read")
    }
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemDocument<'a> {
    #[schema(schema_with = types)]
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        debug_assert!(KINDS.contains(&self.kind), "{} is not among all kinds", self.kind);
        let document = ProblemDocument {
            r#type: format!("{URN}{}", self.kind),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
