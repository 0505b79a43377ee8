//! Counters for Prometheus: by route, never by share.

use std::sync::atomic::AtomicU64;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::App;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Served {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Served, Counter>,
    seconds: Family<Route, Histogram>,
    pub(crate) throttled: Counter,
    pub(crate) unreadable_clients: Counter,
    pub(crate) listeners: Gauge,
    pub(crate) polls: Counter<u64, AtomicU64>,
}

fn buckets() -> Histogram {
    Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0])
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("chatpic");
        let requests = Family::<Served, Counter>::default();
        registry.register("requests", "Answers by route and status", requests.clone());
        let seconds = Family::<Route, Histogram>::new_with_constructor(buckets as fn() -> Histogram);
        let help = "Time until an answer begins, by route";
        registry.register_with_unit("answer", help, Unit::Seconds, seconds.clone());
        let throttled = Counter::default();
        registry.register(
            "throttled",
            "Uploads, opens, traces and reports past an address's cap",
            throttled.clone(),
        );
        let unreadable_clients = Counter::default();
        let help = "Requests of which a trusted proxy told no address that can be read";
        registry.register("unreadable_clients", help, unreadable_clients.clone());
        let listeners = Gauge::default();
        registry.register("listeners", "Open event streams", listeners.clone());
        let polls = Counter::default();
        registry.register("event_polls", "Looks at the share store for event streams", polls.clone());
        Self { registry, requests, seconds, throttled, unreadable_clients, listeners, polls }
    }
}

/// Counts an answer by its route's pattern.
pub(crate) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    // Methods and routes that nobody defined are one each, so that strangers can't make up labels.
    let method = match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let route = request.extensions().get::<MatchedPath>().map_or("other", |path| path.as_str()).to_owned();
    let begun = app.chatpic.now();
    let response = next.run(request).await;
    let seconds = begun.until(app.chatpic.now()).as_secs_f64();
    app.metrics.seconds.get_or_create(&Route { route: route.clone() }).observe(seconds);
    let served = Served { method, route, status: response.status().as_u16() };
    app.metrics.requests.get_or_create(&served).inc();
    response
}

pub(crate) async fn show(State(app): State<App>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &app.metrics.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
