use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{housekeeping, witness::Outside};
use crate::{
    audit::AuditPublicKey,
    ca::SessionCa,
    config::Config,
    credentials::Desk,
    policy::{PolicyHandle, Watcher, guard},
    replica::{Elsewhere, Heartbeat, Leases, ReplicaIdentity},
    session::{LastLook, NobodyElse, Sessions},
    store::{Store, StoredPolicy},
    telemetry::Telemetry,
};

/// What runs beside the ports, until both are closed and everything is cut.
pub(super) struct Background {
    pub(super) store: Arc<dyn Store>,
    pub(super) stored: StoredPolicy,
    pub(super) policy: PolicyHandle,
    pub(super) sessions: Sessions,
    pub(super) elsewhere: Elsewhere,
    pub(super) identity: ReplicaIdentity,
    /// Whoever checks this replica's audit chain needs it.
    pub(super) audit: AuditPublicKey,
    pub(super) outside: Outside,
    pub(super) ca: Arc<SessionCa>,
    pub(super) telemetry: Telemetry,
    /// Where some workload has a role.
    pub(super) desk: Option<Desk>,
}

impl Background {
    /// Starts all of it. Returns when the store knows of this replica: whoever revokes
    /// from then on waits for it, too.
    pub(super) async fn start(self, config: &Config, stopped: &CancellationToken) -> TaskTracker {
        let Self {
            store,
            stored,
            policy,
            sessions,
            elsewhere,
            identity,
            audit,
            outside,
            ca,
            telemetry,
            desk,
        } = self;
        let tasks = TaskTracker::new();
        let watcher = Watcher::new(Arc::clone(&store) as _, stored, policy.clone(), sessions.clone());
        tasks.spawn(watcher.run(stopped.clone()));
        tasks.spawn(guard(policy.clone(), sessions.clone(), config.when_stale, stopped.clone()));
        let last_look: Arc<dyn LastLook> = match elsewhere {
            Elsewhere::Nowhere => Arc::new(NobodyElse),
            Elsewhere::Replicas(_) => {
                let leases = Leases::new(Arc::clone(&store) as _, policy.clone(), sessions.clone());
                tasks.spawn(leases.clone().run(stopped.clone()));
                Arc::new(leases)
            }
        };
        tasks.spawn(sessions.clone().lapse_loop(last_look, stopped.clone()));
        let heartbeat =
            Heartbeat::new(Arc::clone(&store) as _, identity, policy, sessions, audit.to_string());
        heartbeat.announce().await;
        tasks.spawn(heartbeat.run(stopped.clone()));
        tasks.spawn(outside.run(stopped.clone()));
        tasks.spawn(ca.rotate_loop(stopped.clone()));
        tasks.spawn(telemetry.look_loop(stopped.clone()));
        if let Some(desk) = desk {
            tasks.spawn(desk.tidy_loop(stopped.clone()));
        }
        tasks.spawn(housekeeping::tidy_loop(Arc::clone(&store), stopped.clone()));
        tasks.spawn(housekeeping::prune_loop(store, config.audit, stopped.clone()));
        tasks
    }
}
