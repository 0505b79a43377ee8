//! The site under a path of one's own axum app: `cargo run --example nest`, then look at /pics.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use chatpic_core::{ChatPic, InstallationSecret, OsEntropy};
use chatpic_http::Options;

async fn app() -> Result<Router, chatpic_core::Error> {
    // In memory, for a try; see chatpic-storage for stores that last, and keep the secret in a file.
    let chatpic = ChatPic::builder(InstallationSecret::random(&OsEntropy)).build().await?;
    let pictures = chatpic_http::router(chatpic, Options::default());
    Ok(Router::new().route("/", get(|| async { "a page of my own" })).nest_service("/pics", pictures))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
    // Wrong passwords and caps are counted by the address that this hands on.
    let service = app().await?.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, service).await?)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use chatpic_core::testing::samples;
    use tower::ServiceExt;

    use super::*;

    async fn answer(app: &Router, request: Request<Body>) -> (StatusCode, String) {
        let response = app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn both_sites_answer_and_links_lead_below_the_path() {
        let app = app().await.unwrap();
        let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(answer(&app, get("/")).await, (StatusCode::OK, "a page of my own".to_owned()));
        assert_eq!(
            answer(&app, get("/pics/healthz")).await.0,
            StatusCode::NOT_FOUND,
            "it is not for the public"
        );
        assert_eq!(answer(&app, get("/pics")).await.0, StatusCode::OK);
        assert_eq!(answer(&app, get("/pics/")).await.0, StatusCode::OK);

        let mut form =
            b"--b\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a\"\r\n\r\n".to_vec();
        form.extend(samples::jpeg(&samples::photograph(64, 48, 1), 80));
        form.extend(b"\r\n--b--\r\n");
        let upload = Request::post("/pics/api/v1/shares")
            .header("host", "my.example")
            .header("content-type", "multipart/form-data; boundary=b")
            .body(Body::from(form))
            .unwrap();
        let (status, body) = answer(&app, upload).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        assert!(body.contains("\"link\":\"http://my.example/pics/s/"), "{body}");
        let document = answer(&app, get("/pics/api/v1/openapi.json")).await.1;
        assert!(document.contains("\"url\":\"/pics/api/v1\""), "{document}");
    }
}
