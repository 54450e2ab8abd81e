use std::{pin::Pin, sync::Arc, time::Duration};

use countersign_protocol::Epoch;
use tokio::{
    select,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Policy, PolicyHandle, snapshot::Verdict, trouble::Trouble};
use crate::{
    log::Chain,
    session::{EndReason, Ended, Sessions},
    store::{Committed, EndedSession, PolicyStore, StoreError, StoredPolicy, UnixMs},
};

/// Follows the store: whoever changes the policy, another process too, is seen
/// within one poll, and at once where the store gives hints.
pub struct Watcher {
    store: Arc<dyn PolicyStore>,
    handle: PolicyHandle,
    sessions: Sessions,
    clock: Clock,
    /// What is in force, as the store had it: what it means changes with time.
    stored: StoredPolicy,
    /// Told when every tunnel is gone that the policy in force ended.
    settling: Option<Settling>,
}

impl Watcher {
    /// A watcher that keeps `handle` and `sessions` true to `store`. `stored` is what
    /// the policy in `handle` was made of.
    pub fn new(
        store: Arc<dyn PolicyStore>,
        stored: StoredPolicy,
        handle: PolicyHandle,
        sessions: Sessions,
    ) -> Self {
        Self { store, handle, sessions, clock: Box::new(UnixMs::now), stored, settling: None }
    }

    /// Follows until told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hints = self.store.hints();
        let mut trouble = Trouble::None;
        loop {
            select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                () = hinted(&mut hints) => {}
                () = settled(&mut self.settling) => {
                    self.enforce();
                    continue;
                }
            }
            let Some(looked) = shutdown.run_until_cancelled(self.look()).await else { return };
            trouble = trouble.next(looked);
            // Heartbeats of many replicas are hints too: so many looks and no more.
            let again = Instant::now() + HINT_PAUSE;
            if shutdown.run_until_cancelled(self.pause(again)).await.is_none() {
                return;
            }
        }
    }

    /// Looks once at the store, and follows it when it changed.
    async fn look(&mut self) -> Result<(), String> {
        // Time passes whether or not the store answers.
        self.follow_time();
        let asked = Instant::now();
        let committed = answer(self.store.committed()).await?;
        let known = self.handle.epoch();
        if committed.epoch < known {
            // Not seen(): the policy goes stale, and nothing new is admitted.
            return Err(format!(
                "the store's epoch {} is lower than {known}, which was in force: an older copy of the store was restored",
                committed.epoch
            ));
        }
        if committed.epoch > known {
            self.follow().await?;
        }
        self.handle.seen(asked);
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), String> {
        let known = self.handle.epoch();
        let stored = answer(self.store.load()).await?;
        // Asked for before anything is in force: if this fails, all of it is done again.
        let by_hand = answer(self.store.ended_since(known)).await?;
        let policy = Policy::from_store(&stored, (self.clock)()).map_err(|error| error.to_string())?;
        self.stored = stored;
        let ended = self.put_in_force(policy, &by_hand);
        report(self.stored.committed, ended);
        Ok(())
    }

    /// A measurement begins or ends to count without anybody changing anything.
    fn follow_time(&mut self) {
        let now = (self.clock)();
        if self.handle.current().holds_at(now) {
            return;
        }
        match Policy::from_store(&self.stored, now) {
            Ok(policy) => {
                let ended = self.put_in_force(policy, &[]);
                tracing::info!(
                    code = "policy-by-time",
                    epoch = self.stored.committed.epoch.0,
                    sessions_ended = ended.sessions,
                    tunnels_cut = ended.tunnels,
                    "a measurement's time began or ended"
                );
            }
            Err(error) => tracing::error!(code = "policy-by-time", %error, "the policy cannot be made again"),
        }
    }

    /// First the new policy is in force, then sessions end: whoever admits looks at
    /// the policy again afterwards.
    fn put_in_force(&mut self, policy: Policy, by_hand: &[EndedSession]) -> Ended {
        let policy = Arc::new(policy);
        let before = self.handle.replace(Arc::clone(&policy));
        let mut all = Ended::default();
        for (verdict, reason) in [
            (Verdict::MeasurementGone, EndReason::MeasurementRevoked),
            (Verdict::MeasurementExpired, EndReason::MeasurementExpired),
            (Verdict::WorkloadGone, EndReason::WorkloadRemoved),
            (Verdict::RulesNarrower, EndReason::RulesChanged),
        ] {
            all += self.sessions.end_where(reason, |session| {
                policy.verdict(&before, &session.workload(), session.measurement()) == verdict
            });
        }
        for EndedSession { id, reason, epoch } in by_hand {
            let ended = self.sessions.end(id, EndReason::EndedByAdmin);
            if ended.sessions > 0 {
                tracing::info!(code = "session-ended", session = %id, epoch = epoch.0, reason, "ended by an administrator");
            }
            all += ended;
        }
        self.settling = Some(Settling::new(policy.epoch, &self.sessions));
        all
    }

    /// Waits, and says meanwhile when the last tunnel is gone.
    async fn pause(&mut self, until: Instant) {
        loop {
            select! {
                () = sleep_until(until) => return,
                () = settled(&mut self.settling) => self.enforce(),
            }
        }
    }

    /// Everything is gone that the policy in force ended.
    fn enforce(&mut self) {
        if let Some(Settling { epoch, .. }) = self.settling.take() {
            self.handle.enforce(epoch);
        }
    }

    #[cfg(test)]
    pub(super) fn with_clock(self, clock: impl Fn() -> UnixMs + Send + 'static) -> Self {
        Self { clock: Box::new(clock), ..self }
    }
}

/// The wall clock: measurements begin and end by it.
type Clock = Box<dyn Fn() -> UnixMs + Send>;

/// A policy in force whose last tunnels are on their way out. A newer one takes its
/// place: what that one waits for is this and more.
struct Settling {
    epoch: Epoch,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// When the wait is worth a line in the log.
    late: Option<Instant>,
}

impl Settling {
    fn new(epoch: Epoch, sessions: &Sessions) -> Self {
        Self { epoch, gone: Box::pin(sessions.let_go()), late: Some(Instant::now() + LET_GO) }
    }
}

/// Returns when everything is gone; never while nothing is waited for.
async fn settled(settling: &mut Option<Settling>) {
    let Some(Settling { epoch, gone, late }) = settling else { return std::future::pending().await };
    if let Some(at) = *late {
        select! {
            () = &mut *gone => return,
            () = sleep_until(at) => {
                *late = None;
                tracing::error!(
                    code = "replica-lags",
                    epoch = epoch.0,
                    "tunnels of ended sessions are still there; this policy is not acknowledged before they are gone"
                );
            }
        }
    }
    gone.await;
}

/// A hint, and never again once nobody gives any.
async fn hinted(hints: &mut Option<watch::Receiver<u64>>) {
    if let Some(receiver) = hints {
        if receiver.changed().await.is_ok() {
            return;
        }
        *hints = None;
    }
    std::future::pending().await
}

async fn answer<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| Chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
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

/// How often the epoch is asked for: a tenth of a second, a fifth of what a
/// revocation may take.
const POLL: Duration = Duration::from_millis(100);

/// Between two looks that hints ask for.
const HINT_PAUSE: Duration = Duration::from_millis(10);

/// Less than [`PolicyHandle::STALE_AFTER`]: trouble is logged before it bites.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long tunnels may take to be gone before the replica is called a laggard.
const LET_GO: Duration = Duration::from_secs(1);
