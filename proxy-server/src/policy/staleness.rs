use std::time::Duration;

use tokio::time::sleep;
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
        let wait = sleep(if left.is_zero() { LOOK_AGAIN } else { left });
        if shutdown.run_until_cancelled(wait).await.is_none() {
            return;
        }
    }
}

/// While the store stays silent: nothing is admitted then, so this finds nothing
/// but what was under way.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
