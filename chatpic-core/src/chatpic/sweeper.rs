//! The sweep that runs by itself, and what is known of the last one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::sweep::Swept;
use super::{ChatPic, Inner};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::fair::Client;

/// How often a sweep that fails is told of in the log, at most.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Without a sweep for so long, or for six times what lies between two, a node is not ready.
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
        let patience = self.every.map_or(OVERDUE_AFTER, |every| OVERDUE_AFTER.max(6 * every));
        (since > patience).then_some(since)
    }
}

impl ChatPic {
    /// Lets the sweep run by itself, if it is to and does not yet. The runtime in which this `ChatPic` was built may be
    /// gone, so whatever begins work on a share asks for it again. Outside of a tokio runtime nothing can be begun.
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

/// Sweeps again and again while somebody holds this `ChatPic`.
async fn sweep_every(every: Duration, chatpic: Weak<Inner>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut list_blobs_at = Timestamp::default();
    let mut told = Told::default();
    loop {
        ticks.tick().await;
        let Some(inner) = chatpic.upgrade() else { return };
        let chatpic = ChatPic(inner, Client::Host);
        let began = chatpic.now();
        let swept = if began >= list_blobs_at {
            let swept = chatpic.sweep().await;
            // A listing takes the longer the more is stored; it may cost a hundredth of the time.
            list_blobs_at = chatpic.now() + 100 * began.until(chatpic.now());
            swept
        } else {
            chatpic.sweep_due().await
        };
        if let Some(failures) = told.news(&swept, chatpic.now()) {
            tracing::warn!(failures, "a sweep failed in part and will run again");
        }
        match swept {
            Ok(swept) if swept != Swept::default() => {
                let Swept { ended, purged, forgotten, orphans, failed, .. } = swept;
                tracing::info!(ended, purged, forgotten, orphans, failed, "swept");
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// When the log was last told of a failing sweep.
#[derive(Default)]
struct Told(Option<Timestamp>);

impl Told {
    /// What the log is to be told of a sweep, once a minute at most, which then counts as told.
    fn news(&mut self, swept: &Result<Swept, Error>, now: Timestamp) -> Option<String> {
        let failures: Vec<String> = match swept {
            Ok(swept) => swept.failures.iter().cloned().collect(),
            Err(error) => vec![error.for_log()],
        };
        if failures.is_empty() || self.0.is_some_and(|told| told.until(now) < TELL_EVERY) {
            return None;
        }
        self.0 = Some(now);
        Some(failures.join("; "))
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

        let (mut log, now) = (Told::default(), place.chatpic.now());
        let news = log.news(&Ok(swept.clone()), now);
        assert_eq!(news.as_deref(), Some("faulty could not delete_folder; faulty could not folders"));
        assert_eq!(log.news(&Ok(swept), now + 59 * Duration::from_secs(1)), None);
        assert_eq!(log.news(&Err(Error::Busy), now + MINUTE).as_deref(), Some("the server is busy"));
        assert_eq!(log.news(&Ok(Swept::default()), now + 3 * MINUTE), None);
    }
}
