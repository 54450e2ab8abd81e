//! Parts that run in this process alone may use both cores: nothing of theirs is pinned.

use std::future::Future;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::failure::{Context, Failure};

/// Runs `work` on a runtime of its own with two workers, since `run.sh` keeps this process on one core.
///
/// # Errors
/// Those of `work`; the thread or its runtime does not start.
pub(crate) async fn on_two<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>>,
{
    let (done, measured) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let ended = runtime().and_then(|runtime| runtime.block_on(work()));
        // Whoever waits for it is gone only when the program ends.
        let _ = done.send(ended);
    });
    let ended = measured.await.context("the measuring thread")?;
    thread.join().map_err(|_| Failure::new("the measuring thread panicked"))?;
    ended
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut cores = CpuSet::new();
    cores.set(0);
    cores.set(1);
    sched_setaffinity(None, &cores).context("two cores")?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("runtime")
}
