//! Clients of a site, each at its own address.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response, header};
use serde_json::{Value, json};

use super::Site;

/// The setting with which a site believes a [`Visitor`]'s address.
pub(crate) const BELIEVES_VISITORS: (&str, &str) = ("CHATPIC_TRUSTED_PROXY", "127.0.0.1/32");

/// Longer than any answer takes from a site that still answers.
const PATIENCE: Duration = Duration::from_secs(300);

/// A client at an address, as a trusted proxy tells it.
#[derive(Clone)]
pub(crate) struct Visitor {
    client: Client,
    api: String,
}

impl Visitor {
    pub(crate) fn at(site: &Site, address: Ipv4Addr) -> Self {
        let address = header::HeaderValue::from_str(&address.to_string()).unwrap();
        let headers = [(header::HeaderName::from_static("x-forwarded-for"), address)].into_iter().collect();
        let client = Client::builder().default_headers(headers).read_timeout(PATIENCE).build().unwrap();
        Self { client, api: format!("{}/api/v1/shares", site.url) }
    }

    /// Uploads these files as one share.
    pub(crate) async fn upload(&self, files: &[Vec<u8>]) -> reqwest::Result<Response> {
        let form =
            files.iter().fold(Form::new(), |form, file| form.part("images", Part::bytes(file.clone())));
        self.client.post(&self.api).multipart(form).send().await
    }

    /// Uploads these files as one share, which must succeed.
    pub(crate) async fn share(&self, files: &[Vec<u8>]) -> Value {
        let answer = self.upload(files).await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.json().await.unwrap()
    }

    /// Opens a viewing session.
    pub(crate) async fn open(&self, share: &Value) -> reqwest::Result<Response> {
        self.client.post(self.of(share, "sessions")).json(&json!({ "key": share["link_key"] })).send().await
    }

    /// Loads one image of a session; `query` may choose its width.
    pub(crate) async fn image(
        &self,
        share: &Value,
        session: &Value,
        index: usize,
        query: &str,
    ) -> reqwest::Result<Response> {
        let url = self.of(share, &format!("images/{index}{query}"));
        bearer(self.client.get(url), &session["token"]).send().await
    }

    /// Opens a share and loads all of its images, which must all be delivered; the session, and the images' bytes.
    pub(crate) async fn view(&self, share: &Value) -> (Value, Vec<Vec<u8>>) {
        let opened = self.open(share).await.unwrap();
        assert_eq!(opened.status(), 201);
        let session: Value = opened.json().await.unwrap();
        let mut images = Vec::new();
        for index in 0..session["images"].as_array().unwrap().len() {
            let image = self.image(share, &session, index, "").await.unwrap();
            assert_eq!(image.status(), 200, "image {index}");
            images.push(image.bytes().await.unwrap().to_vec());
        }
        (session, images)
    }

    /// Traces a leak of a share, as its uploader.
    pub(crate) async fn trace(&self, share: &Value, leak: &[u8]) -> reqwest::Result<Response> {
        let form = Form::new().part("image", Part::bytes(leak.to_vec()));
        let request = self.client.post(self.of(share, "trace")).multipart(form);
        bearer(request, &share["dashboard_key"]).send().await
    }

    /// Opens an event stream with a session's token or the dashboard key.
    pub(crate) async fn listen(&self, share: &Value, key: &Value) -> reqwest::Result<Response> {
        bearer(self.client.get(self.of(share, "events")), key).send().await
    }

    fn of(&self, share: &Value, rest: &str) -> String {
        format!("{}/{}/{rest}", self.api, share["share_id"].as_str().unwrap())
    }
}

fn bearer(request: RequestBuilder, key: &Value) -> RequestBuilder {
    request.bearer_auth(key.as_str().unwrap())
}
