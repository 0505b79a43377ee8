//! Uploads: a multipart form streamed field by field into a bounded buffer, one image at a time.

use std::collections::HashSet;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use chatpic_core::{
    AccessPolicy, Created, DashboardAccess, Error, Invalid, Password, ShareId, TraceReport, Upload,
};
use futures::stream::{self, StreamExt};
use ring::hmac;
use tokio::time::{Instant, timeout_at};

use crate::App;
use crate::client::{Client, bearer};
use crate::pace::is_slow;
use crate::places::{Holder, Place};
use crate::problem::Problem;
use crate::time::duration;

/// Bytes of a text field, at most.
const TEXT_BYTES: usize = 4096;
/// Bytes of a megabyte, as limits are told.
const MEGABYTE: usize = 1024 * 1024;
/// Bytes of a form that its reader may collect, beside the chunk that comes next, without an end of what it reads: the
/// longest boundary with the head of a part is far shorter.
const UNREAD_BYTES: usize = 64 * 1024;
/// How long the rest of a refused upload is read, so that the answer reaches the client.
const DRAIN: Duration = Duration::from_secs(10);
/// How long images may come before the upload password does: others wait for their place.
const UNPROVED_WITHIN: Duration = Duration::from_secs(2 * 60);

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
pub(crate) async fn create(app: &App, client: &Client, request: Request) -> Result<Created, Problem> {
    let chatpic = app.chatpic.for_client(&client.address);
    let bearer = bearer(request.headers()).map(str::to_owned);
    let begun = idempotency_key(request.headers())
        .and_then(|key| chatpic.upload(key.as_deref()).map_err(Problem::from));
    let mut upload = match begun {
        Ok(upload) => upload,
        Err(problem) => {
            drain(app, request.into_body()).await;
            return Err(problem);
        }
    };
    // One image of it is in memory at a time.
    let mut form = Form::begin(app, client, request, 1, &["images"]).await?;
    match receive(app, client, bearer.as_deref(), &mut upload, &mut form).await {
        Ok(policy) => Ok(upload.commit(policy).await?),
        Err(problem) => {
            upload.abort().await;
            Err(form.refuse(problem).await)
        }
    }
}

/// Traces the picture of a form, with the original if it is there, unless its token is refused. The share's turn and one
/// of its traces of the day are taken before the form is read, which is in memory until the trace is done.
pub(crate) async fn trace(
    app: &App,
    client: &Client,
    id: &ShareId,
    access: &DashboardAccess,
    request: Request,
    check_token: impl FnOnce(Option<&str>) -> Result<(), Problem>,
) -> Result<TraceReport, Problem> {
    let turn = match app.chatpic.for_client(&client.address).begin_trace(id, access).await {
        Ok(turn) => turn,
        Err(error) => {
            drain(app, request.into_body()).await;
            return Err(error.into());
        }
    };
    let mut form = Form::begin(app, client, request, 2, &[]).await?;
    let (mut leak, mut original, mut token) = (None, None, None);
    let outcome = async {
        while let Some(mut part) = form.next().await? {
            let name = part.name().to_owned();
            let place = match name.as_str() {
                "image" => &mut leak,
                "original" => &mut original,
                "token" => {
                    token = Some(part.text().await?);
                    continue;
                }
                _ => return Err(unknown(&name)),
            };
            let bytes = part.read(app.chatpic.limits().image_bytes, &name).await?;
            *place = Some(bytes).filter(|bytes| !bytes.is_empty());
        }
        check_token(token.as_deref())?;
        leak.ok_or_else(|| Problem::malformed("the picture to trace is missing"))
    };
    match outcome.await {
        Ok(leak) => Ok(turn.trace(leak, original).await?),
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
    /// Bytes that the form's reader took since it last gave some of them on.
    unread: usize,
    /// Why nothing more is read.
    over: Option<Problem>,
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
            unread: 0,
            over: None,
            pauses: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Rest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        let mut rest = self.lock();
        if rest.over.is_some() {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut rest.pauses) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if rest.unread > UNREAD_BYTES {
            return Poll::Ready(Some(Err(axum::Error::new("a part of the form has no end"))));
        }
        let polled = rest.body.poll_next_unpin(context);
        match &polled {
            Poll::Ready(Some(Ok(chunk))) => {
                rest.pauses = true;
                rest.unread += chunk.len();
                match rest.left.checked_sub(chunk.len()) {
                    Some(left) => rest.left = left,
                    None => {
                        rest.over = Some(Problem::too_large("the upload is too large"));
                        return Poll::Ready(Some(Err(axum::Error::new("too large"))));
                    }
                }
            }
            Poll::Ready(Some(Err(error))) if is_slow(error) => {
                rest.over = Some(Error::from(Invalid::TooSlow).into());
            }
            _ => {}
        }
        polled
    }

    /// Notes that the form's reader has given on what it took, but for less than a chunk.
    fn was_read(&self) {
        self.lock().unread = 0;
    }

    fn into_body(self) -> Body {
        Body::from_stream(stream::poll_fn(move |context| self.poll(context)))
    }

    async fn drain(&self) {
        let all = async {
            self.was_read();
            while let Some(Ok(_)) = poll_fn(|context| self.poll(context)).await {
                self.was_read();
            }
        };
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
    /// The fields that may come more than once.
    repeatable: &'static [&'static str],
    /// The names of the others that came.
    seen: HashSet<String>,
    /// Of the bytes of all forms on this node.
    _place: Place,
}

impl Form {
    /// Begins to read a form of which so many images are in memory at a time.
    async fn begin(
        app: &App,
        client: &Client,
        request: Request,
        images: usize,
        repeatable: &'static [&'static str],
    ) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = Bounded::new(app, body);
        let length = parts.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(usize::MAX);
        let held = length.min(app.chatpic.limits().image_bytes.saturating_mul(images));
        let place = app.forms.take(held, &[Holder::Address(&client.address)]);
        let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
        let mut request = Request::from_parts(parts, body.clone().into_body());
        DefaultBodyLimit::disable().apply(&mut request);
        let refusal = match (place, Multipart::from_request(request, app).await) {
            (Ok(_place), Ok(fields)) => {
                return Ok(Self { fields, body, repeatable, seen: HashSet::new(), _place });
            }
            (Err(busy), _) => busy.into(),
            (_, Err(_)) => {
                let kind = kind.as_ref().and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
                Problem::malformed(format!("this is no multipart form, but {kind:.60}"))
            }
        };
        body.drain().await;
        Err(refusal)
    }

    async fn next(&mut self) -> Result<Option<Part<'_>>, Problem> {
        let field = self.fields.next_field().await.map_err(broken)?;
        self.body.was_read();
        let Some(field) = field else { return Ok(None) };
        // Were the last to win, an empty field after a password would make a share without one.
        let name = field.name().unwrap_or_default();
        if !self.repeatable.contains(&name) && !self.seen.insert(name.to_owned()) {
            return Err(Problem::malformed(format!("the field {name:.40?} comes more than once")));
        }
        Ok(Some(Part { field, body: &self.body }))
    }

    /// Reads what is left, so that the problem reaches the client.
    async fn refuse(self, problem: Problem) -> Problem {
        let Self { fields, body, _place, .. } = self;
        drop(fields);
        body.drain().await;
        let over = body.lock().over.clone();
        over.unwrap_or(problem)
    }
}

/// One field of a form.
struct Part<'a> {
    field: Field<'a>,
    body: &'a Bounded,
}

impl Part<'_> {
    fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        let chunk = self.field.chunk().await.map_err(broken)?;
        self.body.was_read();
        Ok(chunk)
    }

    async fn text(&mut self) -> Result<String, Problem> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > TEXT_BYTES {
                let name = self.name();
                return Err(Problem::out_of_range(format!("{name:.40} has more than {TEXT_BYTES} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| Problem::malformed("a text field is not UTF-8"))
    }

    /// An option that is absent when its field is empty.
    async fn option<T>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        let text = self.text().await?;
        if text.is_empty() { Ok(None) } else { parse(&text).map(Some) }
    }

    async fn read(&mut self, cap: usize, what: &str) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > cap {
                let cap = match cap / MEGABYTE {
                    megabytes if megabytes > 0 && cap.is_multiple_of(MEGABYTE) => format!("{megabytes} MB"),
                    _ => format!("{cap} bytes"),
                };
                return Err(Problem::too_large(format!("{what} has more than {cap}")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// What is read of a form, unless its time is up before.
async fn within<T>(
    deadline: Option<Instant>,
    read: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let Some(deadline) = deadline else { return read.await };
    timeout_at(deadline, read).await.unwrap_or_else(|_| Err(Error::from(Invalid::TooSlow).into()))
}

async fn receive(
    app: &App,
    client: &Client,
    bearer: Option<&str>,
    upload: &mut Upload,
    form: &mut Form,
) -> Result<AccessPolicy, Problem> {
    let limits = app.chatpic.limits();
    let password = app.options.upload_password.as_ref();
    let mut proved = password.is_none_or(|password| bearer.is_some_and(|given| password.is(given)));
    let mut unproved = None;
    let mut policy = AccessPolicy::default();
    let mut index = 0;
    let mut deadline = None;
    while let Some(mut part) = within(deadline, form.next()).await? {
        match part.name() {
            "images" => {
                if !proved && unproved.is_none() {
                    unproved = Some(app.unproved.take(1, &[Holder::Address(&client.address)])?);
                    deadline = Some(Instant::now() + UNPROVED_WITHIN);
                }
                let what = format!("image {}", index + 1);
                let bytes = within(deadline, part.read(limits.image_bytes, &what)).await?;
                // A form without a chosen file sends an empty one without a name.
                if bytes.is_empty() && part.field.file_name().is_none_or(str::is_empty) {
                    continue;
                }
                if proved {
                    upload.add(bytes).await?
                } else {
                    upload.keep(bytes).await?
                }
                index += 1;
            }
            "upload_password" => {
                let given = part.text().await?;
                if !given.is_empty() && password.is_some_and(|password| !password.is(&given)) {
                    return Err(Problem::upload_password());
                }
                proved |= !given.is_empty();
                if proved {
                    upload.add_kept().await?;
                    (unproved, deadline) = (None, None);
                }
            }
            "expires_in" => policy.expires_in = part.option(|t| duration("expires_in", t)).await?,
            "keep_ledger" => policy.keep_ledger = part.option(|t| duration("keep_ledger", t)).await?,
            "max_views" => policy.max_views = part.option(max_views).await?,
            "password" => policy.password = part.option(|t| Ok(Password::new(t))).await?,
            other => return Err(unknown(other)),
        }
    }
    if !proved {
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

/// A field that nothing is known of may be a misspelt option, such as a password: nothing is made without it.
fn unknown(name: &str) -> Problem {
    Problem::malformed(format!("the form has no field {name:.40?}"))
}

fn broken(_: MultipartError) -> Problem {
    Problem::malformed("the form breaks off or can't be read")
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequestParts;
    use chatpic_core::Limits;

    use super::*;
    use crate::Options;
    use crate::tests::{post, site};

    #[tokio::test]
    async fn what_has_no_end_is_refused_before_it_is_collected() {
        let app = site(Options::default(), Limits::default()).await;
        for start in ["", "no boundary", "--b\r\nContent-Disposition: form-data; name=\"images"] {
            let chunk = Bytes::from(vec![b'x'; 16 * 1024]);
            let chunks = std::iter::once(Bytes::from(start)).chain(std::iter::repeat_n(chunk.clone(), 1000));
            let (mut parts, body) = post("/", stream::iter(chunks)).into_parts();
            let Ok(client) = Client::from_request_parts(&mut parts, &app).await;
            let request = Request::from_parts(parts, body);
            let mut form = Form::begin(&app, &client, request, 1, &[]).await.unwrap();
            let before = form.body.lock().left;
            let problem = form.next().await.err().unwrap();
            assert_eq!(problem.kind, "malformed");
            let taken = before - form.body.lock().left;
            assert!(taken <= UNREAD_BYTES + 2 * chunk.len(), "{taken} bytes after {start:?}");
            let body = form.body.clone();
            assert_eq!(form.refuse(problem.clone()).await, problem);
            assert_eq!(before - body.lock().left, start.len() + 1000 * chunk.len(), "the rest was read");
        }
    }
}
