//! How long the body of a request may take.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use crate::App;

/// From a peer who is still there something comes, or is taken, within this time, however slow the network.
pub(crate) const STALL: Duration = Duration::from_secs(30);

/// Ends bodies that stall, or that take longer than an upload may.
pub(crate) async fn bodies(State(app): State<App>, request: Request, next: Next) -> Response {
    let until = Instant::now() + app.chatpic.limits().upload_timeout;
    next.run(request.map(|body| Body::from_stream(timed(body.into_data_stream(), until)))).await
}

fn timed(body: BodyDataStream, until: Instant) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match timeout_at(until.min(Instant::now() + STALL), body.next()).await {
            Ok(chunk) => Some((chunk?, Some(body))),
            Err(elapsed) => Some((Err(axum::Error::new(elapsed)), None)),
        }
    })
    // Whoever reads the rest of a refused body may have come to its end before.
    .fuse()
}

/// Whether a body was ended because it took too long.
pub(crate) fn is_slow(error: &axum::Error) -> bool {
    std::iter::successors(Some(error as &dyn Error), |&error| error.source()).any(<dyn Error>::is::<Elapsed>)
}
