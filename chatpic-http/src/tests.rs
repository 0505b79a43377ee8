//! What takes time or memory is bounded: on tokio's paused clock, so that nothing waits.

mod addresses;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header;
use axum::response::Response;
use bytes::Bytes;
use chatpic_core::testing::samples;
use chatpic_core::{AccessPolicy, ChatPic, Created, InstallationSecret, Limits, Opening};
use futures::{Stream, StreamExt, stream};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval};
use tower::ServiceExt;

use crate::{App, Options, UploadPassword, routes};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const FORM: &str = "multipart/form-data; boundary=b";

pub(crate) async fn site(options: Options, limits: Limits) -> App {
    let chatpic = ChatPic::builder(InstallationSecret::from_bytes([42; 32])).limits(limits).build();
    App::new(chatpic.await.unwrap(), options)
}

async fn send(app: &App, request: Request) -> Response {
    routes(app.clone()).oneshot(request).await.unwrap()
}

/// Paused time goes on by itself while the runtime waits for another thread, unless a blocking task runs.
async fn at_once<T>(work: impl Future<Output = T>) -> T {
    let (done, until_done) = std::sync::mpsc::channel::<()>();
    let hold = tokio::task::spawn_blocking(move || until_done.recv().is_err());
    let outcome = work.await;
    drop(done);
    assert!(hold.await.unwrap(), "it ends with the work");
    outcome
}

async fn share(app: &App) -> Created {
    let mut upload = app.chatpic.upload(None).unwrap();
    upload.add(samples::jpeg(&samples::photograph(900, 600, 7), 92)).await.unwrap();
    upload.commit(AccessPolicy::default()).await.unwrap()
}

/// The path of a share's first image, and the token of a session that may load it.
async fn open(app: &App, share: &Created) -> (String, String) {
    let access = app.chatpic.link_access(&share.share_id, &share.link_key);
    let opened = app.chatpic.open(&share.share_id, &access, Opening::default()).await.unwrap();
    (format!("/api/v1/shares/{}/images/0", share.share_id), opened.token.reveal())
}

fn get(path: &str, token: &str) -> Request {
    let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    request.body(Body::empty()).unwrap()
}

/// The same request from this address.
fn from(address: u8, mut request: Request) -> Request {
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, address], 4711))));
    request
}

pub(crate) fn post(path: &str, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Request {
    let body = Body::from_stream(chunks.map(Ok::<_, std::io::Error>));
    Request::post(path).header(header::CONTENT_TYPE, FORM).body(body).unwrap()
}

fn trace(share: &Created, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Request {
    let mut request = post(&format!("/api/v1/shares/{}/trace", share.share_id), chunks);
    let key = format!("Bearer {}", share.dashboard_key.reveal());
    request.headers_mut().insert(header::AUTHORIZATION, key.parse().unwrap());
    request
}

fn head(field: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"a\"\r\n\r\n")
}

/// A form whose one file is this, named `field`.
fn form(field: &str, file: &[u8]) -> Bytes {
    Bytes::from([head(field).as_bytes(), file, b"\r\n--b--\r\n"].concat())
}

/// Chunks that come one by one.
fn every(period: Duration, chunks: Vec<Bytes>) -> impl Stream<Item = Bytes> + Send {
    stream::unfold((interval(period), chunks.into_iter()), |(mut ticks, mut chunks)| async {
        ticks.tick().await;
        Some((chunks.next()?, (ticks, chunks)))
    })
}

/// A form that says when its first chunk is taken, and then comes to no end.
fn stalling(field: &str) -> (impl Stream<Item = Bytes> + Send + use<>, oneshot::Receiver<()>) {
    let (taken, begun) = oneshot::channel();
    let head = head(field);
    let first = async move {
        taken.send(()).ok();
        Bytes::from(head)
    };
    (stream::once(first).chain(stream::pending()), begun)
}

async fn body(response: Response) -> Result<Bytes, axum::Error> {
    axum::body::to_bytes(response.into_body(), usize::MAX).await
}

#[tokio::test(start_paused = true)]
async fn a_body_from_which_nothing_comes_is_answered_and_gone_after_half_a_minute() {
    let app = site(Options::default(), Limits::default()).await;
    let share = share(&app).await;
    let sessions = format!("/api/v1/shares/{}/sessions", share.share_id);
    for (path, kind, status) in
        [("/api/v1/shares", FORM, 422), ("/", FORM, 422), (&sessions, "application/json", 400)]
    {
        let mut request = post(path, stalling("images").0);
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        request.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
        let begun = Instant::now();
        let answer = send(&app, request).await;
        assert_eq!(answer.status(), status, "{path}");
        assert!((30..=41).contains(&begun.elapsed().as_secs()), "{path}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_phone_may_take_an_hour() {
    let app = site(Options::default(), Limits::default()).await;
    let whole = form("images", &samples::jpeg(&samples::photograph(900, 600, 7), 92));
    let slowly = |pieces: usize, period| {
        let chunks = whole.chunks(whole.len().div_ceil(pieces)).map(Bytes::copy_from_slice).collect();
        post("/api/v1/shares", every(period, chunks))
    };
    let answer = send(&app, slowly(120, 29 * SECOND)).await;
    assert_eq!(answer.status(), 201, "58 minutes");
    let begun = Instant::now();
    let answer = send(&app, slowly(130, 29 * SECOND)).await;
    assert_eq!(answer.status(), 422, "63 minutes");
    assert!(begun.elapsed() <= 60 * MINUTE + 11 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn images_before_their_password_may_take_two_minutes() {
    let upload_password = Some(UploadPassword::new("swordfish"));
    let app = site(Options { upload_password, ..Options::default() }, Limits::default()).await;
    let whole = form("images", &samples::jpeg(&samples::photograph(900, 600, 7), 92));
    let chunks = whole.chunks(whole.len().div_ceil(120)).map(Bytes::copy_from_slice).collect();
    let begun = Instant::now();
    let answer = send(&app, post("/api/v1/shares", every(29 * SECOND, chunks))).await;
    assert_eq!(answer.status(), 422);
    assert!((2 * MINUTE..=2 * MINUTE + 41 * SECOND).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn forms_in_memory_are_bounded_by_node_and_by_address() {
    let image = form("images", &samples::jpeg(&samples::photograph(900, 600, 7), 92));
    let part = image.len();
    let app = site(Options { form_bytes: 4 * part, ..Options::default() }, Limits::default()).await;
    let from = |address: u8, mut request: Request| {
        request.headers_mut().insert(header::CONTENT_LENGTH, part.into());
        from(address, request)
    };
    let whole = || post("/api/v1/shares", stream::iter([image.clone()]));
    let mut waiting = Vec::new();
    let mut stall = async |address| {
        let (chunks, begun) = stalling("images");
        let (app, request) = (app.clone(), from(address, post("/api/v1/shares", chunks)));
        waiting.push(tokio::spawn(async move { send(&app, request).await }));
        begun.await.unwrap();
    };
    stall(1).await;
    let busy = send(&app, from(1, whole())).await;
    assert_eq!(busy.status(), 503, "one address has a quarter");
    assert!(busy.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(at_once(send(&app, from(2, whole()))).await.status(), 201);
    for address in 2..=4 {
        stall(address).await;
    }
    assert_eq!(send(&app, from(5, whole())).await.status(), 503, "all is taken");
    for stalled in waiting {
        assert_eq!(stalled.await.unwrap().status(), 422);
    }
    assert_eq!(send(&app, from(1, whole())).await.status(), 201);
}

#[tokio::test(start_paused = true)]
async fn of_an_address_one_form_at_a_time_has_its_images_before_its_password() {
    let password = Some(UploadPassword::new("swordfish"));
    let app = site(Options { upload_password: password, ..Options::default() }, Limits::default()).await;
    let image = samples::jpeg(&samples::photograph(300, 200, 7), 92);
    let password = head("upload_password") + "swordfish\r\n--b--\r\n";
    let late = [head("images").as_bytes(), &image, b"\r\n", password.as_bytes()].concat();
    let late = || post("/api/v1/shares", stream::iter([Bytes::from(late.clone())]));
    let (chunks, begun) = stalling("images");
    let first = tokio::spawn({
        let (app, request) = (app.clone(), from(1, post("/api/v1/shares", chunks)));
        async move { send(&app, request).await }
    });
    begun.await.unwrap();
    let busy = send(&app, from(1, late())).await;
    assert_eq!(busy.status(), 503);
    assert!(busy.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(at_once(send(&app, from(2, late()))).await.status(), 201, "others have theirs");
    let mut proved = from(1, post("/api/v1/shares", stream::iter([form("images", &image)])));
    proved.headers_mut().insert(header::AUTHORIZATION, "Bearer swordfish".parse().unwrap());
    assert_eq!(at_once(send(&app, proved)).await.status(), 201, "and those who prove it first");
    assert_eq!(first.await.unwrap().status(), 422);
    assert_eq!(at_once(send(&app, from(1, late()))).await.status(), 201, "its place is back");
}

#[tokio::test]
async fn readiness_says_that_addresses_are_unknown() {
    let app = site(Options::default(), Limits::default()).await;
    let ready = async |request| {
        let answer = send(&app, request).await;
        assert_eq!(answer.status(), 200);
        String::from_utf8(body(answer).await.unwrap().to_vec()).unwrap()
    };
    let request = || Request::get("/readyz").body(Body::empty()).unwrap();
    assert_eq!(ready(from(1, request())).await, "ready\n");
    assert!(ready(request()).await.contains("without their peer's address"));
}

#[tokio::test]
async fn without_their_addresses_strangers_use_up_nothing_of_each_other() {
    let app = site(Options { uploads_per_hour: 1, ..Options::default() }, Limits::default()).await;
    let image = form("images", &samples::jpeg(&samples::photograph(300, 200, 7), 92));
    let upload = || post("/api/v1/shares", stream::iter([image.clone()]));
    for _ in 0..3 {
        assert_eq!(send(&app, upload()).await.status(), 201);
    }
    assert_eq!(send(&app, from(1, upload())).await.status(), 201);
    assert_eq!(send(&app, from(1, upload())).await.status(), 429);
}

#[tokio::test(start_paused = true)]
async fn a_trace_has_its_turn_and_its_count_before_its_pictures_come() {
    let app = site(Options::default(), Limits { traces_per_day: 2, ..Limits::default() }).await;
    let share = share(&app).await;
    let (chunks, begun) = stalling("image");
    let first = tokio::spawn({
        let (app, request) = (app.clone(), trace(&share, chunks));
        async move { send(&app, request).await }
    });
    begun.await.unwrap();
    let again = || trace(&share, stream::iter([form("image", b"no picture")]));
    assert_eq!(send(&app, again()).await.status(), 409, "its turn is taken");
    assert_eq!(first.await.unwrap().status(), 422);
    assert_eq!(send(&app, again()).await.status(), 415);
    assert_eq!(send(&app, again()).await.status(), 429, "the one that stalled was counted");
}

#[tokio::test]
async fn an_address_has_its_traces_within_an_hour() {
    let app = site(Options { traces_per_hour: 1, ..Options::default() }, Limits::default()).await;
    let (one, other) = (share(&app).await, share(&app).await);
    let picture = || stream::iter([form("image", b"no picture")]);
    assert_eq!(send(&app, from(1, trace(&one, picture()))).await.status(), 415);
    assert_eq!(send(&app, from(1, trace(&other, picture()))).await.status(), 429, "whatever the share");
    assert_eq!(send(&app, from(2, trace(&other, picture()))).await.status(), 415, "another has its own");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_is_given_up() {
    let app = site(Options::default(), Limits::default()).await;
    let (path, token) = open(&app, &share(&app).await).await;
    let length = body(send(&app, get(&path, &token)).await).await.unwrap().len();
    assert!(length > 64 * 1024, "more than one chunk");
    let room = Options { answer_bytes: 4 * length, ..Options::default() };
    let app = App { answers: App::new(app.chatpic.clone(), room).answers, ..app };

    let unread = at_once(send(&app, get(&path, &token))).await;
    let busy = at_once(send(&app, get(&path, &token))).await;
    assert_eq!(busy.status(), 503, "one session has a quarter");
    assert!(busy.headers().contains_key(header::RETRY_AFTER));
    let mut slow = every(29 * SECOND, vec![Bytes::new(); 2]).boxed();
    slow.next().await;
    slow.next().await;
    let still = at_once(send(&app, get(&path, &token))).await;
    assert_eq!(still.status(), 503, "its viewer may be slow");
    let mut gone = every(3 * SECOND, vec![Bytes::new(); 2]).boxed();
    gone.next().await;
    gone.next().await;
    assert_eq!(send(&app, get(&path, &token)).await.status(), 200, "its viewer has gone");
    assert!(body(unread).await.is_err(), "what was given up breaks off");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_taken_cost_their_own_address_and_share_alone() {
    let app = site(Options::default(), Limits::default()).await;
    let [slow, other] = [share(&app).await, share(&app).await];
    let (path, token) = open(&app, &slow).await;
    let length = body(send(&app, get(&path, &token)).await).await.unwrap().len();
    let room = Options { answer_bytes: 4 * length, ..Options::default() };
    let app = App { answers: App::new(app.chatpic.clone(), room).answers, ..app };
    let ask = async |address, (path, token): &(String, String)| {
        at_once(send(&app, from(address, get(path, token)))).await
    };
    // Lengths differ a little from session to session, so some room is left in each part.
    let first = (path, token);
    let _unread = ask(1, &first).await;
    let elsewhere = open(&app, &other).await;
    assert_eq!(ask(1, &elsewhere).await.status(), 503, "an address has a quarter, whatever the share");
    assert_eq!(ask(2, &elsewhere).await.status(), 200, "others have theirs");
    let _unread_too = ask(2, &open(&app, &slow).await).await;
    assert_eq!(
        ask(3, &open(&app, &slow).await).await.status(),
        503,
        "a share has a half, whatever the address"
    );
    assert_eq!(ask(3, &elsewhere).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_burn_frees_an_answer_that_nobody_takes_within_two_seconds() {
    let app = site(Options::default(), Limits::default()).await;
    let burned = share(&app).await;
    let (path, token) = open(&app, &burned).await;
    let response = send(&app, get(&path, &token)).await;
    let mut chunks = response.into_body().into_data_stream();
    chunks.next().await.unwrap().unwrap();
    let held = app.answers.free();
    app.chatpic
        .burn(&burned.share_id, &app.chatpic.dashboard_access(&burned.share_id, &burned.dashboard_key))
        .await
        .unwrap();
    let mut ticks = interval(2 * SECOND);
    ticks.tick().await;
    ticks.tick().await;
    assert!(app.answers.free() > held, "its memory is back though nobody read on");
    assert!(chunks.next().await.unwrap().is_err());
}
