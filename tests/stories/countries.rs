//! Countries come from a trusted proxy's header or a local table; addresses are kept nowhere.

use axum::body::Body;
use axum::extract::Request;
use chatpic_http::{Countries, Options};
use serde_json::{Value, json};

use crate::site::{Shared, Site, limits};

/// Opens the share with these headers and answers the country that the dashboard then tells.
async fn opened_from(site: &Site, shared: &Shared, headers: &[(&str, &str)]) -> Value {
    let path = format!("/api/v1/shares/{}/sessions", shared.id);
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = json!({ "key": shared.link_key }).to_string();
    let session =
        site.send(request.body(Body::from(body)).unwrap()).await.expect(201).json()["session"].clone();
    let sessions = site.dashboard(shared).await["sessions"].clone();
    let row = sessions.as_array().unwrap().iter().find(|row| row["session"] == session).cloned().unwrap();
    row["country"].clone()
}

fn behind(proxy: &str) -> Options {
    Options {
        trusted_proxies: vec![proxy.parse().unwrap()],
        country_header: Some("CF-IPCountry".to_owned()),
        countries: Countries::nowhere(),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_trusted_proxys_word_counts_and_nobody_elses() {
    // Requests come from 192.0.2.7.
    let site = Site::with(behind("192.0.2.0/24"), limits()).await;
    let shared = site.share(&[]).await;
    assert_eq!(opened_from(&site, &shared, &[("CF-IPCountry", "NZ")]).await, json!("NZ"));
    for unknown in ["XX", "T1", "nonsense", ""] {
        assert_eq!(opened_from(&site, &shared, &[("CF-IPCountry", unknown)]).await, json!(null), "{unknown}");
    }
    let dashboard = site.dashboard(&shared).await;
    assert_eq!(dashboard["countries"][0], json!({ "country": null, "views": 4 }));

    let site = Site::with(behind("198.51.100.0/24"), limits()).await;
    let shared = site.share(&[]).await;
    assert_eq!(opened_from(&site, &shared, &[("CF-IPCountry", "NZ")]).await, json!(null));
}

#[tokio::test]
async fn a_spoofed_address_is_a_strangers_word() {
    let options = Options { opens_per_hour: 1, ..behind("192.0.2.0/24") };
    let site = Site::with(options, limits()).await;
    let shared = site.share(&[]).await;
    // Whatever a client writes itself stands to the left of what the proxy adds.
    opened_from(&site, &shared, &[("X-Forwarded-For", "6.6.6.6, 203.0.113.5")]).await;
    let path = format!("/api/v1/shares/{}/sessions", shared.id);
    let again = Request::post(path)
        .header("content-type", "application/json")
        .header("X-Forwarded-For", "7.7.7.7, 203.0.113.5, 192.0.2.9")
        .body(Body::from(json!({ "key": shared.link_key }).to_string()))
        .unwrap();
    site.send(again).await.expect(429);
    opened_from(&site, &shared, &[("X-Forwarded-For", "6.6.6.6, 203.0.113.6")]).await;
}
