use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::ReplicaIdentity;
use crate::{
    log::Chain,
    policy::PolicyHandle,
    session::{Census, Sessions},
    store::{Load, ReplicaRow, ReplicaStore, UnixMs},
};

/// Tells the store that this replica lives, what it holds, and which policy it
/// enforces: once a second, and at once when a policy has nothing left to cut.
pub struct Heartbeat {
    store: Arc<dyn ReplicaStore>,
    identity: ReplicaIdentity,
    policy: PolicyHandle,
    sessions: Sessions,
    audit_key: String,
    started: UnixMs,
}

impl Heartbeat {
    /// A heartbeat of a replica that starts now. `audit_key` is the public key of its
    /// checkpoints, as the store shows it.
    pub fn new(
        store: Arc<dyn ReplicaStore>,
        identity: ReplicaIdentity,
        policy: PolicyHandle,
        sessions: Sessions,
        audit_key: String,
    ) -> Self {
        Self { store, identity, policy, sessions, audit_key, started: UnixMs::now() }
    }

    /// Says for the first time that this replica is there. What fails is said again by
    /// [`Self::run`].
    pub async fn announce(&self) {
        if let Err(error) = self.beat(None).await {
            tracing::warn!(code = "heartbeat-failed", error, "other replicas do not know of this one yet");
        }
    }

    /// Beats until told to stop, and then says that it stops.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut enforcement = self.policy.enforcement();
        let mut failures = 0;
        loop {
            // Seen before the row is made: what comes later beats again.
            enforcement.mark_unchanged();
            failures = match self.beat(None).await {
                Ok(()) => 0,
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(
                            code = "heartbeat-failed",
                            error,
                            "other replicas may think that this one is gone"
                        );
                    }
                    failures + 1
                }
            };
            let next = Instant::now() + pause(failures);
            select! {
                () = shutdown.cancelled() => break,
                () = sleep_until(next) => {}
                // After a failure the pause is kept: the row says it anyway.
                Ok(()) = enforcement.changed(), if failures == 0 => {}
            }
        }
        if let Err(error) = self.beat(Some(UnixMs::now())).await {
            tracing::debug!(code = "heartbeat-failed", error, "the store was not told of the end");
        }
    }

    async fn beat(&self, stopped: Option<UnixMs>) -> Result<(), String> {
        let row = self.row(stopped);
        match timeout(PATIENCE, self.store.heartbeat(&row)).await {
            Ok(answer) => answer.map_err(|error| Chain(&error).to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    fn row(&self, stopped: Option<UnixMs>) -> ReplicaRow {
        // The epoch first: what is counted afterwards stands under it or a later one.
        let epoch = self.policy.enforced();
        let census = self.sessions.census();
        ReplicaRow {
            id: self.identity.id.to_bytes(),
            name: self.identity.name.clone(),
            started: self.started,
            seen: UnixMs::now(),
            epoch,
            sessions: census.sessions,
            tunnels: census.tunnels,
            load: load(census),
            audit_key: self.audit_key.clone(),
            stopped,
        }
    }
}

/// The measurements that hold most tunnels, [`MOST_LOADS`] at the most: the row is
/// written every second.
fn load(census: Census) -> Vec<Load> {
    let mut holding = census.holding;
    holding.sort_by(|a, b| {
        let names = || (&a.workload.name, &a.measurement).cmp(&(&b.workload.name, &b.measurement));
        b.tunnels.cmp(&a.tunnels).then_with(names)
    });
    holding.truncate(MOST_LOADS);
    let load = |one: crate::session::Holding| Load {
        workload: one.workload.name.to_string(),
        measurement: one.measurement.to_string(),
        sessions: one.sessions,
        tunnels: one.tunnels,
    };
    holding.into_iter().map(load).collect()
}

/// A second, and up to four with every failure, with jitter: all replicas of a store
/// lose it at one time, and need not all come back at one.
fn pause(failures: u32) -> Duration {
    if failures == 0 {
        return EVERY;
    }
    let mut jitter = [0];
    // Without randomness replicas come back together, which is worse but not wrong.
    let _ = aws_lc_rs::rand::fill(&mut jitter);
    let longest = EVERY * (1 << failures.min(2));
    longest / 2 + (longest / 2).mul_f64(f64::from(jitter[0]) / 255.0)
}

const EVERY: Duration = Duration::from_secs(1);

/// Well below [`ReplicaRow::GONE_AFTER`].
const PATIENCE: Duration = Duration::from_secs(1);

/// About 100 KB of JSON at the very most, with names as long as they may be.
const MOST_LOADS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_longer_and_never_too_long() {
        assert_eq!(pause(0), EVERY);
        for (failures, longest) in [(1, 2), (2, 4), (3, 4), (1000, 4)] {
            for _ in 0..100 {
                let pause = pause(failures);
                let longest = Duration::from_secs(longest);
                assert!(pause >= longest / 2 && pause <= longest, "{failures}: {pause:?}");
            }
        }
        let longest = Duration::from_secs(4) + PATIENCE;
        assert!(longest.as_millis() <= u128::from(ReplicaRow::GONE_AFTER));
    }
}
