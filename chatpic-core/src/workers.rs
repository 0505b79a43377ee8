//! Bounded pools for work that keeps a core busy: decoding, marking, tracing, hashing passwords.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use tokio::sync::oneshot;

use crate::error::Error;
use crate::fair::{Client, Holder, Turns};

/// How much a pool does at a time, and how much may wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Jobs that run at the same time.
    pub(crate) workers: usize,
    /// Of them, jobs of one address.
    pub(crate) each: usize,
    /// Jobs that wait.
    pub(crate) queue: usize,
}

/// A pool that serves those who wait in turn, see [`Turns`].
///
/// The pool has threads of its own, as many as jobs have run at the same time. On the runtime's many blocking threads
/// memory would not be bounded by the number of workers: allocators keep what each thread has used.
#[derive(Clone, Debug)]
pub(crate) struct Workers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    bounds: Bounds,
    state: Mutex<State>,
    idle: IdleThreads,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Jobs that run, by client.
    running: HashMap<Client, usize>,
    waiting: Turns<Ticket>,
    tickets: u64,
}

/// One who waits.
#[derive(Debug)]
struct Ticket {
    number: u64,
    call: oneshot::Sender<Permit>,
}

/// A place in a pool; given back when dropped.
#[derive(Debug)]
struct Permit {
    pool: Arc<Pool>,
    client: Client,
}

/// The threads that wait for a job, the one that was busy last on top. They end when the pool is dropped.
type IdleThreads = Mutex<Vec<mpsc::Sender<Job>>>;

type Job = Box<dyn FnOnce() + Send>;

/// A place in the pool, for one job; given back when dropped or when its job is done.
#[derive(Debug)]
pub(crate) struct Worker(Permit);

impl Workers {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let workers = bounds.workers.max(1);
        let bounds = Bounds { workers, each: bounds.each.clamp(1, workers), ..bounds };
        let state = State { free: workers, running: HashMap::new(), waiting: Turns::default(), tickets: 0 };
        Self(Arc::new(Pool { bounds, state: Mutex::new(state), idle: IdleThreads::default() }))
    }

    /// Waits for a worker, in turn with the others who do.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait and this client is one of those with the most, at once or later.
    pub(crate) async fn take(&self, holder: Holder) -> Result<Worker, Error> {
        let waiting = {
            let mut state = self.0.lock();
            let own = state.waiting.len_of(holder.client);
            let at_once = state.free > 0 && own == 0 && state.has_room(holder.client, &self.0.bounds);
            if !at_once && state.waiting.len() >= self.0.bounds.queue {
                // Who has the most waiting makes room.
                if self.0.bounds.queue == 0 || state.waiting.pop_from_longest(own + 1).is_none() {
                    return Err(Error::Busy);
                }
            }
            let (call, called) = oneshot::channel();
            let number = state.tickets;
            state.tickets += 1;
            state.waiting.push(holder, Ticket { number, call });
            Waiting { pool: &self.0, holder, number, called }
        };
        self.0.call();
        waiting.called().await.map(Worker)
    }

    /// Waits for a worker and runs a job on it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        holder: Holder,
        job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.take(holder).await?.run(job).await
    }
}

impl State {
    /// Whether one more job of this client may run.
    fn has_room(&self, client: Client, bounds: &Bounds) -> bool {
        client == Client::Host || self.running.get(&client).is_none_or(|running| *running < bounds.each)
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<mpsc::Sender<Job>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls those whose turn it is.
    fn call(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            if state.free == 0 {
                return;
            }
            let mut waiting = std::mem::take(&mut state.waiting);
            let next = waiting.pop(|client| state.has_room(client, &self.bounds));
            state.waiting = waiting;
            let Some((client, ticket)) = next else { return };
            state.free -= 1;
            *state.running.entry(client).or_default() += 1;
            drop(state);
            // Who went away meanwhile gives it back here.
            drop(ticket.call.send(Permit { pool: self.clone(), client }));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.free += 1;
        if let Some(running) = state.running.get_mut(&self.client) {
            *running -= 1;
            if *running == 0 {
                state.running.remove(&self.client);
            }
        }
        drop(state);
        self.pool.call();
    }
}

/// A ticket that is taken away when its holder stops waiting.
struct Waiting<'a> {
    pool: &'a Arc<Pool>,
    holder: Holder,
    number: u64,
    called: oneshot::Receiver<Permit>,
}

impl Waiting<'_> {
    async fn called(mut self) -> Result<Permit, Error> {
        (&mut self.called).await.map_err(|_| Error::Busy)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.lock().waiting.take_away(self.holder, |ticket| ticket.number == self.number);
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
        let Self(permit) = self;
        let waiting = permit.pool.idle().pop();
        let thread = match waiting {
            Some(thread) => thread,
            None => start()?,
        };
        let (answer, answered) = oneshot::channel();
        let itself = thread.clone();
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(job)).unwrap_or(Err(Error::Panicked));
            // The thread is found idle before its place is free, so that there are never more threads than places; and
            // the place is free before anybody knows the answer.
            permit.pool.idle().push(itself);
            drop(permit);
            // Perhaps nobody waits for it any more.
            drop(answer.send(outcome));
        };
        drop(thread.send(Box::new(run)));
        answered.await.unwrap_or(Err(Error::Panicked))
    }
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
    use futures::future::{join_all, try_join_all};
    use futures::poll;

    use super::*;
    use crate::id::ShareId;

    fn workers(workers: usize, queue: usize) -> Workers {
        Workers::new(Bounds { workers, each: workers, queue })
    }

    fn of(client: u64) -> Holder {
        Holder { client: Client::Address(client), share: ShareId::from_bytes([0; 12]) }
    }

    #[tokio::test]
    async fn one_job_too_many_is_refused_and_the_queue_recovers() {
        let workers = workers(1, 1);
        let first = workers.take(of(1)).await.unwrap();
        let mut second = std::pin::pin!(workers.take(of(1)));
        assert!(poll!(&mut second).is_pending());
        assert!(matches!(workers.take(of(1)).await, Err(Error::Busy)));
        drop(first);
        drop(second.await.unwrap());
        drop(workers.take(of(1)).await.unwrap());
    }

    #[tokio::test]
    async fn a_client_has_its_part_at_a_time_and_the_rest_is_there_for_others() {
        let workers = Workers::new(Bounds { workers: 3, each: 2, queue: 10 });
        let held = try_join_all([workers.take(of(1)), workers.take(of(1))]).await.unwrap();
        let mut third = Box::pin(workers.take(of(1)));
        assert!(poll!(&mut third).is_pending(), "a place is free, but not for this client");
        drop(workers.take(of(2)).await.unwrap());
        drop(held);
        drop(third.await.unwrap());
    }

    #[tokio::test]
    async fn a_client_that_floods_waits_behind_the_others_and_makes_room_for_them() {
        let workers = Workers::new(Bounds { workers: 1, each: 1, queue: 8 });
        let busy = workers.take(of(1)).await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..20 {
            let mut waiting = Box::pin(workers.take(of(1)));
            if poll!(&mut waiting).is_pending() {
                flood.push(waiting);
            }
        }
        assert_eq!(flood.len(), 8, "no more may wait");
        let mut honest: Vec<_> = (2..5).map(|client| Box::pin(workers.take(of(client)))).collect();
        for waiting in &mut honest {
            assert!(poll!(waiting).is_pending(), "there is room for others whoever fills the queue");
        }
        drop(busy);
        // The client that floods was first in the circle, and has one turn in each round.
        let named = flood.into_iter().map(|waiting| (1, waiting));
        let named = named.chain(honest.into_iter().zip(2..).map(|(waiting, client)| (client, waiting)));
        let served = Mutex::new(Vec::new());
        join_all(named.map(async |(client, waiting)| {
            if let Ok(worker) = waiting.await {
                served.lock().unwrap().push(client);
                drop(worker);
            }
        }))
        .await;
        let order = served.into_inner().unwrap();
        assert_eq!(order[..4], [1, 2, 3, 4], "{order:?}");
        assert_eq!(order.iter().filter(|client| **client == 1).count(), 5, "{order:?}");
    }

    #[tokio::test]
    async fn a_panic_is_contained() {
        let workers = workers(1, 1);
        let outcome: Result<(), Error> = workers.run(of(1), || panic!("a decoder's bug")).await;
        assert!(matches!(outcome, Err(Error::Panicked)));
        assert_eq!(workers.run(of(1), || Ok(3)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn there_are_no_more_threads_than_workers_and_they_end_with_the_pool() {
        let workers = workers(2, 100);
        let job = || workers.run(of(1), || Ok(std::thread::current().id()));
        let threads = try_join_all((0..50).map(|_| job())).await.unwrap();
        assert!(threads.into_iter().collect::<std::collections::HashSet<_>>().len() <= 2);

        // Both are idle again when both places are free.
        drop((workers.take(of(1)).await.unwrap(), workers.take(of(1)).await.unwrap()));
        let pool = Arc::downgrade(&workers.0);
        drop(workers);
        assert!(pool.upgrade().is_none(), "no thread keeps its pool");
    }

    #[tokio::test]
    async fn a_job_counts_until_it_is_done_though_its_caller_went_away() {
        let workers = workers(1, 0);
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let (began, beginning) = tokio::sync::oneshot::channel();
        let running = workers.run(of(1), move || {
            began.send(()).expect("the test waits");
            assert!(finished.recv().is_err(), "ends when the other side is dropped");
            Ok(())
        });
        tokio::select! {
            _ = running => panic!("the job can't be done yet"),
            _ = beginning => {}
        }
        assert!(matches!(workers.take(of(1)).await, Err(Error::Busy)));
        drop(finish);
        // The job ends on a thread of its own.
        while workers.0.lock().free == 0 {
            std::thread::yield_now();
        }
        drop(workers.take(of(1)).await.unwrap());
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_nobodys_turn() {
        let workers = workers(1, 2);
        let busy = workers.take(of(1)).await.unwrap();
        let mut gone = Box::pin(workers.take(of(2)));
        assert!(poll!(&mut gone).is_pending());
        drop(gone);
        assert_eq!(workers.0.lock().waiting.len(), 0);
        drop(busy);
        drop(workers.take(of(3)).await.unwrap());
    }
}
