//! Server-sent events: one look at the share store a second for all pages of this node, however many listen.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chatpic_core::{DashboardAccess, DashboardKey, Error, Pulse, SessionToken, ShareId};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::answers::{Counts, CurrentSession, EventName};
use crate::client::{Bearer, Client, share_id};
use crate::pages::{dashboard_cookie, session_cookie};
use crate::places::{Holder, Place};
use crate::problem::Problem;
use crate::{App, Route};

/// A burn must reach its viewers within two seconds.
const POLL: Duration = Duration::from_secs(1);

/// What one look at the store found of each share that was listened to; `None` is a share that is gone.
type Beat = Arc<HashMap<ShareId, Option<Pulse>>>;

/// Everybody who listens on this node.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    listeners: Mutex<Listeners>,
    beats: watch::Sender<Beat>,
}

#[derive(Debug, Default)]
struct Listeners {
    by_share: HashMap<ShareId, usize>,
    polling: bool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens to one share.
pub(crate) struct Listener {
    app: App,
    id: ShareId,
    beats: watch::Receiver<Beat>,
}

impl Listener {
    pub(crate) fn new(app: &App, id: ShareId) -> Self {
        let beats = app.hub.beats.subscribe();
        let mut listeners = app.hub.lock();
        *listeners.by_share.entry(id).or_default() += 1;
        if !listeners.polling {
            listeners.polling = true;
            tokio::spawn(poll(app.clone()));
        }
        Self { app: app.clone(), id, beats }
    }

    /// What the next look at the store finds of the share.
    pub(crate) async fn next(&mut self) -> Option<Pulse> {
        loop {
            self.beats.changed().await.ok()?;
            // A look that began before this listener came does not know its share.
            if let Some(pulse) = self.beats.borrow_and_update().get(&self.id) {
                return *pulse;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.app.hub.lock();
        if let Some(count) = listeners.by_share.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                listeners.by_share.remove(&self.id);
            }
        }
    }
}

/// An open stream of events, among all of this node.
struct Stream {
    app: App,
    _place: Place,
}

impl Stream {
    /// Opens one for a client, a share, and the session or dashboard whose stream it is.
    fn open(app: &App, client: &Client, id: &ShareId, own: Holder<'_>) -> Result<Self, Error> {
        let holders = [Holder::Address(&client.address), Holder::Share(id), own];
        let _place = app.streams.take(1, &holders)?;
        app.metrics.listeners.inc();
        Ok(Self { app: app.clone(), _place })
    }

    fn answer(self, events: impl futures::Stream<Item = Event> + Send + 'static) -> Response {
        let events = events.map(move |event| {
            let _open = &self;
            Ok::<_, Infallible>(event)
        });
        let mut response = Sse::new(events).keep_alive(KeepAlive::default()).into_response();
        // Proxies that collect an answer before they pass it on would make these pages wait.
        response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
        response
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.app.metrics.listeners.dec();
    }
}

/// Looks at the store once a second for as long as anybody listens.
async fn poll(app: App) {
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let ids: Vec<ShareId> = {
            let mut listeners = app.hub.lock();
            if listeners.by_share.is_empty() {
                listeners.polling = false;
                return;
            }
            listeners.by_share.keys().copied().collect()
        };
        app.metrics.polls.inc();
        match app.chatpic.pulses(&ids).await {
            Ok(pulses) => {
                let mut beat: HashMap<_, _> = ids.into_iter().map(|id| (id, None)).collect();
                beat.extend(pulses.into_iter().map(|pulse| (pulse.share_id, Some(pulse))));
                app.hub.beats.send_replace(Arc::new(beat));
            }
            Err(error) => tracing::warn!(error = error.for_log(), "event streams wait for the share store"),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![("/s/{id}/events", get(viewer_events)), ("/d/{id}/events", get(uploader_events))]
}

fn data(name: &'static str, value: &impl serde::Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(value).unwrap_or_default())
}

/// A share's counts whenever they change, and how far a trace has come.
async fn of_dashboard(
    app: App,
    client: Client,
    id: ShareId,
    access: DashboardAccess,
) -> Result<Response, Problem> {
    app.chatpic.check_dashboard(&id, &access).await?;
    let open = Stream::open(&app, &client, &id, Holder::Dashboard(&id))?;
    let listener = Listener::new(&app, id);
    let events = stream::unfold((listener, None::<Pulse>), |(mut listener, last)| async move {
        loop {
            let pulse = listener.next().await?;
            let event = match last {
                Some(last) if last == pulse => continue,
                // Only the trace went on; at its end the counts are told once more.
                Some(last) if Pulse { trace: pulse.trace, ..last } == pulse && pulse.trace.is_some() => {
                    data("trace", &json!({ "percent": pulse.trace }))
                }
                _ => data("counts", &Counts::new(&pulse, listener.app.chatpic.now())),
            };
            return Some((event, (listener, Some(pulse))));
        }
    });
    Ok(open.answer(events))
}

/// How a session stands: at first, when its share is extended, and when its time seemed to be up and it went on. At the
/// end that it is over. Listening is no activity.
async fn of_session(app: App, client: Client, id: ShareId, token: SessionToken) -> Result<Response, Problem> {
    let current = app.chatpic.current(&id, &token).await?;
    let open = Stream::open(&app, &client, &id, Holder::Session(&token.reveal()))?;
    let first = data("session", &CurrentSession::from(&current));
    let told = Some((Listener::new(&app, id), token, current));
    let rest = stream::unfold(told, |told| async move {
        let (mut listener, token, told) = told?;
        loop {
            let pulse = listener.next().await;
            let as_told = |pulse: Pulse| !pulse.sessions_over && pulse.expires_at == told.expires_at;
            let chatpic = &listener.app.chatpic;
            if pulse.is_some_and(as_told) && chatpic.now() < told.ends_at {
                continue;
            }
            match chatpic.current(&listener.id, &token).await {
                Ok(current) => {
                    let event = data("session", &CurrentSession::from(&current));
                    return Some((event, Some((listener, token, current))));
                }
                Err(Error::Store(_)) => {}
                Err(_) => return Some((data("end", &json!({})), None)),
            }
        }
    });
    Ok(open.answer(stream::iter([first]).chain(rest)))
}

/// One event of a stream.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the stream for the OpenAPI document")]
pub(crate) struct StreamEvent {
    #[schema(value_type = EventName)]
    event: String,
    /// An object in JSON.
    data: String,
}

/// A stream of what happens: a share's counts and trace progress for its uploader; for a viewer how the session stands,
/// whenever its share is extended, and its end.
#[utoipa::path(
    get, tag = "viewing", path = "/shares/{id}/events", params(("id" = String, Path, description = "The share's id")),
    responses(
        (status = 200, description = "With a dashboard key `counts` and `trace`, with a session token `session` and `end`", content_type = "text/event-stream", body = StreamEvent),
        (status = "default", description = "What went wrong", body = crate::problem::ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("dashboard_key" = []), ("session_token" = []))
)]
pub(crate) async fn events(
    State(app): State<App>,
    Path(id): Path<String>,
    client: Client,
    bearer: Bearer,
) -> Result<Response, Problem> {
    let id = share_id(&id)?;
    // The two are told apart by their lengths.
    if let Ok(key) = bearer.parse::<DashboardKey>() {
        let access = app.chatpic.dashboard_access(&id, &key);
        return of_dashboard(app, client, id, access).await;
    }
    of_session(app, client, id, bearer.parse()?).await
}

async fn uploader_events(
    State(app): State<App>,
    Path(id): Path<String>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let access = dashboard_cookie(&app, &headers)?;
    of_dashboard(app, client, share_id(&id)?, access).await
}

async fn viewer_events(
    State(app): State<App>,
    Path(id): Path<String>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = session_cookie(&app, &headers)?;
    of_session(app, client, share_id(&id)?, token).await
}
