use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    config::AuditRetention,
    log::Chain,
    store::{Answer, Store, UnixMs},
};

/// Keeps the store bounded: once a minute, a bounded number of rows at a time.
pub(super) async fn prune_loop(
    store: Arc<dyn Store>,
    retention: AuditRetention,
    shutdown: CancellationToken,
) {
    prune_until(&shutdown, || store.prune(retention, UnixMs::now())).await;
}

/// What is broken off is rolled back, and dropped by whoever prunes next.
async fn prune_until<'a>(shutdown: &CancellationToken, prune: impl Fn() -> Answer<'a, u64>) {
    shutdown.run_until_cancelled(prune_for_ever(&prune)).await;
}

async fn prune_for_ever<'a>(prune: &impl Fn() -> Answer<'a, u64>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        prune_rounds(prune).await;
    }
}

/// As long as there is much to drop, but never so that admissions wait for it.
async fn prune_rounds<'a>(prune: &impl Fn() -> Answer<'a, u64>) {
    for _ in 0..ROUNDS {
        match prune().await {
            Ok(0) => return,
            Ok(rows) => tracing::debug!(rows, "old rows dropped"),
            Err(error) => {
                tracing::warn!(code = "prune-failed", error = %Chain(&error), "old rows were not dropped");
                return;
            }
        }
        sleep(PAUSE).await;
    }
}

/// The store's upkeep, once a second.
pub(super) async fn tidy_loop(store: Arc<dyn Store>, shutdown: CancellationToken) {
    let mut ticks = interval(TIDY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Some(Err(error)) = shutdown.run_until_cancelled(store.tidy()).await {
            tracing::warn!(code = "tidy-failed", error = %Chain(&error), "the store was not tidied");
        }
    }
}

const TIDY_EVERY: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(60);
/// 30 times 10,000 rows a minute: as many as 5,000 admissions a second leave.
const ROUNDS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::{sync::Notify, time::timeout};

    use super::*;

    /// A proxy that stops waits for its loops.
    #[tokio::test(start_paused = true)]
    async fn a_store_that_never_answers_does_not_keep_the_loop() {
        let (asked, shutdown) = (Notify::new(), CancellationToken::new());
        let prune = || -> Answer<'_, u64> {
            asked.notify_one();
            Box::pin(pending())
        };
        let stop = async {
            asked.notified().await;
            shutdown.cancel();
        };
        let both = async { tokio::join!(prune_until(&shutdown, prune), stop) };
        timeout(EVERY, both).await.expect("the loop ends");
    }

    /// Nor does one that always has more to drop.
    #[tokio::test(start_paused = true)]
    async fn rows_without_end_do_not_keep_the_loop() {
        let (asked, shutdown) = (Notify::new(), CancellationToken::new());
        let began = tokio::time::Instant::now();
        let prune = || -> Answer<'_, u64> {
            asked.notify_one();
            Box::pin(async { Ok(10_000) })
        };
        let stop = async {
            asked.notified().await;
            shutdown.cancel();
        };
        tokio::join!(prune_until(&shutdown, prune), stop);
        assert!(began.elapsed() < PAUSE, "it stopped between two rounds");
    }
}
