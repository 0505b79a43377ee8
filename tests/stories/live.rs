//! Pages are told what happens as it happens.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, header};
use chatpic_http::Options;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::site::{MINUTE, Shared, Site, limits};

/// An open stream of events.
struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    async fn open(site: &Site, shared: &Shared, secret: &str) -> Self {
        Self::open_from(site, 7, shared, secret).await.unwrap()
    }

    /// Opens one from this address; the status where it is refused.
    async fn open_from(site: &Site, address: u8, shared: &Shared, secret: &str) -> Result<Self, u16> {
        let request = Request::get(format!("/api/v1/shares/{}/events", shared.id))
            .header(header::AUTHORIZATION, format!("Bearer {secret}"))
            .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, address], 4711))));
        let response = site.begin(request.body(Body::empty()).unwrap()).await;
        if response.status() != 200 {
            assert!(response.headers().contains_key(header::RETRY_AFTER));
            return Err(response.status().as_u16());
        }
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Ok(Self { body: response.into_body().into_data_stream(), text: String::new() })
    }

    /// The next event, `None` when the stream is over.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
                };
                let found = (line("event:"), line("data:"));
                self.text = rest.to_owned();
                if let (Some(name), Some(data)) = found {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let chunk = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn an_uploader_sees_views_as_they_are_spent() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "3")]).await;
    let mut events = Events::open(&site, &shared, &shared.dashboard_key).await;
    let (name, counts) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &counts["views"], &counts["status"]), ("counts", &json!(0), &json!("active")));
    site.open_session(&shared, json!({})).await.expect(201);
    let (_, counts) = events.next().await.unwrap();
    assert_eq!((&counts["views"], &counts["views_left"]), (&json!(1), &json!(2)));
    site.burn(&shared).await.expect(200);
    assert_eq!(events.next().await.unwrap().1["status"], "burned");
}

#[tokio::test]
async fn a_viewer_is_told_of_a_burn_and_of_the_sessions_end() {
    let site = Site::new().await;
    let shared = site.share(&[]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let token = session["token"].as_str().unwrap();
    let mut events = Events::open(&site, &shared, token).await;
    let (name, begins) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &begins["session"]), ("session", &session["session"]));
    assert_eq!(begins["seconds_left"], 600, "listening is no activity");
    site.clock.advance(9 * MINUTE);
    site.image(&shared, &session).await.expect(200);
    site.clock.advance(9 * MINUTE);
    site.image(&shared, &session).await.expect(200);
    let (name, longer) = events.next().await.unwrap();
    assert_eq!(
        (name.as_str(), longer["seconds_left"].as_u64()),
        ("session", Some(600)),
        "what the images gave"
    );
    let mut idle = Events::open(&site, &shared, token).await;
    idle.next().await.unwrap();
    site.clock.advance(10 * MINUTE);
    assert_eq!(idle.next().await.unwrap().0, "end");
    assert!(idle.next().await.is_none(), "and the stream is over");
    assert_eq!(events.next().await.unwrap().0, "end");

    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let mut events = Events::open(&site, &shared, session["token"].as_str().unwrap()).await;
    events.next().await.unwrap();
    site.burn(&shared).await.expect(200);
    assert_eq!(events.next().await.unwrap().0, "end");
}

#[tokio::test]
async fn a_viewer_is_told_that_the_share_was_extended() {
    let site = Site::new().await;
    let shared = site.share(&[("expires_in", "60")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    assert_eq!(session["seconds_left"], 60);
    let mut events = Events::open(&site, &shared, session["token"].as_str().unwrap()).await;
    assert_eq!(events.next().await.unwrap().1["seconds_left"], 60);
    let extend = format!("/api/v1/shares/{}/extend", shared.id);
    let day = json!({ "extend_by": "P1D" });
    site.call(Method::POST, &extend, Some(&shared.dashboard_key), day).await.expect(200);
    let (name, longer) = events.next().await.unwrap();
    assert_eq!((name.as_str(), longer["seconds_left"].as_u64()), ("session", Some(600)));
    site.clock.advance(9 * MINUTE);
    site.image(&shared, &session).await.expect(200);
}

#[tokio::test]
async fn the_last_viewer_goes_on_until_a_burn_tells_otherwise() {
    let site = Site::new().await;
    let shared = site.share(&[("max_views", "1")]).await;
    let session = site.open_session(&shared, json!({})).await.expect(201).json();
    let mut events = Events::open(&site, &shared, session["token"].as_str().unwrap()).await;
    assert_eq!(events.next().await.unwrap().0, "session");
    site.image(&shared, &session).await.expect(200);
    site.burn(&shared).await.expect(200);
    assert_eq!(events.next().await.unwrap().0, "end");
}

#[tokio::test]
async fn streams_are_capped_by_address_share_and_session_and_cost_one_look_at_the_store_together() {
    let site = Site::with(Options { listeners: 32, ..Options::default() }, limits()).await;
    let [shared, other, third] = [site.share(&[]).await, site.share(&[]).await, site.share(&[]).await];
    let path = format!("/api/v1/shares/{}/events", shared.id);
    site.get(&path, None).await.expect(401);
    site.get(&path, Some(&shared.link_key)).await.expect(401);
    let mut streams = Vec::new();
    let mut fill = async |address, shared: &Shared, secret: &str| {
        for _ in 0..8 {
            streams.push(Events::open_from(&site, address, shared, secret).await.unwrap());
        }
    };
    let refused = async |address, shared: &Shared, secret: &str| {
        assert_eq!(Events::open_from(&site, address, shared, secret).await.err(), Some(503));
    };
    let session = async || {
        let session = site.open_session(&shared, json!({})).await.expect(201).json();
        session["token"].as_str().unwrap().to_owned()
    };
    fill(1, &shared, &shared.dashboard_key).await;
    refused(2, &shared, &shared.dashboard_key).await;
    refused(1, &other, &other.dashboard_key).await;
    let token = session().await;
    fill(2, &shared, &token).await;
    refused(3, &shared, &token).await;
    refused(3, &shared, &session().await).await;
    fill(3, &other, &other.dashboard_key).await;
    fill(4, &third, &third.dashboard_key).await;
    let fourth = site.share(&[]).await;
    refused(5, &fourth, &fourth.dashboard_key).await;
    for stream in &mut streams {
        stream.next().await.unwrap();
    }
    let metrics = site.get("/metrics", None).await.expect(200).text();
    assert!(metrics.contains("chatpic_listeners 32"), "{metrics}");
    let line = metrics.lines().find(|line| line.starts_with("chatpic_event_polls_total")).unwrap();
    let polls: u32 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(polls < 10, "{line}");
    drop(streams);
    site.send(Request::get(&path).header(header::AUTHORIZATION, "Bearer wrong").body(Body::empty()).unwrap())
        .await
        .expect(401);
    Events::open(&site, &shared, &shared.dashboard_key).await.next().await.unwrap();
}
