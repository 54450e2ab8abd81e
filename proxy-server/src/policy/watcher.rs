use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{Policy, PolicyHandle, Workload, snapshot::Verdict};
use crate::{
    log::Chain,
    session::{EndReason, Ended, Sessions},
    store::{Committed, Store, UnixMs},
};

/// Follows the store: whoever changes the policy, another process too, is seen
/// within one poll.
pub struct Watcher {
    store: Arc<dyn Store>,
    handle: PolicyHandle,
    sessions: Sessions,
}

impl Watcher {
    /// A watcher that keeps `handle` and `sessions` true to `store`.
    pub fn new(store: Arc<dyn Store>, handle: PolicyHandle, sessions: Sessions) -> Self {
        Self { store, handle, sessions }
    }

    /// Polls until told to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::None;
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            trouble = trouble.next(self.look().await);
        }
    }

    /// Looks once at the store, and follows it when it changed.
    async fn look(&self) -> Look {
        let asked = Instant::now();
        let committed = match timeout(PATIENCE, self.store.committed()).await {
            Ok(Ok(committed)) => committed,
            Ok(Err(error)) => return Look::Failed(Chain(&error).to_string()),
            Err(_) => return Look::Failed(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let known = self.handle.epoch();
        if committed.epoch < known {
            // Not seen(): the policy goes stale, and nothing new is admitted.
            return Look::Failed(format!(
                "the store's epoch {} is lower than {known}, which was in force: an older copy of the store was restored",
                committed.epoch
            ));
        }
        if committed.epoch > known
            && let Err(trouble) = self.follow().await
        {
            return Look::Failed(trouble);
        }
        self.handle.seen(asked);
        Look::Answered
    }

    async fn follow(&self) -> Result<(), String> {
        let loaded = timeout(PATIENCE, self.store.load()).await;
        let stored = loaded
            .map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
            .map_err(|error| Chain(&error).to_string())?;
        let committed = stored.committed;
        let policy = Arc::new(Policy::from_store(stored).map_err(|error| error.to_string())?);
        let before = self.handle.replace(Arc::clone(&policy));
        let ended = self.end_sessions(&before, &policy);
        report(committed, ended);
        Ok(())
    }

    fn end_sessions(&self, before: &Policy, policy: &Policy) -> Ended {
        let mut all = Ended::default();
        for (verdict, reason) in [
            (Verdict::MeasurementGone, EndReason::MeasurementRevoked),
            (Verdict::WorkloadGone, EndReason::WorkloadRemoved),
            (Verdict::RulesNarrower, EndReason::RulesChanged),
        ] {
            all += self.sessions.end_where(reason, |session| {
                let workload: &Workload = &session.workload();
                policy.verdict(before, workload, session.measurement()) == verdict
            });
        }
        all
    }
}

fn report(committed: Committed, ended: Ended) {
    tracing::info!(
        code = "policy-in-force",
        epoch = committed.epoch.0,
        sessions_ended = ended.sessions,
        tunnels_cut = ended.tunnels,
        commit_to_cut_ms = UnixMs::now().since(committed.at),
        "a new policy is in force"
    );
}

enum Look {
    Answered,
    Failed(String),
}

/// One line when trouble begins, one when it changes, one when it ends.
enum Trouble {
    None,
    Standing(String),
}

impl Trouble {
    fn next(self, look: Look) -> Self {
        match (self, look) {
            (Self::None, Look::Answered) => Self::None,
            (Self::Standing(_), Look::Answered) => {
                tracing::info!(code = "store-answers", "the store answers again");
                Self::None
            }
            (Self::Standing(was), Look::Failed(is)) if was == is => Self::Standing(was),
            (_, Look::Failed(error)) => {
                tracing::error!(
                    code = "store-silent",
                    error,
                    "the policy cannot be followed; after 2 s nothing new is admitted"
                );
                Self::Standing(error)
            }
        }
    }
}

/// How often the epoch is asked for: a tenth of a second, a fifth of what a
/// revocation may take.
const POLL: Duration = Duration::from_millis(100);

/// Less than [`PolicyHandle::STALE_AFTER`]: trouble is logged before it bites.
const PATIENCE: Duration = Duration::from_secs(1);
