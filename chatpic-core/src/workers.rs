//! A bounded pool for work that keeps a core busy: decoding, marking, tracing, hashing passwords.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::Error;

/// At most `workers` jobs run at a time and at most `queue` wait; one more is refused as [`Error::Busy`].
///
/// The pool has threads of its own, as many as jobs have run at the same time. On the runtime's many blocking threads
/// memory would not be bounded by the number of workers: allocators keep what each thread has used.
#[derive(Debug)]
pub(crate) struct Workers {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    idle: Arc<IdleThreads>,
}

/// The threads that wait for a job, the one that was busy last on top. They end when the pool is dropped.
type IdleThreads = Mutex<Vec<mpsc::Sender<Job>>>;

type Job = Box<dyn FnOnce() + Send>;

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
    permit: OwnedSemaphorePermit,
    idle: Arc<IdleThreads>,
}

impl Workers {
    pub(crate) fn new(workers: usize, queue: usize) -> Self {
        let permits = Arc::new(Semaphore::new(workers.max(1)));
        Self { permits, waiting: AtomicUsize::new(0), queue, idle: Arc::default() }
    }

    /// Waits for a worker.
    pub(crate) async fn take(&self) -> Result<Worker, Error> {
        let worker = |permit| Worker { permit, idle: self.idle.clone() };
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(worker(permit));
        }
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            return Err(Error::Busy);
        }
        let permit = self.permits.clone().acquire_owned().await;
        drop(waiting);
        permit.map(worker).map_err(|_| Error::Busy)
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
        let Self { permit, idle } = self;
        let waiting = lock(&idle).pop();
        let thread = match waiting {
            Some(thread) => thread,
            None => start()?,
        };
        let (answer, answered) = oneshot::channel();
        let (idle, itself) = (Arc::downgrade(&idle), thread.clone());
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(job)).unwrap_or(Err(Error::Panicked));
            // The thread is found idle before its place is free, so that there are never more threads than places; and
            // the place is free before anybody knows the answer.
            if let Some(idle) = idle.upgrade() {
                lock(&idle).push(itself);
            }
            drop(permit);
            // Perhaps nobody waits for it any more.
            drop(answer.send(outcome));
        };
        drop(thread.send(Box::new(run)));
        answered.await.unwrap_or(Err(Error::Panicked))
    }
}

fn lock(idle: &IdleThreads) -> MutexGuard<'_, Vec<mpsc::Sender<Job>>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread that runs jobs until nobody can send it one.
fn start() -> Result<mpsc::Sender<Job>, Error> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let work = move || jobs.into_iter().for_each(|job| job());
    let started = std::thread::Builder::new().name("chatpic-worker".to_owned()).spawn(work);
    started.map(|_| sender).map_err(|_| Error::Busy)
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
    async fn there_are_no_more_threads_than_workers_and_they_end_with_the_pool() {
        let workers = Workers::new(2, 100);
        let job = || workers.run(|| Ok(std::thread::current().id()));
        let threads = futures::future::try_join_all((0..50).map(|_| job())).await.unwrap();
        assert!(threads.into_iter().collect::<std::collections::HashSet<_>>().len() <= 2);

        // Both are idle again when both places are free.
        drop((workers.take().await.unwrap(), workers.take().await.unwrap()));
        let idle = Arc::downgrade(&workers.idle);
        drop(workers);
        assert!(idle.upgrade().is_none(), "no thread keeps its pool");
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
