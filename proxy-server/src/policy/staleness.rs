use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::PolicyHandle;
use crate::{
    config::WhenStale,
    session::{EndReason, Sessions},
};

/// How long a strict replica keeps tunnels without a word from its store.
pub const CUT_AFTER: Duration = Duration::from_secs(15);

/// Ends sessions as `when` says, until told to stop. New tunnels and new sessions are
/// refused either way, after [`PolicyHandle::STALE_AFTER`]; this is for what is open: a
/// revocation that cannot arrive must not leave it so. It asks nobody: a watcher that
/// hangs does not keep it from its work.
pub async fn guard(handle: PolicyHandle, sessions: Sessions, when: WhenStale, shutdown: CancellationToken) {
    match when {
        WhenStale::BestEffort => return shutdown.cancelled().await,
        WhenStale::Strict => {}
    }
    loop {
        let left = CUT_AFTER.saturating_sub(handle.silent_for());
        if left.is_zero() {
            let ended = sessions.end_where(EndReason::StoreUnreachable, |_| true);
            if ended.sessions > 0 {
                tracing::error!(
                    code = EndReason::StoreUnreachable.as_str(),
                    sessions_ended = ended.sessions,
                    tunnels_cut = ended.tunnels,
                    "the store has been silent for {} s: every tunnel is cut",
                    CUT_AFTER.as_secs()
                );
            }
        }
        let planned = Instant::now() + if left.is_zero() { LOOK_AGAIN } else { left };
        if shutdown.run_until_cancelled(sleep_until(planned)).await.is_none() {
            return;
        }
        // The process itself stood still, as a paused machine does, and no byte moved
        // meanwhile: the store is asked once more before it is called silent.
        if planned.elapsed() > LOOK_AGAIN && shutdown.run_until_cancelled(sleep(LOOK_AGAIN)).await.is_none() {
            return;
        }
    }
}

/// While the store stays silent: nothing is admitted then, so this finds nothing
/// but what was under way. The watcher asks twice in that time.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
