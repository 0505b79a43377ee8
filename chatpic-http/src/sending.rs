//! A session's copy on its way to the viewer: sent in chunks, each only while the session goes on, from memory that is
//! given back when the session is over or the viewer takes no more.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use chatpic_core::{Error, SessionToken, ShareId};
use futures::stream;
use tokio::time::{Instant, interval_at};

use crate::App;
use crate::client::Client;
use crate::events::Listener;
use crate::pace::STALL;
use crate::places::{Holder, Place};

const CHUNK: usize = 64 * 1024;
/// How often the share is looked at while its viewer takes nothing.
const LOOK: Duration = Duration::from_secs(1);

/// What is left to be sent; `None` once it was given up.
type Shared = Mutex<Option<Rest>>;

struct Rest {
    bytes: Bytes,
    taken_at: Instant,
    /// Of the bytes of all answers on this node.
    _place: Place,
}

fn lock(rest: &Shared) -> MutexGuard<'_, Option<Rest>> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of an answer that was just allowed.
pub(crate) fn copy(
    app: &App,
    client: &Client,
    id: ShareId,
    token: SessionToken,
    bytes: Bytes,
) -> Result<Body, Error> {
    let own = token.reveal();
    let holders = [Holder::Address(&client.address), Holder::Share(&id), Holder::Session(&own)];
    let _place = app.answers.take(bytes.len(), &holders)?;
    let rest = Arc::new(Mutex::new(Some(Rest { bytes, taken_at: Instant::now(), _place })));
    tokio::spawn(watch(app.clone(), id, Arc::downgrade(&rest)));
    let chatpic = app.chatpic.clone();
    let chunks = stream::unfold(Some((rest, true)), move |state| {
        let (chatpic, token) = (chatpic.clone(), token.clone());
        async move {
            let (rest, first) = state?;
            if lock(&rest).as_ref().is_some_and(|rest| rest.bytes.is_empty()) {
                return None;
            }
            // Before each further chunk the session is looked at again.
            let over = !first && chatpic.current(&id, &token).await.is_err();
            let chunk = lock(&rest).as_mut().filter(|_| !over).map(|rest| {
                rest.taken_at = Instant::now();
                rest.bytes.split_to(rest.bytes.len().min(CHUNK))
            });
            Some(match chunk {
                Some(chunk) => (Ok(chunk), Some((rest, false))),
                None => (Err(io::Error::other("the session is over")), None),
            })
        }
    });
    Ok(Body::from_stream(chunks))
}

/// Drops what is left when the share's sessions are over or nothing was taken for long: nobody polls the body of a
/// viewer who does not read.
async fn watch(app: App, id: ShareId, rest: Weak<Shared>) {
    let mut ticks = interval_at(Instant::now() + LOOK, LOOK);
    // Most answers are done before the first look.
    ticks.tick().await;
    if rest.strong_count() == 0 {
        return;
    }
    let mut listener = Listener::new(&app, id);
    loop {
        let over = tokio::select! {
            pulse = listener.next() => pulse.is_none_or(|pulse| pulse.sessions_over),
            _ = ticks.tick() => false,
        };
        let Some(rest) = rest.upgrade() else { return };
        let mut rest = lock(&rest);
        if over || rest.as_ref().is_none_or(|rest| rest.taken_at.elapsed() >= STALL) {
            *rest = None;
            return;
        }
    }
}
