use countersign_verifier::PcrSet;

use super::state::Key;
use crate::{
    config::MeasurementState,
    store::{
        Committed,
        sql::{
            change::lock::PolicyChange,
            connection::Failure,
            policy::{Burial, bury, forget_sessions},
        },
        texts::pcrs_text,
    },
};

/// One difference between the file and the store.
pub(super) enum Step<'a> {
    PutWorkload { name: &'a str, rules: &'a str, from_api: bool },
    RemoveWorkload { name: &'a str },
    PutMeasurement { key: Key<'a>, version: Option<&'a str>, pcrs: &'a PcrSet, state: MeasurementState },
    AdoptMeasurement { key: Key<'a>, version: Option<&'a str> },
    SetVersion { key: Key<'a>, version: Option<&'a str> },
    RemoveMeasurement { key: Key<'a> },
}

impl Step<'_> {
    pub(super) async fn apply(&self, change: &mut PolicyChange, committed: Committed) -> Result<(), Failure> {
        let epoch = committed.epoch;
        match *self {
            Self::PutWorkload { name, rules, .. } => {
                let values = [name.into(), rules.into(), epoch.into()];
                change.transaction.execute(PUT_WORKLOAD, &values).await?;
            }
            Self::RemoveWorkload { name } => {
                forget_sessions(change, name, None).await?;
                change.transaction.execute(REMOVE_WORKLOAD, &[name.into(), epoch.into()]).await?;
            }
            Self::PutMeasurement { key: (workload, name), version, pcrs, state } => {
                forget_sessions(change, workload, Some(name)).await?;
                let text = pcrs_text(pcrs);
                let values = [
                    workload.into(),
                    name.into(),
                    version.into(),
                    text.as_str().into(),
                    state.as_str().into(),
                    committed.at.into(),
                    epoch.into(),
                ];
                change.transaction.execute(PUT_MEASUREMENT, &values).await?;
                if state == MeasurementState::Revoked {
                    let reason = Some("revoked in the configuration");
                    let burial = Burial { pcrs, name: (workload, name), author: None, reason };
                    bury(change, burial).await?;
                }
            }
            Self::AdoptMeasurement { key: (workload, name), version } => {
                let values = [workload.into(), name.into(), version.into()];
                change.transaction.execute(ADOPT, &values).await?;
            }
            Self::SetVersion { key: (workload, name), version } => {
                let values = [workload.into(), name.into(), version.into()];
                change.transaction.execute(SET_VERSION, &values).await?;
            }
            Self::RemoveMeasurement { key: (workload, name) } => {
                forget_sessions(change, workload, Some(name)).await?;
                let values = [workload.into(), name.into(), epoch.into()];
                change.transaction.execute(REMOVE_MEASUREMENT, &values).await?;
            }
        }
        Ok(())
    }

    /// For the audit and the log.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::PutWorkload { name, from_api: false, .. } => format!("workload {name} set"),
            Self::PutWorkload { name, from_api: true, .. } => {
                format!("workload {name} set, taken over from the API")
            }
            Self::RemoveWorkload { name } => format!("workload {name} removed"),
            Self::PutMeasurement { key: (workload, name), state, .. } => {
                format!("measurement {workload}/{name} {state}")
            }
            Self::AdoptMeasurement { key: (workload, name), .. } => {
                format!("measurement {workload}/{name} taken over from the API")
            }
            Self::SetVersion { key: (workload, name), .. } => {
                format!("measurement {workload}/{name} version set")
            }
            Self::RemoveMeasurement { key: (workload, name) } => {
                format!("measurement {workload}/{name} removed")
            }
        }
    }
}

const PUT_WORKLOAD: &str = "
INSERT INTO workload (name, origin, state, rules, revision, epoch) VALUES ($1, 'file', 'active', $2, 1, $3)
ON CONFLICT (name) DO UPDATE SET
    origin = 'file', state = 'active', rules = excluded.rules, epoch = excluded.epoch,
    pending_rules = NULL, pending_author = NULL, revision = workload.revision + 1";

const REMOVE_WORKLOAD: &str =
    "UPDATE workload SET state = 'revoked', epoch = $2, revision = revision + 1 WHERE name = $1";

const PUT_MEASUREMENT: &str = "
INSERT INTO measurement (workload, name, origin, version, pcrs, state, created_ms, revision, epoch)
VALUES ($1, $2, 'file', $3, $4, $5, $6, 1, $7)
ON CONFLICT (workload, name) DO UPDATE SET
    origin = 'file', version = excluded.version, labels = '{}', pcrs = excluded.pcrs, state = excluded.state,
    not_before_ms = NULL, expires_ms = NULL, author = NULL, pending_not_before_ms = NULL,
    pending_expires_ms = NULL, pending_author = NULL, revision = measurement.revision + 1,
    epoch = excluded.epoch";

/// Its PCRs and its state are what they were: its sessions stand.
const ADOPT: &str = "
UPDATE measurement SET origin = 'file', version = $3, labels = '{}', not_before_ms = NULL, expires_ms = NULL,
       author = NULL, pending_not_before_ms = NULL, pending_expires_ms = NULL, pending_author = NULL,
       revision = revision + 1
WHERE workload = $1 AND name = $2";

const SET_VERSION: &str = "
UPDATE measurement SET version = $3, revision = revision + 1 WHERE workload = $1 AND name = $2";

const REMOVE_MEASUREMENT: &str = "
UPDATE measurement SET state = 'revoked', epoch = $3, revision = revision + 1 WHERE workload = $1 AND name = $2";
