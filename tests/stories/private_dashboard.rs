//! The uploader sees who came, without any viewer's address; nobody else sees anything.

use axum::body::Body;
use axum::http::{Method, Request, header};
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
    let options = Options { base_url: Some("https://pics.example".parse().unwrap()), ..Options::default() };
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

/// The time that the form for the ledger's life has chosen, in seconds.
fn chosen_ledger(page: &str) -> &str {
    let select = page.split("name=\"keep_ledger\">").nth(1).unwrap().split("</select>").next().unwrap();
    let chosen: Vec<_> = select.split("<option ").filter(|option| option.contains(" selected>")).collect();
    let [chosen] = chosen[..] else { panic!("not one is chosen: {select}") };
    chosen.split('"').nth(1).unwrap()
}

#[tokio::test]
async fn setting_the_ledger_to_what_the_dashboard_shows_changes_nothing() {
    let site = Site::new().await;
    let (burned, used_up) = (site.share(&[]).await, site.share(&[("max_views", "1")]).await);
    let unusual = site.share(&[("keep_ledger", "P45D")]).await;
    let forgotten = site.share(&[("keep_ledger", "0")]).await;
    site.burn(&burned).await.expect(200);
    site.open_session(&used_up, json!({})).await.expect(201);
    site.clock.advance(MINUTE);
    for (shared, seconds) in
        [(&burned, 90 * 86_400), (&used_up, 90 * 86_400), (&unusual, 45 * 86_400), (&forgotten, 0)]
    {
        let path = format!("/d/{}", shared.id);
        let cookie = site.enter(&path, &shared.dashboard_key).await;
        let until = site.dashboard(shared).await["ledger_until"].clone();
        let page = site.page(Method::GET, &path, &cookie, "").await.expect(200).text();
        assert_eq!(chosen_ledger(&page), seconds.to_string());
        let form = format!("keep_ledger={}", chosen_ledger(&page));
        site.page(Method::POST, &format!("{path}/ledger"), &cookie, &form).await.expect(303);
        site.chatpic.sweep().await.unwrap();
        assert_eq!(site.dashboard(shared).await["ledger_until"], until);
    }
}

#[tokio::test]
async fn a_ledger_is_kept_for_a_shorter_time_only_after_a_question() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let path = format!("/d/{}/ledger", shared.id);
    let cookie = site.enter(&format!("/d/{}", shared.id), &shared.dashboard_key).await;
    let until = async || site.dashboard(&shared).await["ledger_until"].clone();
    let before = until().await;
    let asked = site.page(Method::POST, &path, &cookie, "keep_ledger=2592000").await.expect(200).text();
    assert!(
        asked.contains("name=\"sure\"") && asked.contains("no leak of this share can be traced"),
        "{asked}"
    );
    let asked = site.page(Method::POST, &path, &cookie, "keep_ledger=0").await.expect(200).text();
    assert!(
        asked.contains("When this share ends") && asked.contains("you can choose a longer time again"),
        "{asked}"
    );
    // What is left in the address bar leads back.
    let back = site.page(Method::GET, &path, &cookie, "").await.expect(303);
    assert_eq!(back.headers["location"], format!("/d/{}", shared.id));
    site.burn(&shared).await.expect(200);
    let asked = site.page(Method::POST, &path, &cookie, "keep_ledger=0").await.expect(200).text();
    assert!(asked.contains("deleted at once") && asked.contains("can’t be undone"), "{asked}");
    site.page(Method::POST, &path, &cookie, "").await.expect(400);
    site.page(Method::POST, &path, &cookie, "keep_ledger=").await.expect(400);
    site.chatpic.sweep().await.unwrap();
    let left = until().await;
    assert!(left.as_str() < before.as_str() && left.is_string(), "the burn alone has moved it");

    site.page(Method::POST, &path, &cookie, "keep_ledger=0&sure=yes").await.expect(303);
    site.chatpic.sweep().await.unwrap();
    let gone = format!("/api/v1/shares/{}/dashboard", shared.id);
    site.get(&gone, Some(&shared.dashboard_key)).await.expect(401);
}
