use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    config::AuditRetention,
    log::Chain,
    store::{Store, UnixMs},
};

/// Keeps the store bounded: once a minute, a bounded number of rows at a time.
pub(super) async fn prune_loop(
    store: Arc<dyn Store>,
    retention: AuditRetention,
    shutdown: CancellationToken,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        // As long as there is much to drop, but never so that admissions wait for it.
        for _ in 0..ROUNDS {
            match store.prune(retention, UnixMs::now()).await {
                Ok(0) => break,
                Ok(rows) => tracing::debug!(rows, "old rows dropped"),
                Err(error) => {
                    tracing::warn!(code = "prune-failed", error = %Chain(&error), "old rows were not dropped");
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The store's upkeep, once a second.
pub(super) async fn tidy_loop(store: Arc<dyn Store>, shutdown: CancellationToken) {
    let mut ticks = interval(TIDY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = store.tidy().await {
            tracing::warn!(code = "tidy-failed", error = %Chain(&error), "the store was not tidied");
        }
    }
}

const TIDY_EVERY: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(60);
/// 30 times 10,000 rows a minute: as many as 5,000 admissions a second leave.
const ROUNDS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(200);
