//! What Chromium makes of image files: how far two pictures are from each other as it draws them.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::Html;
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use crate::browser::Browser;

const PAGE: &str = include_str!("chromium.html");
/// Pairs that the page compares in one call.
const BATCH: usize = 40;

/// An image file as it is drawn: its frame of this index, or as an image on a page.
#[derive(Clone)]
pub(crate) struct Drawn {
    pub(crate) file: Arc<Vec<u8>>,
    pub(crate) frame: Option<u32>,
}

impl Drawn {
    pub(crate) fn image(file: &Arc<Vec<u8>>) -> Self {
        Self { file: file.clone(), frame: None }
    }

    pub(crate) fn frame(file: &Arc<Vec<u8>>, index: u32) -> Self {
        Self { file: file.clone(), frame: Some(index) }
    }
}

/// Width and height in pixels, and the number of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Size(pub(crate) u32, pub(crate) u32, pub(crate) u32);

/// What Chromium says of a pair.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Compared {
    /// Of each that it shows, the size.
    pub(crate) sizes: [Option<Size>; 2],
    /// How far the two are from each other once each is drawn on white and reduced to 64 x 64 by a box filter: the mean
    /// difference, in levels of 255.
    pub(crate) difference: Option<f64>,
}

/// Compares pairs of pictures in one browser.
pub(crate) async fn compare(pairs: &[(Drawn, Drawn)]) -> Vec<Compared> {
    let mut files: Vec<Arc<Vec<u8>>> = Vec::new();
    let mut named = |drawn: &Drawn| {
        let known = files.iter().rposition(|file| Arc::ptr_eq(file, &drawn.file));
        let file = known.unwrap_or_else(|| {
            files.push(drawn.file.clone());
            files.len() - 1
        });
        json!({ "file": file, "frame": drawn.frame })
    };
    let pairs: Vec<_> = pairs.iter().map(|(one, other)| json!([named(one), named(other)])).collect();
    if pairs.is_empty() {
        return Vec::new();
    }
    let url = serve(files).await;
    let browser = Browser::start().await;
    browser.go(&url).await;
    let mut compared = Vec::new();
    for batch in pairs.chunks(BATCH) {
        let batch = serde_json::to_string(batch).unwrap();
        let answer = browser.run_async(&format!("compared({batch}).then(arguments[0]);")).await;
        compared.extend(serde_json::from_value::<Vec<Compared>>(answer).unwrap());
    }
    assert_eq!(compared.len(), pairs.len());
    compared
}

/// Serves a page with the script, and the files by number.
async fn serve(files: Vec<Arc<Vec<u8>>>) -> String {
    let files = Arc::new(files);
    let file = async move |Path(file): Path<usize>| match files.get(file) {
        Some(bytes) => Ok(([(header::CONTENT_TYPE, media_type(bytes))], bytes.to_vec())),
        None => Err(StatusCode::NOT_FOUND),
    };
    let router = Router::new().route("/", get(async || Html(PAGE))).route("/{file}", get(file));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn media_type(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xFF, ..] => "image/jpeg",
        [0x89, ..] => "image/png",
        [b'G', ..] => "image/gif",
        _ => "image/webp",
    }
}
