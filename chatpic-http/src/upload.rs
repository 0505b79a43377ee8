//! Uploads: a multipart form streamed field by field into a bounded buffer, one image at a time.

use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode};
use chatpic_core::{AccessPolicy, ChatPic, Created, Error, Password, Upload};

use crate::App;
use crate::problem::Problem;
use crate::time::duration;

/// Bytes of a text field, at most.
const TEXT_BYTES: usize = 4096;
/// How long the rest of a refused upload is read, so that the answer reaches the client.
const DRAIN: Duration = Duration::from_secs(10);

/// Reads a share from a form and makes it. A refusal reaches the client: the rest of the body is read first.
pub(crate) async fn create(app: &App, request: Request) -> Result<Created, Problem> {
    let key = idempotency_key(request.headers())?;
    let mut upload = app.chatpic.upload(key.as_deref())?;
    let mut form = multipart(request, app).await?;
    let outcome = receive(&app.chatpic, &mut upload, &mut form).await;
    match outcome {
        Ok(policy) => Ok(upload.commit(policy).await?),
        Err(problem) => {
            upload.abort().await;
            drain(form).await;
            Err(problem)
        }
    }
}

/// Reads the named files of a form, such as a leaked picture, each at most as large as an image may be.
pub(crate) async fn files<const N: usize>(
    app: &App,
    request: Request,
    names: [&str; N],
) -> Result<([Option<Vec<u8>>; N], Option<String>), Problem> {
    let mut form = multipart(request, app).await?;
    let mut found = [const { None }; N];
    let mut token = None;
    let outcome = async {
        while let Some(mut field) = next(&mut form).await? {
            let name = field.name().unwrap_or_default().to_owned();
            if let Some(place) = names.iter().position(|wanted| *wanted == name) {
                let bytes = read(&mut field, app.chatpic.limits().image_bytes, &name).await?;
                found[place] = Some(bytes).filter(|bytes| !bytes.is_empty());
            } else if name == "token" {
                token = Some(text(&mut field).await?);
            }
        }
        Ok(())
    }
    .await;
    if let Err(problem) = outcome {
        drain(form).await;
        return Err(problem);
    }
    Ok((found, token))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let key = headers.get("idempotency-key");
    let text = |key: &axum::http::HeaderValue| {
        key.to_str().map(str::to_owned).map_err(|_| Problem::malformed("the idempotency key can't be read"))
    };
    key.map(text).transpose()
}

async fn multipart(mut request: Request, app: &App) -> Result<Multipart, Problem> {
    let limits = app.chatpic.limits();
    // Room for boundaries and text fields beside the images, and for one image too many to be told so.
    let cap = (limits.images + 1).saturating_mul(limits.image_bytes + 2 * TEXT_BYTES);
    DefaultBodyLimit::max(cap).apply(&mut request);
    Multipart::from_request(request, app)
        .await
        .map_err(|_| Problem::malformed("this is not a multipart form"))
}

async fn receive(
    chatpic: &ChatPic,
    upload: &mut Upload,
    form: &mut Multipart,
) -> Result<AccessPolicy, Problem> {
    let mut policy = AccessPolicy::default();
    let mut index = 0;
    while let Some(mut field) = next(form).await? {
        match field.name().unwrap_or_default() {
            "images" => {
                let what = format!("image {}", index + 1);
                let bytes = read(&mut field, chatpic.limits().image_bytes, &what).await?;
                // A form without a chosen file sends an empty one without a name.
                if bytes.is_empty() && field.file_name().is_none_or(str::is_empty) {
                    continue;
                }
                upload.add(bytes).await?;
                index += 1;
            }
            "expires_in" => policy.expires_in = option(&mut field, |t| duration("expires_in", t)).await?,
            "keep_ledger" => policy.keep_ledger = option(&mut field, |t| duration("keep_ledger", t)).await?,
            "max_views" => policy.max_views = option(&mut field, max_views).await?,
            "password" => policy.password = option(&mut field, |t| Ok(Password::new(t))).await?,
            _ => drop(text(&mut field).await?),
        }
    }
    policy.check(chatpic.limits()).map_err(Error::from)?;
    Ok(policy)
}

fn max_views(text: &str) -> Result<u32, Problem> {
    let text = text.trim();
    let number = text.strip_prefix('-').unwrap_or(text);
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Problem::malformed("max_views is not a number"));
    }
    text.parse().map_err(|_| Problem::out_of_range("max_views is out of range"))
}

/// An option that is absent when its field is empty.
async fn option<T>(
    field: &mut Field<'_>,
    parse: impl FnOnce(&str) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    let text = text(field).await?;
    if text.is_empty() { Ok(None) } else { parse(&text).map(Some) }
}

async fn text(field: &mut Field<'_>) -> Result<String, Problem> {
    let bytes = read(field, TEXT_BYTES, "a text field").await?;
    String::from_utf8(bytes).map_err(|_| Problem::malformed("a text field is not UTF-8"))
}

async fn next(form: &mut Multipart) -> Result<Option<Field<'_>>, Problem> {
    form.next_field().await.map_err(broken)
}

async fn read(field: &mut Field<'_>, cap: usize, what: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > cap {
            return Err(Problem::too_large(format!("{what} has more than {cap} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn broken(error: MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::too_large("the upload is too large")
    } else {
        Problem::malformed("the form breaks off or can't be read")
    }
}

/// Reads and drops what is left of a form.
async fn drain(mut form: Multipart) {
    let rest = async {
        while let Ok(Some(mut field)) = form.next_field().await {
            while let Ok(Some(_)) = field.chunk().await {}
        }
    };
    drop(tokio::time::timeout(DRAIN, rest).await);
}
