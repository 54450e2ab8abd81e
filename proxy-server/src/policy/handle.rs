use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use countersign_protocol::Epoch;
use tokio::{sync::watch, time::Instant};

use super::{Policy, Workload, WorkloadName};

/// The current policy, shared by everything that decides. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PolicyHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    current: RwLock<Arc<Policy>>,
    epoch: AtomicU64,
    /// The epoch in force, with everything cut that it does not allow.
    enforced: watch::Sender<Epoch>,
    /// Milliseconds from `started` to the store's last answer.
    seen: AtomicU64,
    started: Instant,
}

/// Whether the policy in hand is recent enough to admit anything new by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The store answered within [`PolicyHandle::STALE_AFTER`].
    Fresh,
    /// It did not: decide nothing new.
    Stale,
}

impl PolicyHandle {
    /// A policy is stale when the store has not answered for this long.
    pub const STALE_AFTER: Duration = Duration::from_secs(2);

    /// A handle whose store answered just now.
    pub fn new(policy: Policy) -> Self {
        let epoch = AtomicU64::new(policy.epoch.0);
        // Nothing is open that it could cut.
        let (enforced, _) = watch::channel(policy.epoch);
        let current = RwLock::new(Arc::new(policy));
        let (seen, started) = (AtomicU64::new(0), Instant::now());
        Self(Arc::new(Shared { current, epoch, enforced, seen, started }))
    }

    /// The snapshot in force.
    pub fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The version in force; cheaper than [`Self::current`].
    pub fn epoch(&self) -> Epoch {
        Epoch(self.0.epoch.load(Ordering::Acquire))
    }

    /// The highest version that is in force *and* has nothing left to cut here: every
    /// tunnel that it ended has dropped its sockets.
    pub fn enforced(&self) -> Epoch {
        *self.0.enforced.borrow()
    }

    /// Told when [`Self::enforced`] grows.
    pub fn enforcement(&self) -> watch::Receiver<Epoch> {
        self.0.enforced.subscribe()
    }

    /// A workload as the policy in force has it; `None` when it stands no more.
    pub fn workload(&self, name: &WorkloadName) -> Option<Arc<Workload>> {
        self.current().workloads.get(name).cloned()
    }

    /// Whether anything new may be decided by this policy.
    pub fn freshness(&self) -> Freshness {
        if self.silent_for() > Self::STALE_AFTER { Freshness::Stale } else { Freshness::Fresh }
    }

    /// How long ago the store was asked what it answered last.
    pub fn silent_for(&self) -> Duration {
        let seen = Duration::from_millis(self.0.seen.load(Ordering::Acquire));
        self.0.started.elapsed().saturating_sub(seen)
    }

    /// The same as a boolean, for conditions.
    pub fn is_stale(&self) -> bool {
        self.freshness() == Freshness::Stale
    }

    /// Puts a policy in force, and gives back the one before. Only the watcher
    /// calls this; it never goes to a lower epoch.
    pub(crate) fn replace(&self, policy: Arc<Policy>) -> Arc<Policy> {
        let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
        self.0.epoch.store(policy.epoch.0, Ordering::Release);
        std::mem::replace(&mut current, policy)
    }

    /// Says that a version has nothing left to cut. Only the watcher calls this.
    pub(crate) fn enforce(&self, epoch: Epoch) {
        self.0.enforced.send_if_modified(|enforced| {
            let grows = epoch > *enforced;
            if grows {
                *enforced = epoch;
            }
            grows
        });
    }

    /// Notes that the store answered, by a question asked at `asked`, with
    /// the epoch in force.
    pub(crate) fn seen(&self, asked: Instant) {
        let millis = asked.duration_since(self.0.started).as_millis();
        self.0.seen.fetch_max(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_store_makes_the_policy_stale() {
        let handle = PolicyHandle::new(Policy::default());
        tokio::time::advance(PolicyHandle::STALE_AFTER).await;
        assert_eq!(handle.freshness(), Freshness::Fresh);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(handle.is_stale());
        handle.seen(Instant::now());
        assert_eq!(handle.freshness(), Freshness::Fresh);
    }
}
