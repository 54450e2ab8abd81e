use std::collections::BTreeMap;

use super::Place;
use crate::{
    admin::model::ReplicaState,
    store::{AuditRow, ReplicaRow, UnixMs},
};

/// What happened between two looks.
#[derive(Clone, Debug, Default)]
pub(in crate::admin) struct Tick {
    /// Changes of the policy, one by one.
    pub(in crate::admin) policy: Vec<AuditRow>,
    /// Admissions, refusals and ends, counted.
    pub(in crate::admin) sessions: BTreeMap<SessionCount, u64>,
    /// Failed logins.
    pub(in crate::admin) access: Vec<AuditRow>,
    /// Replicas whose state or policy is another.
    pub(in crate::admin) replicas: Vec<(ReplicaRow, ReplicaState)>,
    /// How far the audit was read.
    pub(in crate::admin) place: Place,
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::admin) struct SessionCount {
    /// None where it is not known whose enclave it was.
    pub(in crate::admin) workload: Option<String>,
    pub(in crate::admin) kind: String,
    pub(in crate::admin) code: String,
}

impl Tick {
    /// Puts a row of the audit where it belongs.
    pub(super) fn take(&mut self, row: AuditRow) {
        self.place.read(&row.chain, row.seq);
        match &*row.event.kind {
            "policy" => self.policy.push(row),
            "access" => self.access.push(row),
            _ => {
                let count = SessionCount {
                    workload: row.event.workload,
                    kind: row.event.kind.into_owned(),
                    code: row.event.code.into_owned(),
                };
                *self.sessions.entry(count).or_default() += 1;
            }
        }
    }

    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self) -> bool {
        let Self { policy, sessions, access, replicas, place: _ } = self;
        policy.is_empty() && sessions.is_empty() && access.is_empty() && replicas.is_empty()
    }
}

/// What was last told of each replica.
#[derive(Default)]
pub(super) struct Told(BTreeMap<[u8; 16], (ReplicaState, u64)>);

impl Told {
    /// Those that are not as they were. The first look tells nothing.
    pub(super) fn news(&mut self, rows: Vec<ReplicaRow>, now: UnixMs) -> Vec<(ReplicaRow, ReplicaState)> {
        let first = self.0.is_empty();
        let is: BTreeMap<_, _> =
            rows.iter().map(|row| (row.id, (ReplicaState::of(row, now), row.epoch.0))).collect();
        let was = std::mem::replace(&mut self.0, is);
        let news = rows.into_iter().filter_map(|row| {
            let (state, epoch) = self.0.get(&row.id).copied()?;
            (!first && was.get(&row.id) != Some(&(state, epoch))).then_some((row, state))
        });
        news.collect()
    }
}
