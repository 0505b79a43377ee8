//! Uploads: a multipart form streamed field by field into a bounded buffer, one image at a time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use chatpic_core::{AccessPolicy, Created, Error, Password, Upload};
use futures::stream::{self, StreamExt};
use ring::hmac;

use crate::App;
use crate::problem::Problem;
use crate::time::duration;

/// Bytes of a text field, at most.
const TEXT_BYTES: usize = 4096;
/// Bytes of a megabyte, as limits are told.
const MEGABYTE: usize = 1024 * 1024;
/// How long the rest of a refused upload is read, so that the answer reaches the client.
const DRAIN: Duration = Duration::from_secs(10);

/// The password that uploaders must know; kept as a hash.
#[derive(Clone)]
pub struct UploadPassword(hmac::Tag);

impl UploadPassword {
    /// The password with this text.
    pub fn new(text: &str) -> Self {
        Self(hmac::sign(&Self::key(), text.as_bytes()))
    }

    fn key() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, b"upload password")
    }

    fn is(&self, text: &str) -> bool {
        hmac::verify(&Self::key(), text.as_bytes(), self.0.as_ref()).is_ok()
    }
}

impl fmt::Debug for UploadPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadPassword(..)")
    }
}

/// Reads a share from a form and makes it. A refusal reaches the client: the rest of the body is read first.
pub(crate) async fn create(app: &App, request: Request) -> Result<Created, Problem> {
    let begun = idempotency_key(request.headers())
        .and_then(|key| app.chatpic.upload(key.as_deref()).map_err(Problem::from));
    let mut upload = match begun {
        Ok(upload) => upload,
        Err(problem) => {
            drain(app, request.into_body()).await;
            return Err(problem);
        }
    };
    let mut form = Form::begin(app, request).await?;
    match receive(app, &mut upload, &mut form.fields).await {
        Ok(policy) => Ok(upload.commit(policy).await?),
        Err(problem) => {
            upload.abort().await;
            Err(form.refuse(problem).await)
        }
    }
}

/// Reads the named files of a form, such as a leaked picture, each at most as large as an image may be.
pub(crate) async fn files<const N: usize>(
    app: &App,
    request: Request,
    names: [&str; N],
) -> Result<([Option<Vec<u8>>; N], Option<String>), Problem> {
    let mut form = Form::begin(app, request).await?;
    let mut found = [const { None }; N];
    let mut token = None;
    let outcome = async {
        while let Some(mut field) = next(&mut form.fields).await? {
            let name = field.name().unwrap_or_default().to_owned();
            if let Some(place) = names.iter().position(|wanted| *wanted == name) {
                let bytes = read(&mut field, app.chatpic.limits().image_bytes, &name).await?;
                found[place] = Some(bytes).filter(|bytes| !bytes.is_empty());
            } else if name == "token" {
                token = Some(text(&mut field).await?);
            } else {
                return Err(unknown(&name));
            }
        }
        Ok(())
    }
    .await;
    match outcome {
        Ok(()) => Ok((found, token)),
        Err(problem) => Err(form.refuse(problem).await),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let text = |key: &HeaderValue| {
        key.to_str().map(str::to_owned).map_err(|_| Problem::malformed("the idempotency key can't be read"))
    };
    headers.get("idempotency-key").map(text).transpose()
}

/// A body that is read through a form, and what is left of it when the form is given up.
#[derive(Clone)]
struct Bounded(Arc<Mutex<Rest>>);

struct Rest {
    body: BodyDataStream,
    left: usize,
    exceeded: bool,
    /// Whether the next chunk waits until the one before was used: the form's reader takes all that is ready into
    /// memory before it looks at any of it.
    pauses: bool,
}

impl Bounded {
    fn new(app: &App, body: Body) -> Self {
        let limits = app.chatpic.limits();
        // Room for boundaries and text fields beside the images, and for one image too many to be told so.
        let left = (limits.images + 1).saturating_mul(limits.image_bytes + 2 * TEXT_BYTES);
        Self(Arc::new(Mutex::new(Rest {
            body: body.into_data_stream(),
            left,
            exceeded: false,
            pauses: false,
        })))
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        let mut rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rest.exceeded {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut rest.pauses) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = rest.body.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            rest.pauses = true;
            match rest.left.checked_sub(chunk.len()) {
                Some(left) => rest.left = left,
                None => rest.exceeded = true,
            }
        }
        if rest.exceeded { Poll::Ready(Some(Err(axum::Error::new("too large")))) } else { polled }
    }

    fn is_exceeded(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).exceeded
    }

    fn into_body(self) -> Body {
        Body::from_stream(stream::poll_fn(move |context| self.poll(context)))
    }

    async fn drain(self) {
        let mut rest = stream::poll_fn(move |context| self.poll(context));
        let all = async { while let Some(Ok(_)) = rest.next().await {} };
        drop(tokio::time::timeout(DRAIN, all).await);
    }
}

/// Reads and drops a body up to the request's cap, for at most ten seconds.
pub(crate) async fn drain(app: &App, body: Body) {
    Bounded::new(app, body).drain().await;
}

struct Form {
    fields: Multipart,
    body: Bounded,
}

impl Form {
    async fn begin(app: &App, request: Request) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = Bounded::new(app, body);
        let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
        let mut request = Request::from_parts(parts, body.clone().into_body());
        DefaultBodyLimit::disable().apply(&mut request);
        match Multipart::from_request(request, app).await {
            Ok(fields) => Ok(Self { fields, body }),
            Err(_) => {
                body.drain().await;
                let kind = kind.as_ref().and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
                Err(Problem::malformed(format!("this is no multipart form, but {kind:.60}")))
            }
        }
    }

    /// Reads what is left, so that the problem reaches the client.
    async fn refuse(self, problem: Problem) -> Problem {
        let Self { fields, body } = self;
        let exceeded = body.is_exceeded();
        drop(fields);
        body.drain().await;
        if exceeded { Problem::too_large("the upload is too large") } else { problem }
    }
}

async fn receive(app: &App, upload: &mut Upload, form: &mut Multipart) -> Result<AccessPolicy, Problem> {
    let limits = app.chatpic.limits();
    let mut policy = AccessPolicy::default();
    let mut index = 0;
    let mut allowed = app.options.upload_password.is_none();
    while let Some(mut field) = next(form).await? {
        match field.name().unwrap_or_default() {
            "images" => {
                if !allowed {
                    return Err(Problem::upload_password());
                }
                let what = format!("image {}", index + 1);
                let bytes = read(&mut field, limits.image_bytes, &what).await?;
                // A form without a chosen file sends an empty one without a name.
                if bytes.is_empty() && field.file_name().is_none_or(str::is_empty) {
                    continue;
                }
                upload.add(bytes).await?;
                index += 1;
            }
            "upload_password" => {
                let given = text(&mut field).await?;
                allowed = app.options.upload_password.as_ref().is_none_or(|password| password.is(&given));
            }
            "expires_in" => policy.expires_in = option(&mut field, |t| duration("expires_in", t)).await?,
            "keep_ledger" => policy.keep_ledger = option(&mut field, |t| duration("keep_ledger", t)).await?,
            "max_views" => policy.max_views = option(&mut field, max_views).await?,
            "password" => policy.password = option(&mut field, |t| Ok(Password::new(t))).await?,
            other => return Err(unknown(other)),
        }
    }
    if !allowed {
        return Err(Problem::upload_password());
    }
    policy.check(limits).map_err(Error::from)?;
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
    let name = field.name().unwrap_or("a text field").to_owned();
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > TEXT_BYTES {
            return Err(Problem::out_of_range(format!("{name:.40} has more than {TEXT_BYTES} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Problem::malformed("a text field is not UTF-8"))
}

/// A field that nothing is known of may be a misspelt option, such as a password: nothing is made without it.
fn unknown(name: &str) -> Problem {
    Problem::malformed(format!("the form has no field {name:.40?}"))
}

async fn next(form: &mut Multipart) -> Result<Option<Field<'_>>, Problem> {
    form.next_field().await.map_err(broken)
}

async fn read(field: &mut Field<'_>, cap: usize, what: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > cap {
            let cap = match cap / MEGABYTE {
                megabytes if megabytes > 0 && cap % MEGABYTE == 0 => format!("{megabytes} MB"),
                _ => format!("{cap} bytes"),
            };
            return Err(Problem::too_large(format!("{what} has more than {cap}")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn broken(_: MultipartError) -> Problem {
    Problem::malformed("the form breaks off or can't be read")
}
