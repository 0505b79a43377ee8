//! The JSON API under `/api/v1` (SPEC section 7). Keys and tokens come as `Authorization: Bearer` only.

use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use chatpic_core::{
    ChatPic, Cursor, Dashboard, Error, ImageCopy, ImageInfo, Opened, Opening, Password, Receipt,
    SessionToken, ShareId, Timestamp, TraceReport,
};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::client::{Bearer, Client, Origin, share_id};
use crate::problem::Problem;
use crate::time::{duration, rfc3339};
use crate::upload;

type Answer<T> = Result<T, Problem>;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/shares", post(create))
        .route("/shares/{id}", get(cover).patch(keep_ledger).delete(burn))
        .route("/shares/{id}/sessions", post(open))
        .route("/shares/{id}/sessions/current", get(current))
        .route("/shares/{id}/images/{index}", get(image))
        .route("/shares/{id}/dashboard", get(dashboard))
        .route("/shares/{id}/preview", post(preview))
        .route("/shares/{id}/extend", post(extend))
        .route("/shares/{id}/trace", post(trace))
}

pub(crate) async fn ready(State(chatpic): State<ChatPic>) -> Answer<&'static str> {
    // Any id will do: the question is whether the share store answers.
    match chatpic.cover(&ShareId::from_bytes([0; 12])).await {
        Err(Error::NotFound) | Ok(_) => Ok("ready\n"),
        Err(error) => Err(error.into()),
    }
}

async fn create(
    State(app): State<App>,
    origin: Origin,
    request: Request,
) -> Answer<(StatusCode, Json<Value>)> {
    let created = upload::create(&app, request).await?;
    let (link_key, dashboard_key) = (created.link_key.reveal(), created.dashboard_key.reveal());
    let status = if created.repeated { StatusCode::OK } else { StatusCode::CREATED };
    let images: Vec<Value> = created.images.iter().map(with_frames).collect();
    let answer = json!({
        "share_id": created.share_id.to_string(),
        "link": app.link(&origin, 's', &created.share_id, &link_key),
        "dashboard": app.link(&origin, 'd', &created.share_id, &dashboard_key),
        "link_key": link_key,
        "dashboard_key": dashboard_key,
        "expires_at": rfc3339(created.expires_at),
        "max_views": created.max_views,
        "password_required": created.password_required,
        "images": images,
    });
    Ok((status, Json(answer)))
}

fn with_frames(info: &ImageInfo) -> Value {
    json!({
        "index": info.index,
        "width": info.width,
        "height": info.height,
        "media_type": info.media_type,
        "frames": info.frames,
        "traceable": info.traceable,
    })
}

async fn cover(State(chatpic): State<ChatPic>, Path(id): Path<String>) -> Answer<Json<Value>> {
    let cover = chatpic.cover(&share_id(&id)?).await?;
    Ok(Json(json!({
        "status": "active",
        "password_required": cover.password_required,
        "image_count": cover.image_count,
        "expires_at": rfc3339(cover.expires_at),
        "seconds_left": cover.seconds_left,
        "views_left": cover.views_left,
    })))
}

#[derive(Deserialize)]
struct OpenRequest {
    key: String,
    password: Option<String>,
    nonce: Option<String>,
}

async fn open(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    client: Client,
    body: Result<Json<OpenRequest>, JsonRejection>,
) -> Answer<(StatusCode, Json<Value>)> {
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
    Ok((status, Json(session(&id, &opened))))
}

fn session(id: &ShareId, opened: &Opened) -> Value {
    let image = |info: &ImageInfo| {
        json!({
            "index": info.index,
            "url": format!("/api/v1/shares/{id}/images/{}", info.index),
            "width": info.width,
            "height": info.height,
            "media_type": info.media_type,
        })
    };
    json!({
        "session": opened.session.to_string(),
        "token": opened.token.reveal(),
        "ends_at": rfc3339(opened.ends_at),
        "seconds_left": opened.seconds_left,
        "views_before": opened.views_before,
        "views_left": opened.views_left,
        "images": opened.images.iter().map(image).collect::<Vec<_>>(),
    })
}

async fn current(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
) -> Answer<Json<Value>> {
    let current = chatpic.current(&share_id(&id)?, &bearer.parse()?).await?;
    Ok(Json(json!({ "session": current.session.to_string(), "seconds_left": current.seconds_left })))
}

#[derive(Deserialize)]
pub(crate) struct Width {
    width: Option<u32>,
}

async fn image(
    State(chatpic): State<ChatPic>,
    Path((id, index)): Path<(String, String)>,
    width: Result<Query<Width>, QueryRejection>,
    bearer: Bearer,
) -> Answer<Response> {
    serve_image(chatpic, &id, &index, width, bearer.parse()?).await
}

/// A session's copy, sent in chunks; a burn in between stops it.
pub(crate) async fn serve_image(
    chatpic: ChatPic,
    id: &str,
    index: &str,
    width: Result<Query<Width>, QueryRejection>,
    token: SessionToken,
) -> Answer<Response> {
    const CHUNK: usize = 64 * 1024;
    let id = share_id(id)?;
    let index = index.parse().map_err(|_| Problem::not_found())?;
    let ImageCopy { bytes, media_type } = chatpic.image(&id, &token, index, width?.width).await?;
    let length = bytes.len();
    let chunks = futures::stream::unfold(bytes, move |mut rest: Bytes| {
        let (chatpic, token) = (chatpic.clone(), token.clone());
        async move {
            if rest.is_empty() {
                return None;
            }
            let chunk = rest.split_to(rest.len().min(CHUNK));
            // The first chunk was just allowed; before each further one the session is looked at again.
            let first = chunk.len() + rest.len() == length;
            if !first && chatpic.current(&id, &token).await.is_err() {
                return Some((Err(std::io::Error::other("the session is over")), Bytes::new()));
            }
            Some((Ok(chunk), rest))
        }
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

#[derive(Deserialize)]
struct Page {
    after: Option<String>,
}

async fn dashboard(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    page: Result<Query<Page>, QueryRejection>,
    bearer: Bearer,
) -> Answer<Json<Value>> {
    let id = share_id(&id)?;
    let access = app.chatpic.dashboard_access(&id, &bearer.parse()?);
    let after: Option<Cursor> = page?
        .0
        .after
        .map(|after| after.parse().map_err(|_| Problem::malformed("after is no cursor")))
        .transpose()?;
    let dashboard = app.chatpic.dashboard(&id, &access, after).await?;
    Ok(Json(dashboard_json(&app, &origin, &id, &dashboard)))
}

pub(crate) fn dashboard_json(app: &App, origin: &Origin, id: &ShareId, dashboard: &Dashboard) -> Value {
    let link = dashboard.link_key.as_ref().map(|key| app.link(origin, 's', id, &key.reveal()));
    let countries: Vec<Value> = dashboard
        .countries
        .iter()
        .map(|(country, views)| json!({ "country": country.map(|c| c.to_string()), "views": views }))
        .collect();
    let timeline: Vec<Value> =
        dashboard.timeline.iter().map(|(at, views)| json!({ "at": rfc3339(*at), "views": views })).collect();
    let sessions: Vec<Value> = dashboard
        .sessions
        .iter()
        .map(|s| {
            json!({
                "session": s.session.to_string(),
                "opened_at": rfc3339(s.opened_at),
                "country": s.country.map(|c| c.to_string()),
                "device": s.device.as_str(),
                "images_seen": s.images_seen,
            })
        })
        .collect();
    json!({
        "status": dashboard.status.as_str(),
        "created_at": rfc3339(dashboard.created_at),
        "expires_at": rfc3339(dashboard.expires_at),
        "seconds_left": dashboard.seconds_left,
        "max_views": dashboard.max_views,
        "views": dashboard.views,
        "views_left": dashboard.views_left,
        "image_count": dashboard.image_count,
        "countries": countries,
        "timeline": timeline,
        "sessions": sessions,
        "next": dashboard.next.map(|next| next.to_string()),
        "blocked": dashboard.blocked,
        "link": link,
        "ledger_until": rfc3339(dashboard.ledger_until),
        "receipt": dashboard.receipt.as_ref().map(receipt_json),
    })
}

pub(crate) fn receipt_json(receipt: &Receipt) -> Value {
    let instant = |at: Option<Timestamp>| at.map(rfc3339);
    json!({
        "burned_at": instant(receipt.burned_at),
        "objects_deleted": receipt.objects_deleted,
        "objects_pending": receipt.objects_pending,
        "purged_at": instant(receipt.purged_at),
    })
}

async fn preview(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
) -> Answer<(StatusCode, Json<Value>)> {
    let id = share_id(&id)?;
    let opened = chatpic.preview(&id, &chatpic.dashboard_access(&id, &bearer.parse()?)).await?;
    Ok((StatusCode::CREATED, Json(session(&id, &opened))))
}

/// A duration in JSON: whole seconds as a number, or text.
fn json_duration(name: &'static str, value: &Value) -> Answer<std::time::Duration> {
    match value {
        Value::Number(number) => duration(name, &number.to_string()),
        Value::String(text) => duration(name, text),
        _ => Err(Problem::malformed(format!("{name} is missing"))),
    }
}

#[derive(Deserialize)]
struct ExtendRequest {
    extend_by: Value,
}

async fn extend(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
    body: Result<Json<ExtendRequest>, JsonRejection>,
) -> Answer<Json<Value>> {
    let id = share_id(&id)?;
    let access = chatpic.dashboard_access(&id, &bearer.parse()?);
    let by = json_duration("extend_by", &body?.0.extend_by)?;
    let expires_at = chatpic.extend(&id, &access, by).await?;
    Ok(Json(json!({ "expires_at": rfc3339(expires_at) })))
}

#[derive(Deserialize)]
struct LedgerRequest {
    keep_ledger: Value,
}

async fn keep_ledger(
    State(chatpic): State<ChatPic>,
    Path(id): Path<String>,
    bearer: Bearer,
    body: Result<Json<LedgerRequest>, JsonRejection>,
) -> Answer<Json<Value>> {
    let id = share_id(&id)?;
    let access = chatpic.dashboard_access(&id, &bearer.parse()?);
    let keep = json_duration("keep_ledger", &body?.0.keep_ledger)?;
    let until = chatpic.keep_ledger(&id, &access, keep).await?;
    Ok(Json(json!({ "ledger_until": rfc3339(until) })))
}

async fn burn(State(chatpic): State<ChatPic>, Path(id): Path<String>, bearer: Bearer) -> Answer<Json<Value>> {
    let id = share_id(&id)?;
    let receipt = chatpic.burn(&id, &chatpic.dashboard_access(&id, &bearer.parse()?)).await?;
    Ok(Json(receipt_json(&receipt)))
}

async fn trace(
    State(app): State<App>,
    Path(id): Path<String>,
    bearer: Bearer,
    request: Request,
) -> Answer<Response> {
    let id = share_id(&id)?;
    let access = app.chatpic.dashboard_access(&id, &bearer.parse()?);
    app.chatpic.check_dashboard(&id, &access).await?;
    let ([leak, original], _) = upload::files(&app, request, ["image", "original"]).await?;
    let leak = leak.ok_or_else(|| Problem::malformed("the field image is missing"))?;
    let report = app.chatpic.trace(&id, &access, leak, original).await?;
    Ok(Json(trace_json(&report)).into_response())
}

pub(crate) fn trace_json(report: &TraceReport) -> Value {
    let matches: Vec<Value> = report
        .matches
        .iter()
        .map(|found| {
            json!({
                "session": found.session.to_string(),
                "image": found.image,
                "score": (f64::from(found.score) * 10.0).round() / 10.0,
                "false_alarm": found.false_alarm,
                "opened_at": found.opened_at.map(rfc3339),
                "country": found.country.map(|country| country.to_string()),
            })
        })
        .collect();
    let verdict = if matches.is_empty() { "no_match" } else { "match" };
    json!({ "verdict": verdict, "matches": matches, "candidates": report.candidates })
}
