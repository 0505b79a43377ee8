//! The sweep that runs by itself, and what is known of the last one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::future;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::sweep::Swept;
use super::{ChatPic, Inner};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::fair::Client;

/// At most how often the log tells of failing sweeps.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// A node is not ready after this long without a sweep, or after six sweep intervals if that is longer.
const OVERDUE_AFTER: Duration = Duration::from_secs(60);

/// The sweeps of one [`ChatPic`].
#[derive(Debug)]
pub(super) struct Sweeper {
    /// How often it sweeps by itself.
    every: Option<Duration>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// When this node began, or was last swept.
    swept_at: Mutex<Timestamp>,
}

impl Sweeper {
    pub(super) fn new(every: Option<Duration>, now: Timestamp) -> Self {
        Self { every, task: Mutex::default(), swept_at: Mutex::new(now) }
    }

    fn swept_at(&self) -> MutexGuard<'_, Timestamp> {
        self.swept_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a sweep went through.
    pub(super) fn note(&self, now: Timestamp) {
        *self.swept_at() = now;
    }

    /// How long ago a sweep last went through, if that is too long.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<Duration> {
        let since = self.swept_at().until(now);
        let patience = self.every.map_or(OVERDUE_AFTER, |every| OVERDUE_AFTER.max(every.saturating_mul(6)));
        (since > patience).then_some(since)
    }
}

impl ChatPic {
    /// Starts the sweep's task, unless it is disabled or already running. The runtime in which this `ChatPic` was built may
    /// be gone, so all work on a share begins with this. Outside a tokio runtime it does nothing.
    pub(super) fn keep_sweeping(&self) {
        let sweeper = &self.0.sweeper;
        let Some(every) = sweeper.every else { return };
        let mut task = sweeper.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            *task = Some(runtime.spawn(sweep_every(every, Arc::downgrade(&self.0))));
        }
    }
}

/// Sweeps again and again while a clone of this `ChatPic` is held. What is due does not wait for a long listing.
async fn sweep_every(every: Duration, chatpic: Weak<Inner>) {
    let log = Log::default();
    let due = async {
        let mut ticks = ticks(every);
        while let Some(chatpic) = next(&mut ticks, &chatpic).await {
            log.tell(chatpic.sweep_due().await);
        }
    };
    let orphans = async {
        let mut ticks = ticks(every);
        let mut list_at = Instant::now();
        while let Some(chatpic) = next(&mut ticks, &chatpic).await {
            let began = Instant::now();
            if began < list_at {
                continue;
            }
            let mut swept = Swept::default();
            chatpic.delete_orphans(&mut swept).await;
            log.tell(Ok(swept));
            // A listing takes the longer the more is stored; it may cost a hundredth of the time.
            list_at = Instant::now() + began.elapsed().saturating_mul(100);
        }
    };
    future::join(due, orphans).await;
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The `ChatPic` at the next tick, unless its last clone was dropped.
async fn next(ticks: &mut Interval, chatpic: &Weak<Inner>) -> Option<ChatPic> {
    ticks.tick().await;
    chatpic.upgrade().map(|inner| ChatPic(inner, Client::Host))
}

/// What the log is told of sweeps.
#[derive(Default)]
struct Log(Mutex<Failures>);

/// Failures that the log was not told of yet.
#[derive(Default)]
struct Failures {
    untold: BTreeSet<String>,
    told_at: Option<Instant>,
}

impl Log {
    fn tell(&self, swept: Result<Swept, Error>) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failures) = failures.news(&swept, Instant::now()) {
            tracing::warn!(failures, "a sweep failed in part and will run again");
        }
        if let Ok(Swept { ended, purged, forgotten, orphans, .. }) = swept
            && (ended, purged, forgotten, orphans) != (0, 0, 0, 0)
        {
            tracing::info!(ended, purged, forgotten, orphans, "swept");
        }
    }
}

impl Failures {
    /// All that failed since the log was last told, once a minute at most.
    fn news(&mut self, swept: &Result<Swept, Error>, now: Instant) -> Option<String> {
        match swept {
            Ok(swept) => self.untold.extend(swept.failures.iter().cloned()),
            Err(error) => drop(self.untold.insert(error.for_log())),
        }
        let is_due = self.told_at.is_none_or(|told_at| now.duration_since(told_at) >= TELL_EVERY);
        if self.untold.is_empty() || !is_due {
            return None;
        }
        self.told_at = Some(now);
        let untold: Vec<String> = std::mem::take(&mut self.untold).into_iter().collect();
        Some(untold.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::runtime::Runtime;

    use super::*;
    use crate::secret::InstallationSecret;
    use crate::share::AccessPolicy;
    use crate::store::BlobStore;
    use crate::store::memory::{MemoryBlobs, MemoryShares};
    use crate::testing::faults::{Fault, Faults, FaultyBlobs, FaultyShares};
    use crate::testing::{ManualClock, samples};

    struct Place {
        clock: Arc<ManualClock>,
        blobs: MemoryBlobs,
        share_faults: Faults,
        blob_faults: Faults,
        chatpic: ChatPic,
    }

    const MINUTE: Duration = Duration::from_secs(60);

    impl Place {
        async fn new(every: Option<Duration>) -> Self {
            let clock = Arc::new(ManualClock::new(Timestamp(1_790_000_000_000)));
            let (share_faults, blob_faults) = (Faults::new(clock.clone()), Faults::new(clock.clone()));
            let blobs = MemoryBlobs::default();
            let chatpic = ChatPic::builder(InstallationSecret::from_bytes([7; 32]))
                .clock(clock.clone())
                .stores(
                    Arc::new(FaultyShares::new(Arc::new(MemoryShares::default()), share_faults.clone())),
                    Arc::new(FaultyBlobs::new(Arc::new(blobs.clone()), blob_faults.clone())),
                )
                .sweep_every(every);
            Self { chatpic: chatpic.build().await.unwrap(), clock, blobs, share_faults, blob_faults }
        }

        async fn share_for_a_minute(&self) {
            let mut upload = self.chatpic.upload(None).unwrap();
            upload.add(samples::jpeg(&samples::photograph(40, 30, 1), 80)).await.unwrap();
            upload
                .commit(AccessPolicy { expires_in: Some(MINUTE), ..AccessPolicy::default() })
                .await
                .unwrap();
        }

        async fn stored(&self) -> usize {
            use futures::StreamExt;
            self.blobs.folders().count().await
        }
    }

    async fn seconds_pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        // What is due runs beside this test, and none of it waits for anything.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_is_deleted_though_nobody_sweeps() {
        let place = Place::new(Some(Duration::from_secs(10))).await;
        place.share_for_a_minute().await;
        seconds_pass(10).await;
        assert_eq!(place.stored().await, 1);
        place.clock.advance(MINUTE);
        seconds_pass(10).await;
        assert_eq!(place.stored().await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_may_sweep_itself_and_nothing_sweeps_once_chatpic_is_dropped() {
        let host = Place::new(None).await;
        let mut dropped = Place::new(Some(Duration::from_secs(10))).await;
        for place in [&host, &dropped] {
            place.share_for_a_minute().await;
            place.clock.advance(MINUTE);
        }
        dropped.chatpic = host.chatpic.clone();
        seconds_pass(60).await;
        assert_eq!((host.stored().await, dropped.stored().await), (1, 1));
        host.chatpic.sweep().await.unwrap();
        assert_eq!(host.stored().await, 0);
    }

    #[test]
    fn the_sweep_goes_on_in_the_runtime_that_uses_chatpic() {
        let every = Duration::from_millis(1);
        let place = Runtime::new().unwrap().block_on(Place::new(Some(every)));
        let runtime = Runtime::new().unwrap();
        runtime.block_on(place.share_for_a_minute());
        place.clock.advance(MINUTE);
        while runtime.block_on(place.stored()) > 0 {
            std::thread::yield_now();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_could_not_be_swept_for_a_minute_is_not_ready() {
        let place = Place::new(Some(Duration::from_secs(10))).await;
        place.share_faults.plan(std::iter::repeat(Some(Fault::Fails)));
        for _ in 0..6 {
            place.clock.advance(Duration::from_secs(10));
            seconds_pass(10).await;
            assert_eq!(place.chatpic.check_ready().await.sweep_overdue, None);
        }
        place.clock.advance(Duration::from_secs(10));
        seconds_pass(10).await;
        assert_eq!(place.chatpic.check_ready().await.sweep_overdue, Some(Duration::from_secs(70)));
        place.share_faults.plan([]);
        seconds_pass(10).await;
        assert_eq!(place.chatpic.check_ready().await.sweep_overdue, None);
    }

    #[tokio::test]
    async fn a_sweep_that_fails_says_at_what_and_the_log_once_a_minute() {
        let place = Place::new(None).await;
        place.share_for_a_minute().await;
        place.clock.advance(MINUTE);
        place.blob_faults.plan(std::iter::repeat(Some(Fault::Fails)));
        let swept = place.chatpic.sweep().await.unwrap();
        assert_eq!((swept.ended, swept.purged, swept.failed), (1, 0, 2));
        let told: Vec<_> = swept.failures.iter().map(String::as_str).collect();
        assert_eq!(told, ["faulty could not delete_folder", "faulty could not folders"]);

        let (mut log, now) = (Failures::default(), Instant::now());
        let second = Duration::from_secs(1);
        let listing = || Swept { failures: BTreeSet::from(["a listing".to_owned()]), ..Swept::default() };
        assert_eq!(log.news(&Ok(listing()), now).as_deref(), Some("a listing"));
        assert_eq!(log.news(&Ok(swept), now + second), None);
        assert_eq!(log.news(&Ok(listing()), now + 59 * second), None);
        assert_eq!(
            log.news(&Err(Error::Busy), now + MINUTE).as_deref(),
            Some("a listing; faulty could not delete_folder; faulty could not folders; the server is busy"),
            "all that failed meanwhile"
        );
        assert_eq!(log.news(&Ok(Swept::default()), now + 3 * MINUTE), None);
    }
}
