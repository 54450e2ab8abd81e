//! What is read of the store, page by page.

use std::collections::{BTreeMap, BTreeSet};

use countersign_protocol::{Epoch, SessionId};
use countersign_verifier::PcrSet;

use super::{AuditEvent, UnixMs};
use crate::{audit::Checkpoint, config::MeasurementState, policy::Workload};

/// Which part of a list: rows after a place, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last key of the page before; `None` for the first. Opaque to callers.
    pub after: Option<String>,
    /// 1 to [`Page::MOST`].
    pub limit: u32,
}

impl Page {
    /// The most rows in one page.
    pub const MOST: u32 = 1000;
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

/// Whose rows: all workloads, or some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All.
    Everything,
    /// These.
    Workloads(BTreeSet<String>),
}

/// Who keeps a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file.
    File,
    /// The admin API.
    Api,
}

/// A workload as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadRow {
    /// Its rules in force.
    pub workload: Workload,
    /// Rules that wait, who wrote them, and how many approved.
    pub pending: Option<(Workload, String, u32)>,
    /// For people.
    pub description: Option<String>,
    /// Who keeps it.
    pub origin: Origin,
    /// `false` as a value of its own: a revoked workload stays in the list.
    pub revoked: bool,
    /// Why it was revoked, when somebody said.
    pub reason: Option<String>,
    /// For If-Match.
    pub revision: u64,
    /// The epoch of its rules.
    pub epoch: Epoch,
}

/// A measurement as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementRow {
    /// Its workload's name.
    pub workload: String,
    /// Its name.
    pub name: String,
    /// Who keeps it.
    pub origin: Origin,
    /// For people.
    pub version: Option<String>,
    /// For people and programs.
    pub labels: BTreeMap<String, String>,
    /// Its PCRs.
    pub pcrs: PcrSet,
    /// What it is worth.
    pub state: MeasurementState,
    /// Admits from then on.
    pub not_before: Option<UnixMs>,
    /// Admits before then.
    pub expires: Option<UnixMs>,
    /// Who added it.
    pub author: Option<String>,
    /// A validity that allows more and waits for approvals.
    pub pending: Option<PendingValidity>,
    /// Who approved this revision.
    pub approvers: Vec<String>,
    /// When it was added.
    pub created: UnixMs,
    /// For If-Match.
    pub revision: u64,
    /// The epoch that made it so.
    pub epoch: Epoch,
    /// Why it was revoked, when somebody said.
    pub reason: Option<String>,
}

/// From when, and before when, a measurement would admit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingValidity {
    /// Admits from then on.
    pub not_before: Option<UnixMs>,
    /// Admits before then.
    pub expires: Option<UnixMs>,
    /// Who asks for it.
    pub author: String,
}

/// Which measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeasurementFilter {
    /// Of this workload.
    pub workload: Option<String>,
    /// In this state.
    pub state: Option<MeasurementState>,
    /// With this PCR0 (lower-case hexadecimal).
    pub pcr0: Option<String>,
    /// All of them, or those of which something waits for approval.
    pub waiting: Option<Waiting>,
}

/// Something of it waits for approval: the whole, or a validity that allows more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting;

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Of this workload.
    pub workload: Option<String>,
    /// Of this measurement of it.
    pub measurement: Option<String>,
}

/// A revoked set of PCRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TombstoneRow {
    /// The set.
    pub pcrs: PcrSet,
    /// The workload it was revoked in; empty when PCRs were revoked by themselves.
    pub workload: String,
    /// The measurement.
    pub measurement: String,
    /// Its policy change.
    pub epoch: Epoch,
    /// When.
    pub revoked: UnixMs,
    /// Who.
    pub author: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Which audit rows, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this workload.
    pub workload: Option<String>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// Of this kind: `admission`, `refusal`, `end`, `policy`, `access`.
    pub kind: Option<String>,
    /// With this code.
    pub code: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// From then on.
    pub from: Option<UnixMs>,
    /// Before then.
    pub until: Option<UnixMs>,
}

/// One row of the audit, where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// `policy`, or `replica/<hex>`.
    pub chain: String,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// What was decided.
    pub event: AuditEvent,
    /// Of this row and all before it.
    pub hash: [u8; 32],
}

/// Where a chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRow {
    /// Its name.
    pub name: String,
    /// Its last row.
    pub seq: u64,
    /// The hash of that row.
    pub hash: [u8; 32],
}

/// Where the audit stood at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditState {
    /// The policy's.
    pub epoch: Epoch,
    /// The highest epoch that a checkpoint speaks of; 0 where there is none. Above [`Self::epoch`] only if an older
    /// policy was put back.
    pub signed: Epoch,
    /// The heads of all chains.
    pub chains: Vec<ChainRow>,
}

/// A signed head, as it is kept.
pub type CheckpointRow = Checkpoint;

/// One page of the audit.
pub type AuditPage = Paged<AuditRow>;

/// A proxy that serves this store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRow {
    /// 16 random bytes, kept in its state directory.
    pub id: [u8; 16],
    /// Its host's name, or as configured.
    pub name: String,
    /// When it started.
    pub started: UnixMs,
    /// Its last heartbeat.
    pub seen: UnixMs,
    /// The policy in force there, with every tunnel cut that it does not allow.
    pub epoch: Epoch,
    /// Live sessions it knows.
    pub sessions: u64,
    /// Tunnels it holds.
    pub tunnels: u64,
    /// What the tunnels are of.
    pub load: Vec<Load>,
    /// The public key of its audit checkpoints.
    pub audit_key: String,
    /// When it said that it stops.
    pub stopped: Option<UnixMs>,
}

impl ReplicaRow {
    /// A replica that has not been heard of for so long is not waited for: a strict one
    /// has cut everything by itself [15 s](crate::policy::CUT_AFTER) after its store last
    /// answered, or its machine is gone. One configured as `best-effort` may hold tunnels
    /// on, each to the end of its lease. Until then whoever waits for a revocation is told
    /// that it lags. Milliseconds.
    pub const GONE_AFTER: u64 = 16_000;

    /// Whether it counts: it has not stopped, and was heard of lately.
    pub fn is_live(&self, now: UnixMs) -> bool {
        self.stopped.is_none() && now.since(self.seen) <= Self::GONE_AFTER
    }
}

/// Sessions with tunnels of one measurement on one replica.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Load {
    /// The workload.
    pub workload: String,
    /// The measurement.
    pub measurement: String,
    /// Sessions that hold tunnels there.
    pub sessions: u64,
    /// Their tunnels.
    pub tunnels: u64,
}

/// An API token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: [u8; 16],
    /// For people; unique among live tokens.
    pub name: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Sorted words, joined by commas.
    pub roles: String,
    /// `None`: everything; else sorted workload names, joined by commas.
    pub scope: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created: UnixMs,
    /// It is worth nothing from then on.
    pub expires: UnixMs,
    /// When it was last used, to the minute.
    pub last_used: Option<UnixMs>,
    /// When it was revoked.
    pub revoked: Option<UnixMs>,
}
