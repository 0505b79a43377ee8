//! Caps on uploads, opens, traces and reports of one address within an hour, on this node.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use chatpic_core::{Error, Timestamp};

use crate::App;
use crate::client::Client;
use crate::security::refuse;

const WINDOW_SECONDS: i64 = 60 * 60;
/// Counters of one row; a power of two.
const COUNTERS: usize = 1 << 16;

/// Counts addresses in fixed windows of an hour, in memory that never grows and holds no address: a count-min sketch
/// (Cormode and Muthukrishnan, 2005) of two rows under keys of this process. Two addresses would have to meet in both
/// rows to be counted as one.
#[derive(Debug)]
pub(crate) struct Throttle {
    cap: u32,
    keys: [RandomState; 2],
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    number: i64,
    counts: Vec<[u32; 2]>,
}

impl Throttle {
    /// At most `cap` within an hour; 0 is no cap.
    pub(crate) fn new(cap: u32) -> Self {
        let counts = if cap == 0 { Vec::new() } else { vec![[0; 2]; COUNTERS] };
        Self {
            cap,
            keys: [RandomState::new(), RandomState::new()],
            window: Mutex::new(Window { number: 0, counts }),
        }
    }

    /// Counts one more of this address, or says how many seconds to wait.
    pub(crate) fn take(&self, address: &str, now: Timestamp) -> Result<(), u64> {
        if self.cap == 0 {
            return Ok(());
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.seconds().div_euclid(WINDOW_SECONDS);
        if window.number != number {
            window.number = number;
            window.counts.fill([0; 2]);
        }
        let places = [0, 1].map(|row| self.keys[row].hash_one(address) as usize % COUNTERS);
        let count = window.counts[places[0]][0].min(window.counts[places[1]][1]);
        if count >= self.cap {
            let left = WINDOW_SECONDS - now.seconds().rem_euclid(WINDOW_SECONDS);
            return Err(u64::try_from(left).unwrap_or(1));
        }
        for (row, place) in places.into_iter().enumerate() {
            window.counts[place][row] += 1;
        }
        Ok(())
    }
}

/// Refuses uploads, opens, traces and reports past the caps, before anything else is looked at.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    // Below this router's own path, wherever it is nested.
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    let throttle = match path[..] {
        _ if request.method() != Method::POST => None,
        [""] | ["api", "v1", "shares"] => Some(&app.uploads),
        ["s", _, "open"] | ["api", "v1", "shares", _, "sessions"] => Some(&app.opens),
        ["d", _, "trace"] | ["api", "v1", "shares", _, "trace"] => Some(&app.traces),
        ["s", _, "report"] | ["api", "v1", "shares", _, "reports"] => Some(&app.reports),
        _ => None,
    };
    let Some(throttle) = throttle else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    let Ok(client) = Client::from_request_parts(&mut parts, &app).await;
    let Err(seconds) = throttle.take(&client.address, app.chatpic.now()) else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    app.metrics.throttled.inc();
    let retry_after = std::time::Duration::from_secs(seconds);
    refuse(&app, Request::from_parts(parts, body), Error::Throttled { retry_after }.into()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_cap_within_an_hour() {
        let throttle = Throttle::new(3);
        let start = Timestamp(1_790_000_000_000 / 3_600_000 * 3_600_000);
        let at = |minutes: i64| Timestamp(start.0 + minutes * 60_000);
        for minute in 0..3 {
            assert_eq!(throttle.take("192.0.2.1", at(minute)), Ok(()));
        }
        assert_eq!(throttle.take("192.0.2.1", at(50)), Err(600));
        assert_eq!(throttle.take("192.0.2.2", at(50)), Ok(()));
        assert_eq!(throttle.take("192.0.2.1", at(60)), Ok(()));
    }

    #[test]
    fn many_addresses_neither_grow_it_nor_block_others() {
        let throttle = Throttle::new(2);
        let now = Timestamp(1_790_000_000_000);
        let refused = (0..2000).filter(|n| throttle.take(&format!("address {n}"), now).is_err()).count();
        assert_eq!(refused, 0);
        assert_eq!(throttle.window.lock().unwrap().counts.len(), COUNTERS);
    }

    #[test]
    fn zero_is_no_cap() {
        let throttle = Throttle::new(0);
        assert!((0..1000).all(|_| throttle.take("192.0.2.1", Timestamp(0)).is_ok()));
    }
}
