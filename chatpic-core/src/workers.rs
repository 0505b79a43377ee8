//! A bounded pool for work that keeps a core busy: decoding, marking, tracing, hashing passwords.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// At most `workers` jobs run at a time and at most `queue` wait; one more is refused as [`Error::Busy`].
#[derive(Debug)]
pub(crate) struct Workers {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

/// Counts a job as waiting for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place in the pool; given back when dropped or when its job is done.
#[derive(Debug)]
pub(crate) struct Worker {
    _permit: OwnedSemaphorePermit,
}

impl Workers {
    pub(crate) fn new(workers: usize, queue: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(workers.max(1))), waiting: AtomicUsize::new(0), queue }
    }

    /// Waits for a worker.
    pub(crate) async fn take(&self) -> Result<Worker, Error> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(Worker { _permit: permit });
        }
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            return Err(Error::Busy);
        }
        let permit = self.permits.clone().acquire_owned().await;
        drop(waiting);
        permit.map(|permit| Worker { _permit: permit }).map_err(|_| Error::Busy)
    }

    /// Waits for a worker and runs a job on it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.take().await?.run(job).await
    }
}

impl Worker {
    /// Runs a job off the async threads; a job that panics is an error of this job alone.
    ///
    /// The job takes the worker along: nobody can stop it half-way, so it counts until it is done, even when its
    /// caller has gone away.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let running = tokio::task::spawn_blocking(move || {
            let outcome = job();
            drop(self);
            outcome
        });
        running.await.unwrap_or(Err(Error::Panicked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_job_too_many_is_refused_and_the_queue_recovers() {
        let workers = Workers::new(1, 1);
        let first = workers.take().await.unwrap();
        let second = workers.take();
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        assert!(matches!(workers.take().await, Err(Error::Busy)));
        drop(first);
        drop(second.await.unwrap());
        drop(workers.take().await.unwrap());
    }

    #[tokio::test]
    async fn a_panic_is_contained() {
        let workers = Workers::new(1, 1);
        let outcome: Result<(), Error> = workers.run(|| panic!("a decoder's bug")).await;
        assert!(matches!(outcome, Err(Error::Panicked)));
        assert_eq!(workers.run(|| Ok(3)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_job_counts_until_it_is_done_though_its_caller_went_away() {
        let workers = Workers::new(1, 0);
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let (began, beginning) = tokio::sync::oneshot::channel();
        let running = workers.run(move || {
            began.send(()).expect("the test waits");
            assert!(finished.recv().is_err(), "ends when the other side is dropped");
            Ok(())
        });
        tokio::select! {
            _ = running => panic!("the job can't be done yet"),
            _ = beginning => {}
        }
        assert!(matches!(workers.take().await, Err(Error::Busy)));
        drop(finish);
        // The job ends on a thread of its own.
        drop(workers.permits.clone().acquire_owned().await);
        drop(workers.take().await.unwrap());
    }
}
