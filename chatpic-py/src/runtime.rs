//! One async runtime for the interpreter: started when it is first needed, stopped before the interpreter goes.
//!
//! A thread that wakes an awaiting coroutine while the interpreter is taken down crashes it; hence the stop.

use std::future::Future;
use std::num::NonZero;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::errors::Failure;

/// How often a blocking call looks for Ctrl-C.
const SIGNALS_EVERY: Duration = Duration::from_millis(200);

/// How long work under way may take when the interpreter ends.
const STOP_WITHIN: Duration = Duration::from_secs(5);

enum State {
    Idle,
    Running { process: u32, runtime: Runtime, places: Arc<Semaphore> },
    Stopped,
}

static STATE: Mutex<State> = Mutex::new(State::Idle);

/// The process that a thing belongs to: threads and connections do not survive a fork.
#[derive(Clone, Copy)]
pub(crate) struct Home(u32);

impl Home {
    pub(crate) fn here() -> Self {
        Self(std::process::id())
    }

    pub(crate) fn check(self) -> Result<(), Failure> {
        if self.0 == std::process::id() {
            Ok(())
        } else {
            Err(Failure::Said("this ChatPic was opened before a fork; open one in each process".to_owned()))
        }
    }
}

fn handle() -> Result<Handle, Failure> {
    running().map(|(handle, _)| handle)
}

/// The runtime of this process, and the places for work in it.
fn running() -> Result<(Handle, Arc<Semaphore>), Failure> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let here = std::process::id();
    match &*state {
        State::Running { process, runtime, places } if *process == here => {
            return Ok((runtime.handle().clone(), Arc::clone(places)));
        }
        State::Stopped => return Err(Failure::Said("the interpreter is ending".to_owned())),
        State::Idle | State::Running { .. } => {}
    }
    let runtime = Runtime::new().map_err(Failure::Io)?;
    let handle = runtime.handle().clone();
    // One for each core, so that what work holds in memory is bounded.
    let places = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)));
    let begun = State::Running { process: here, runtime, places: Arc::clone(&places) };
    let before = std::mem::replace(&mut *state, begun);
    // After a fork the parent's threads are not there to be waited for.
    std::mem::forget(before);
    Ok((handle, places))
}

/// Runs a future to its end while other Python threads go on; Ctrl-C gives it up.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    future: impl Future<Output = Result<T, Failure>> + Send,
) -> PyResult<T> {
    let handle = handle()?;
    let mut future = pin!(future);
    loop {
        let some_time = || handle.block_on(async { timeout(SIGNALS_EVERY, future.as_mut()).await });
        match py.detach(some_time) {
            Ok(outcome) => return Ok(outcome?),
            Err(_) => py.check_signals()?,
        }
    }
}

/// Runs a future on the runtime's threads; giving up on the answer ends it.
pub(crate) async fn spawn<T: Send + 'static>(
    future: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> PyResult<T> {
    let mut task = Task(handle()?.spawn(future));
    match (&mut task.0).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::Said("the work was broken off".to_owned()).into()),
    }
}

/// Does work that keeps a core busy, in its turn. It is told to stop when its caller has given it up.
pub(crate) async fn working<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let broken_off = || Failure::Said("the work was broken off".to_owned());
    let place = running()?.1.acquire_owned().await.map_err(|_| broken_off())?;
    let caller = Caller::default();
    let stop = Arc::clone(&caller.0);
    let job = move || {
        let _place = place;
        work(&stop)
    };
    tokio::task::spawn_blocking(job).await.map_err(|_| broken_off())?
}

/// Waits for some work, which is to stop when this is dropped.
#[derive(Default)]
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[pyfunction]
fn stop(py: Python<'_>) {
    let before = {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *state, State::Stopped)
    };
    if let State::Running { process, runtime, .. } = before {
        if process == std::process::id() {
            py.detach(|| runtime.shutdown_timeout(STOP_WITHIN));
        } else {
            std::mem::forget(runtime);
        }
    }
}

pub(crate) fn stop_at_exit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let stop = wrap_pyfunction!(stop, module)?;
    module.py().import("atexit")?.call_method1("register", (stop,)).map(drop)
}
