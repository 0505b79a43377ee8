//! An S3 that knows just enough of the protocol, and goes wrong when it is told to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

const BUCKET: &str = "/bucket/";

#[derive(Clone, Copy, Default)]
enum Mood {
    #[default]
    Well,
    /// Does nothing and answers this.
    Answers(u16),
    /// Never answers a write, and does it when it is well again.
    Hangs,
}

#[derive(Default)]
struct Bucket {
    mood: Mood,
    objects: BTreeMap<String, Bytes>,
    late: Vec<(String, Bytes)>,
}

/// A server with one bucket; it ends with the test.
#[derive(Clone)]
pub(super) struct FakeS3 {
    bucket: Arc<Mutex<Bucket>>,
    endpoint: String,
}

/// Variables as a process takes them.
pub(super) fn borrowed<'a>(variables: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

impl FakeS3 {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let s3 = Self { bucket: Arc::default(), endpoint };
        let app = Router::new().fallback(answer).with_state(s3.clone());
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async { axum::serve(listener, app).await });
        s3
    }

    /// What a site needs to use it.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let text = |text: &str| text.to_owned();
        vec![
            ("CHATPIC_BLOBS", text("s3://bucket/some/where")),
            ("AWS_ENDPOINT", self.endpoint.clone()),
            ("AWS_ALLOW_HTTP", text("true")),
            ("AWS_ACCESS_KEY_ID", text("key")),
            ("AWS_SECRET_ACCESS_KEY", text("secret")),
            ("AWS_REGION", text("us-east-1")),
            ("AWS_DISABLE_BULK_DELETE", text("true")),
            // The shortest wait that a loaded machine does not mistake for a hang.
            ("AWS_TIMEOUT", text("3s")),
        ]
    }

    pub(super) fn answer(&self, status: u16) {
        self.bucket.lock().unwrap().mood = Mood::Answers(status);
    }

    pub(super) fn hang(&self) {
        self.bucket.lock().unwrap().mood = Mood::Hangs;
    }

    pub(super) fn recover(&self) {
        let mut bucket = self.bucket.lock().unwrap();
        bucket.mood = Mood::Well;
        let late = std::mem::take(&mut bucket.late);
        bucket.objects.extend(late);
    }

    /// How many objects there are.
    pub(super) fn objects(&self) -> usize {
        self.bucket.lock().unwrap().objects.len()
    }
}

async fn answer(
    State(s3): State<FakeS3>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mood = s3.bucket.lock().unwrap().mood;
    let Some(key) =
        format!("{}/", uri.path()).strip_prefix(BUCKET).map(|key| key.trim_end_matches('/').to_owned())
    else {
        return (StatusCode::NOT_FOUND, "<Error><Code>NoSuchBucket</Code></Error>").into_response();
    };
    match mood {
        Mood::Answers(status) => return StatusCode::from_u16(status).unwrap().into_response(),
        Mood::Hangs if method == Method::PUT => {
            s3.bucket.lock().unwrap().late.push((key, body));
            return std::future::pending().await;
        }
        _ => {}
    }
    let tag = [("etag", "\"tag\""), ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")];
    let objects = &mut s3.bucket.lock().unwrap().objects;
    match method {
        Method::PUT if headers.contains_key("if-none-match") && objects.contains_key(&key) => {
            StatusCode::PRECONDITION_FAILED.into_response()
        }
        Method::PUT => {
            objects.insert(key, body);
            tag.into_response()
        }
        Method::DELETE => {
            objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::GET if key.is_empty() => list(objects, &query.unwrap_or_default()).into_response(),
        Method::GET => match objects.get(&key) {
            Some(body) => (tag, body.clone()).into_response(),
            None => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response(),
        },
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}

fn list(objects: &BTreeMap<String, Bytes>, query: &str) -> String {
    let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix=")).unwrap_or_default();
    let prefix = prefix.replace("%2F", "/");
    let mut answer = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
    for (key, body) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        let (size, at) = (body.len(), "2026-01-01T00:00:00.000Z");
        let object = format!(
            "<Contents><Key>{key}</Key><LastModified>{at}</LastModified><Size>{size}</Size></Contents>"
        );
        answer.write_str(&object).unwrap();
    }
    answer + "</ListBucketResult>"
}
