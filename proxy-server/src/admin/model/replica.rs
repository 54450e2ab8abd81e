use serde::Serialize;
use utoipa::ToSchema;

use super::Moment;
use crate::store::{Load, ReplicaRow, UnixMs};

/// A proxy that serves the store.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ReplicaView {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    name: String,
    state: ReplicaState,
    started: Moment,
    /// Its last heartbeat.
    seen: Moment,
    /// The policy in force there, with every tunnel cut that it does not allow.
    #[schema(minimum = 0)]
    epoch: u64,
    /// Live sessions it knows.
    #[schema(minimum = 0)]
    sessions: u64,
    /// Tunnels it holds.
    #[schema(minimum = 0)]
    tunnels: u64,
    load: Vec<LoadView>,
    /// The public key of its audit checkpoints.
    audit_key: String,
    /// When it said that it stops.
    stopped: Option<Moment>,
}

/// Whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum ReplicaState {
    Live,
    /// It said that it stops.
    Stopped,
    /// It has not been heard of for five seconds.
    Gone,
}

impl ReplicaState {
    pub(in crate::admin) fn of(row: &ReplicaRow, now: UnixMs) -> Self {
        match (row.stopped, row.is_live(now)) {
            (Some(_), _) => Self::Stopped,
            (None, true) => Self::Live,
            (None, false) => Self::Gone,
        }
    }
}

/// Sessions with tunnels of one measurement there.
#[derive(Debug, Serialize, ToSchema)]
struct LoadView {
    workload: String,
    measurement: String,
    #[schema(minimum = 0)]
    sessions: u64,
    #[schema(minimum = 0)]
    tunnels: u64,
}

impl ReplicaView {
    pub(in crate::admin) fn new(row: ReplicaRow, now: UnixMs) -> Self {
        let state = ReplicaState::of(&row, now);
        let ReplicaRow { id, name, started, seen, epoch, sessions, tunnels, load, audit_key, stopped } = row;
        let load = load.into_iter().map(|Load { workload, measurement, sessions, tunnels }| LoadView {
            workload,
            measurement,
            sessions,
            tunnels,
        });
        Self {
            id: hex::encode(id),
            name,
            state,
            started: Moment(started),
            seen: Moment(seen),
            epoch: epoch.0,
            sessions,
            tunnels,
            load: load.collect(),
            audit_key,
            stopped: stopped.map(Moment),
        }
    }
}

/// How far a replica is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Cut {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    name: String,
    /// The policy in force there, with every tunnel cut that it does not allow.
    #[schema(minimum = 0)]
    epoch: u64,
    /// When it last said so.
    at: Moment,
}

impl From<&ReplicaRow> for Cut {
    fn from(row: &ReplicaRow) -> Self {
        Self { id: hex::encode(row.id), name: row.name.clone(), epoch: row.epoch.0, at: Moment(row.seen) }
    }
}
