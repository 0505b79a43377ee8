//! A bounded pool for work that keeps a core busy: decoding, marking, tracing, hashing passwords.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::error::Error;

/// At most `workers` jobs run at a time and at most `queue` wait; one more is refused as [`Error::Busy`].
#[derive(Debug)]
pub(crate) struct Workers {
    permits: Semaphore,
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

impl Workers {
    pub(crate) fn new(workers: usize, queue: usize) -> Self {
        Self { permits: Semaphore::new(workers.max(1)), waiting: AtomicUsize::new(0), queue }
    }

    /// Waits for a worker; the permit gives it back when dropped.
    pub(crate) async fn take(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            return Err(Error::Busy);
        }
        let permit = self.permits.acquire().await.map_err(|_| Error::Busy);
        drop(waiting);
        permit
    }

    /// Runs a job on a worker; a job that panics is an error of this job alone.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.take().await?;
        run_blocking(job).await
    }
}

/// Runs a job off the async threads; the caller holds a permit.
pub(crate) async fn run_blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(job).await.unwrap_or(Err(Error::Panicked))
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
}
