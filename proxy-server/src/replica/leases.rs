use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use countersign_protocol::SessionId;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::row::{admission, ends};
use crate::{
    log::Chain,
    policy::PolicyHandle,
    session::{LastLook, Sessions},
    store::{SessionStore, StoreError, UnixMs},
};

/// Follows renewals that other replicas gave, for sessions that something here
/// depends on: one query a second, whatever their number.
///
/// A lease follows an attestation, which its sequence number names. So a row that is
/// read again lengthens nothing, and a wall clock that was put back gives nobody a
/// lease twice. A session that is gone from the store lapses at the deadline it has.
#[derive(Clone)]
pub struct Leases {
    store: Arc<dyn SessionStore>,
    policy: PolicyHandle,
    sessions: Sessions,
}

impl Leases {
    /// Renews in `sessions` what `store` says.
    pub fn new(store: Arc<dyn SessionStore>, policy: PolicyHandle, sessions: Sessions) -> Self {
        Self { store, policy, sessions }
    }

    /// Follows until told to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let ids = self.sessions.to_look_up(Instant::now() + SOON);
            match timeout(PATIENCE, self.follow(&ids)).await {
                Ok(Ok(())) => {}
                // That the store is silent the watcher says; leases go on as they are known.
                Ok(Err(error)) => {
                    tracing::debug!(code = "leases-not-followed", error = %Chain(&error), "the store failed");
                }
                Err(_) => tracing::debug!(code = "leases-not-followed", "the store is slow"),
            }
        }
    }

    async fn follow(&self, ids: &[SessionId]) -> Result<(), StoreError> {
        for ids in ids.chunks(AT_ONCE) {
            let rows = self.store.sessions_by_id(ids, UnixMs::now()).await?;
            let (policy, wall, now) = (self.policy.current(), UnixMs::now(), Instant::now());
            for row in rows {
                // What the policy does not allow the watcher ends.
                if let Ok(admission) = admission(&policy, &row) {
                    let ends = ends(&row, &admission, wall, now);
                    self.sessions.follow(&row.id, admission, ends);
                }
            }
        }
        Ok(())
    }
}

impl LastLook for Leases {
    fn look<'a>(&'a self, due: &'a [SessionId]) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async {
            // What cannot be looked up lapses.
            let _ = self.follow(due).await;
        })
    }
}

/// A lease is 30 s at the least and renewed at its half.
const EVERY: Duration = Duration::from_secs(1);

/// Sessions renewed here are looked up too when they may have moved: their lease ends
/// by then.
const SOON: Duration = Duration::from_secs(5);

/// What one query takes.
const AT_ONCE: usize = 10_000;

/// For all of a second's queries.
const PATIENCE: Duration = Duration::from_secs(1);
