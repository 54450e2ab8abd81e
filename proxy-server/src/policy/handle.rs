use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use countersign_protocol::Epoch;
use tokio::time::Instant;

use super::{Workload, WorkloadName};

/// One version of the allow policy. Never changed: a newer one replaces it whole.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Its version.
    pub epoch: Epoch,
    /// Every workload that stands, by name.
    pub workloads: HashMap<WorkloadName, Arc<Workload>>,
}

/// The current policy, shared by everything that decides. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PolicyHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    current: RwLock<Arc<Policy>>,
    epoch: AtomicU64,
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
        let current = RwLock::new(Arc::new(policy));
        Self(Arc::new(Shared { current, epoch, seen: AtomicU64::new(0), started: Instant::now() }))
    }

    /// The snapshot in force.
    pub fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.0.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// The version in force; cheaper than [`Self::current`].
    pub fn epoch(&self) -> Epoch {
        Epoch(self.0.epoch.load(Ordering::Acquire))
    }

    /// A workload as the policy in force has it; `None` when it stands no more.
    pub fn workload(&self, name: &WorkloadName) -> Option<Arc<Workload>> {
        self.current().workloads.get(name).cloned()
    }

    /// Whether anything new may be decided by this policy.
    pub fn freshness(&self) -> Freshness {
        let seen = Duration::from_millis(self.0.seen.load(Ordering::Acquire));
        let silent = self.0.started.elapsed().saturating_sub(seen);
        if silent > Self::STALE_AFTER { Freshness::Stale } else { Freshness::Fresh }
    }

    /// The same as a boolean, for conditions.
    pub fn is_stale(&self) -> bool {
        self.freshness() == Freshness::Stale
    }
}
