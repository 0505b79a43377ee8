//! The JSON API under `/api/v1`. Keys and tokens come as `Authorization: Bearer` only.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use chatpic_core::{
    ChatPic, Cursor, DashboardAccess, Error, ImageCopy, Opening, Password, Readiness, SessionToken, ShareId,
};
use data_encoding::BASE64URL_NOPAD;
use futures::stream;
use serde::Deserialize;
use serde_json::Number;
use utoipa::{IntoParams, ToSchema};

use crate::answers::{
    CSV_HEADER, CoverAnswer, CreatedShare, CurrentSession, DashboardAnswer, Extended, LedgerKept,
    OpenedSession, ReceiptAnswer, TraceAnswer, csv_line,
};
use crate::client::{Bearer, Client, Origin, Peer, share_id};
use crate::problem::{Problem, ProblemDocument};
use crate::time::{duration, rfc3339};
use crate::{App, events, openapi, sending, upload};

type Answer<T> = Result<T, Problem>;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/openapi.json", get(openapi::show))
        .route("/shares", post(create))
        .route("/shares/{id}", get(cover).patch(keep_ledger).delete(burn))
        .route("/shares/{id}/sessions", post(open))
        .route("/shares/{id}/sessions/current", get(current))
        .route("/shares/{id}/sessions/current/seen", post(seen))
        .route("/shares/{id}/images/{index}", get(image))
        .route("/shares/{id}/dashboard", get(dashboard))
        .route("/shares/{id}/sessions.csv", get(sessions_csv))
        .route("/shares/{id}/preview", post(preview))
        .route("/shares/{id}/extend", post(extend))
        .route("/shares/{id}/trace", post(trace))
        .route("/shares/{id}/events", get(events::events))
        .route("/shares/{id}/reports", post(report))
}

pub(crate) async fn ready(State(chatpic): State<ChatPic>, Peer(peer): Peer) -> Answer<&'static str> {
    let Readiness { shares, blobs, sweep_overdue } = chatpic.check_ready().await;
    let mut problems = Vec::new();
    for (what, answered) in [("the shares", shares), ("the images", blobs)] {
        if let Err(failed) = answered {
            problems.push(format!("the store of {what} ({}) does not answer", failed.store));
            tracing::error!(error = Error::Store(failed).for_log(), "a store failed");
        }
    }
    if let Some(since) = sweep_overdue {
        problems
            .push(format!("no sweep has run for {} seconds: nothing that ends is deleted", since.as_secs()));
    }
    if !problems.is_empty() {
        return Err(Problem::unavailable(problems.join("; ")));
    }
    Ok(match peer {
        Some(_) => "ready\n",
        None => "ready, but caps per address have no effect: requests come without their peer's address\n",
    })
}

/// What an upload's form may hold.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the form for the OpenAPI document; the form is read as a stream")]
pub(crate) struct ShareForm {
    images: Vec<Vec<u8>>,
    #[schema(required = false)]
    expires_in: String,
    #[schema(required = false)]
    max_views: String,
    #[schema(required = false)]
    password: String,
    #[schema(required = false)]
    keep_ledger: String,
    /// Where the site asks uploaders for a password, unless it comes as `Authorization: Bearer`. Best before the images:
    /// those that come first are kept until it does, of one form of an address at a time.
    #[schema(required = false)]
    upload_password: String,
}

/// Makes a share.
#[utoipa::path(
    post, tag = "uploading", path = "/shares",
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, pattern = "^[!-~]+$", min_length = 16, max_length = 255, description = "16 to 255 characters; a retry with the same key and form makes no second share")),
    request_body(content = ShareForm, content_type = "multipart/form-data", encoding(("images" = (content_type = "image/jpeg, image/png, image/gif, image/webp")))),
    responses(
        (status = 201, description = "The share was made", body = CreatedShare),
        (status = 200, description = "An earlier try with the same idempotency key had made it", body = CreatedShare),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    origin: Origin,
    client: Client,
    request: Request,
) -> Answer<(StatusCode, Json<CreatedShare>)> {
    let created = upload::create(&app, &client, request).await?;
    let status = if created.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(CreatedShare::new(&origin, &created))))
}

/// What anybody may know of an active share; spends nothing.
#[utoipa::path(
    get, tag = "viewing", path = "/shares/{id}", params(("id" = String, Path, description = "The share's id")),
    responses(
        (status = 200, description = "The share is active", body = CoverAnswer),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cover(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
) -> Answer<Json<CoverAnswer>> {
    Ok(Json(chatpic.cover(&share_id(&id)?).await?.into()))
}

/// Opens a share.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenRequest {
    /// The link key.
    key: String,
    password: Option<String>,
    /// 16 to 64 bytes in base64url; the same nonce within a minute finds the same session.
    #[schema(
        pattern = "^(|([A-Za-z0-9_-]{4}){5,20}([A-Za-z0-9_-]{4}|[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])|([A-Za-z0-9_-]{4}){21}[A-Za-z0-9_-][AQgw])$"
    )]
    nonce: Option<String>,
}

/// Opens a viewing session, which spends a view.
#[utoipa::path(
    post, tag = "viewing", path = "/shares/{id}/sessions", params(("id" = String, Path, description = "The share's id")),
    request_body = OpenRequest,
    responses(
        (status = 201, description = "A view was spent", body = OpenedSession),
        (status = 200, description = "The same nonce had opened it before", body = OpenedSession),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn open(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    origin: Origin,
    client: Client,
    body: Result<Json<OpenRequest>, JsonRejection>,
) -> Answer<(StatusCode, Json<OpenedSession>)> {
    let Json(body) = body?;
    let id = share_id(&id)?;
    let key = body.key.parse().map_err(|_| Problem::unauthorized());
    let access = match key {
        Ok(key) => chatpic.link_access(&id, &key),
        // A key that does not parse is a wrong one, of a share that may not exist.
        Err(problem) => return Err(chatpic.cover(&id).await.err().map_or(problem, Problem::from)),
    };
    let nonce = body.nonce.filter(|nonce| !nonce.is_empty());
    let nonce = nonce.map(|nonce| BASE64URL_NOPAD.decode(nonce.trim_end_matches('=').as_bytes())).transpose();
    let opening = Opening {
        password: body.password.filter(|password| !password.is_empty()).map(|p| Password::new(&p)),
        nonce: nonce.map_err(|_| Problem::malformed("the nonce is not base64url"))?,
        address: client.address,
        country: client.country,
        device: client.device,
    };
    let opened = chatpic.open(&id, &access, opening).await?;
    let status = if opened.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(OpenedSession::new(&origin, &id, &opened))))
}

/// How a viewing session stands; asking is no activity.
#[utoipa::path(
    get, tag = "viewing", path = "/shares/{id}/sessions/current", params(("id" = String, Path, description = "The share's id")),
    responses(
        (status = 200, description = "It goes on", body = CurrentSession),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("session_token" = []))
)]
pub(crate) async fn current(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
) -> Answer<Json<CurrentSession>> {
    let current = chatpic.current(&share_id(&id)?, &bearer.parse()?).await?;
    Ok(Json(CurrentSession::from(&current)))
}

/// Says that the session's page is in view, which prolongs the session. Call it once a minute, or every third of the idle
/// limit if that is shorter.
#[utoipa::path(
    post, tag = "viewing", path = "/shares/{id}/sessions/current/seen", params(("id" = String, Path, description = "The share's id")),
    responses(
        (status = 200, description = "It goes on", body = CurrentSession),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("session_token" = []))
)]
pub(crate) async fn seen(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
) -> Answer<Json<CurrentSession>> {
    let current = chatpic.seen(&share_id(&id)?, &bearer.parse()?).await?;
    Ok(Json(CurrentSession::from(&current)))
}

/// In which form an image is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImageQuery {
    /// Pixels, rounded up to 640, 1280 or the full width; animations have one width.
    #[param(value_type = u64, required = false, maximum = 4294967295_u64)]
    width: Option<u32>,
    /// Of an animation, its first frame alone.
    still: Option<bool>,
}

/// An image's bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct ImageFile(
    #[expect(dead_code, reason = "describes an answer for the OpenAPI document")] Vec<u8>,
);

/// The session's own copy of an image, with its marks.
#[utoipa::path(
    get, tag = "viewing", path = "/shares/{id}/images/{index}",
    params(("id" = String, Path, description = "The share's id"), ("index" = u32, Path, description = "Which image, from 0"), ImageQuery),
    responses(
        (status = 200, description = "The marked image: JPEG, PNG or WebP", body = ImageFile, content_type = "image/*"),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("session_token" = []))
)]
pub(crate) async fn image(
    State(app): State<App>,
    Path((id, index)): Path<(String, String)>,
    query: Result<Query<ImageQuery>, QueryRejection>,
    client: Client,
    bearer: Bearer,
) -> Answer<Response> {
    serve_image(&app, &client, &id, &index, query, bearer.parse()?).await
}

/// A session's copy, with its marks.
pub(crate) async fn serve_image(
    app: &App,
    client: &Client,
    id: &str,
    index: &str,
    query: Result<Query<ImageQuery>, QueryRejection>,
    token: SessionToken,
) -> Answer<Response> {
    let id = share_id(id)?;
    let chatpic = app.chatpic.for_client(&client.address);
    let index = index.parse().map_err(|_| Problem::not_found())?;
    let Query(ImageQuery { width, still }) = query?;
    let ImageCopy { bytes, media_type } = match still {
        Some(true) => chatpic.still(&id, &token, index).await?,
        _ => chatpic.image(&id, &token, index, width).await?,
    };
    let length = bytes.len();
    let mut response = Response::new(sending::copy(app, client, id, token, bytes)?);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// Which page of sessions is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// The `next` of the page before.
    #[param(pattern = "^[0-9]{1,15}-[0-9A-F]{8}$")]
    after: Option<String>,
}

/// Everything that the uploader may know.
#[utoipa::path(
    get, tag = "dashboard", path = "/shares/{id}/dashboard", params(("id" = String, Path, description = "The share's id"), Page),
    responses(
        (status = 200, description = "The dashboard", body = DashboardAnswer),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("dashboard_key" = []))
)]
pub(crate) async fn dashboard(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    page: Result<Query<Page>, QueryRejection>,
    bearer: Bearer,
) -> Answer<Json<DashboardAnswer>> {
    let id = share_id(&id)?;
    let access = app.chatpic.dashboard_access(&id, &bearer.parse()?);
    let after: Option<Cursor> = page?
        .0
        .after
        .map(|after| after.parse().map_err(|_| Problem::malformed("after is no cursor")))
        .transpose()?;
    let dashboard = app.chatpic.dashboard(&id, &access, after).await?;
    Ok(Json(DashboardAnswer::new(&origin, &id, &dashboard)))
}

/// All sessions, newest first, as comma-separated values.
#[utoipa::path(
    get, tag = "dashboard", path = "/shares/{id}/sessions.csv", params(("id" = String, Path, description = "The share's id")),
    responses(
        (status = 200, description = "One line a session", content_type = "text/csv", body = String),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("dashboard_key" = []))
)]
pub(crate) async fn sessions_csv(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
) -> Answer<Response> {
    let id = share_id(&id)?;
    let access = chatpic.dashboard_access(&id, &bearer.parse()?);
    serve_csv(chatpic, id, access).await
}

/// The sessions' CSV, read from the store a page at a time while it is sent.
pub(crate) async fn serve_csv(chatpic: ChatPic, id: ShareId, access: DashboardAccess) -> Answer<Response> {
    let (first, next) = chatpic.sessions(&id, &access, None).await?;
    let lines = |header: &str, page: &[chatpic_core::SessionInfo]| {
        Bytes::from(std::iter::once(header.to_owned()).chain(page.iter().map(csv_line)).collect::<String>())
    };
    let begin = lines(CSV_HEADER, &first);
    let rest = stream::unfold(next, move |next| {
        let (chatpic, access) = (chatpic.clone(), access.clone());
        async move {
            let page = chatpic.sessions(&id, &access, Some(next?)).await;
            Some(match page {
                Ok((page, next)) => (Ok(lines("", &page)), next),
                // The answer breaks off, so that nobody takes a part for the whole.
                Err(error) => (Err(std::io::Error::other(error)), None),
            })
        }
    });
    let all = futures::StreamExt::chain(stream::iter([Ok(begin)]), rest);
    let mut response = Response::new(Body::from_stream(all));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let name = HeaderValue::from_static("attachment; filename=\"sessions.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// The uploader's own look: marked `UPLOADER`, spends nothing.
#[utoipa::path(
    post, tag = "dashboard", path = "/shares/{id}/preview", params(("id" = String, Path, description = "The share's id")),
    responses(
        (status = 201, description = "A session that counts nothing", body = OpenedSession),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("dashboard_key" = []))
)]
pub(crate) async fn preview(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    origin: Origin,
    bearer: Bearer,
) -> Answer<(StatusCode, Json<OpenedSession>)> {
    let id = share_id(&id)?;
    let opened = chatpic.preview(&id, &chatpic.dashboard_access(&id, &bearer.parse()?)).await?;
    Ok((StatusCode::CREATED, Json(OpenedSession::new(&origin, &id, &opened))))
}

/// Whole seconds, or ISO 8601 with weeks, days, hours, minutes, seconds.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum DurationValue {
    /// Whole seconds.
    Seconds(Number),
    /// ISO 8601.
    Text(String),
}

impl DurationValue {
    fn parse(&self, name: &'static str) -> Answer<Duration> {
        match self {
            // JSON has one kind of number: 60.0 is a whole one.
            DurationValue::Seconds(number) => {
                let text = number.to_string();
                duration(name, text.strip_suffix(".0").unwrap_or(&text))
            }
            DurationValue::Text(text) => duration(name, text),
        }
    }
}

/// Moves a share's end away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendRequest {
    #[schema(value_type = String)]
    extend_by: DurationValue,
}

/// Moves the end of an active share away; never revives one.
#[utoipa::path(
    post, tag = "dashboard", path = "/shares/{id}/extend", params(("id" = String, Path, description = "The share's id")),
    request_body = ExtendRequest,
    responses(
        (status = 200, description = "The new end", body = Extended),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("dashboard_key" = []))
)]
pub(crate) async fn extend(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
    body: Result<Json<ExtendRequest>, JsonRejection>,
) -> Answer<Json<Extended>> {
    let id = share_id(&id)?;
    let access = chatpic.dashboard_access(&id, &bearer.parse()?);
    let by = body?.0.extend_by.parse("extend_by")?;
    let expires_at = chatpic.extend(&id, &access, by).await?;
    Ok(Json(Extended { expires_at: rfc3339(expires_at) }))
}

/// Sets how long the ledger is kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerRequest {
    #[schema(value_type = String)]
    keep_ledger: DurationValue,
}

/// Sets how long a leak can be traced after the end.
#[utoipa::path(
    patch, tag = "dashboard", path = "/shares/{id}", params(("id" = String, Path, description = "The share's id")),
    request_body = LedgerRequest,
    responses(
        (status = 200, description = "Until when", body = LedgerKept),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("dashboard_key" = []))
)]
pub(crate) async fn keep_ledger(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
    body: Result<Json<LedgerRequest>, JsonRejection>,
) -> Answer<Json<LedgerKept>> {
    let id = share_id(&id)?;
    let access = chatpic.dashboard_access(&id, &bearer.parse()?);
    let keep = body?.0.keep_ledger.parse("keep_ledger")?;
    let until = chatpic.keep_ledger(&id, &access, keep).await?;
    Ok(Json(LedgerKept { ledger_until: rfc3339(until) }))
}

/// Ends a share now; again gives the same receipt.
#[utoipa::path(
    delete, tag = "dashboard", path = "/shares/{id}", params(("id" = String, Path, description = "The share's id")),
    responses(
        (status = 200, description = "What became of the data", body = ReceiptAnswer),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("dashboard_key" = []))
)]
pub(crate) async fn burn(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
) -> Answer<Json<ReceiptAnswer>> {
    let id = share_id(&id)?;
    let receipt = chatpic.burn(&id, &chatpic.dashboard_access(&id, &bearer.parse()?)).await?;
    // It destroys the keys before anything else, or fails.
    Ok(Json(ReceiptAnswer::new(&receipt, true)))
}

/// What a trace's form holds.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the form for the OpenAPI document; the form is read as a stream")]
pub(crate) struct TraceForm {
    image: Vec<u8>,
    #[schema(required = false)]
    original: Vec<u8>,
}

/// Names the viewing session that a leaked picture was served to.
#[utoipa::path(
    post, tag = "tracing", path = "/shares/{id}/trace", params(("id" = String, Path, description = "The share's id")),
    request_body(content = TraceForm, content_type = "multipart/form-data", encoding(
        ("image" = (content_type = "image/jpeg, image/png, image/gif, image/webp")),
        ("original" = (content_type = "image/jpeg, image/png, image/gif, image/webp")),
    )),
    responses(
        (status = 200, description = "What was found", body = TraceAnswer),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("dashboard_key" = []))
)]
pub(crate) async fn trace(
    State(app): State<App>,
    Path(id): Path<String>,
    client: Client,
    bearer: Bearer,
    request: Request,
) -> Answer<Response> {
    let id = share_id(&id)?;
    let access = app.chatpic.dashboard_access(&id, &bearer.parse()?);
    let report = upload::trace(&app, &client, &id, &access, request, |_| Ok(())).await?;
    Ok(Json(TraceAnswer::from(&report)).into_response())
}

/// Tells the operator of a share.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportRequest {
    reason: String,
    /// The link key, sealed to the operator, who can then look at the share.
    key: Option<String>,
}

/// Takes a report for the operator; the answer tells nothing of the share.
#[utoipa::path(
    post, tag = "reports", path = "/shares/{id}/reports", params(("id" = String, Path, description = "The share's id")),
    request_body = ReportRequest,
    responses(
        (status = 202, description = "Taken"),
        (status = "default", description = "What went wrong", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn report(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    body: Result<Json<ReportRequest>, JsonRejection>,
) -> Answer<StatusCode> {
    let Json(body) = body?;
    let key = body.key.and_then(|key| key.parse().ok());
    // An id that does not parse is an unknown one, and unknown ones are not told from others.
    let id = id.parse().unwrap_or(ShareId::from_bytes([0; 12]));
    chatpic.report(&id, &body.reason, key.as_ref()).await?;
    Ok(StatusCode::ACCEPTED)
}
