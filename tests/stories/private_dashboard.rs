//! The uploader sees who came, without any viewer's address; nobody else sees anything.

use axum::body::Body;
use axum::http::{Request, header};
use chatpic_http::Options;
use serde_json::json;

use crate::site::{MINUTE, Site, limits};

#[tokio::test]
async fn it_tells_of_views_and_sessions() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "5")]).await;
    let fresh = site.dashboard(&shared).await;
    assert_eq!((&fresh["status"], &fresh["views"]), (&json!("active"), &json!(0)));
    let first = site.open_session(&shared, json!({})).await.expect(201).json();
    site.image(&shared, &first).await.expect(200);
    site.clock.advance(MINUTE);
    let second = site.open_session(&shared, json!({})).await.expect(201).json();
    assert_eq!(second["views_before"], 1);

    let dashboard = site.dashboard(&shared).await;
    assert_eq!(dashboard["views"], 2);
    assert_eq!(dashboard["views_left"], 3);
    assert_eq!(dashboard["image_count"], 1);
    assert_eq!(dashboard["sessions"][0]["session"], second["session"]);
    assert_eq!(dashboard["sessions"][1]["session"], first["session"]);
    assert_eq!(dashboard["sessions"][1]["images_seen"], 1);
    assert_eq!(dashboard["timeline"].as_array().unwrap().len(), 2);
    assert!(dashboard["link"].as_str().unwrap().ends_with(&format!("/s/{}#{}", shared.id, shared.link_key)));
    assert!(!dashboard.to_string().contains("192.0.2.7"));
}

#[tokio::test]
async fn it_opens_only_with_its_own_key() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let other = site.share(&[]).await;
    let path = format!("/api/v1/shares/{}/dashboard", shared.id);
    site.get(&path, None).await.expect(401);
    site.get(&path, Some(&shared.link_key)).await.expect(401);
    site.get(&path, Some(&other.dashboard_key)).await.expect(401);
    site.get(&path, Some(&shared.dashboard_key)).await.expect(200);
}

#[tokio::test]
async fn over_https_only_cookies_that_https_has_set_are_believed() {
    let options = Options { base_url: Some("https://pics.example".to_owned()), ..Options::default() };
    let site = Site::with(options, limits()).await;
    let shared = site.share(&[]).await;
    for (kind, key, name) in
        [('s', &shared.link_key, "chatpic_link"), ('d', &shared.dashboard_key, "chatpic_dashboard")]
    {
        let path = format!("/{kind}/{}", shared.id);
        let form = Request::post(&path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let entered = site.send(form.body(Body::from(format!("key={key}"))).unwrap()).await.expect(303);
        let set = entered.headers["set-cookie"].to_str().unwrap();
        let (cookie, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, format!("Path={path}; HttpOnly; SameSite=Lax; Secure"));
        let unprefixed = cookie.strip_prefix("__Secure-").unwrap();
        assert!(unprefixed.starts_with(name), "{cookie}");
        let shown = async |cookie: &str| {
            let request = Request::get(&path).header(header::COOKIE, cookie).body(Body::empty());
            site.send(request.unwrap()).await.expect(200).text().contains(name_of_the_form(kind))
        };
        assert!(shown(cookie).await);
        assert!(!shown(unprefixed).await, "any page of the domain may have set it without TLS");
    }
}

/// What stands on a page that was opened, and not on the shell that asks for its key.
fn name_of_the_form(kind: char) -> &'static str {
    if kind == 's' { "name=\"nonce\"" } else { "name=\"token\"" }
}
