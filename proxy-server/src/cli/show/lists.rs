//! What tables show of each kind of entry.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Cell, Row, Stamp, left};
use crate::store::UnixMs;

/// `workload list`.
#[derive(Deserialize)]
pub(in crate::cli) struct WorkloadRow {
    name: String,
    state: String,
    destinations: Vec<String>,
    limits: Limits,
    #[serde(default)]
    pending: Option<serde::de::IgnoredAny>,
    origin: String,
    revision: u64,
    epoch: u64,
}

#[derive(Deserialize)]
struct Limits {
    max_sessions: u32,
}

impl Row for WorkloadRow {
    const HEAD: &'static [&'static str] =
        &["WORKLOAD", "STATE", "DESTINATIONS", "SESSIONS", "WAITING", "KEPT BY", "REVISION", "EPOCH"];
    const NOUN: &'static str = "workloads";

    fn cells(self, _: UnixMs) -> Vec<Cell> {
        let destinations = match self.destinations.as_slice() {
            [] => "nowhere".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        vec![
            Cell::new(self.name),
            Cell::state(&self.state),
            Cell::new(destinations),
            Cell::new(self.limits.max_sessions.to_string()),
            self.pending.map_or_else(|| Cell::new("-"), |_| Cell::state("waiting")),
            Cell::new(self.origin),
            Cell::new(self.revision.to_string()),
            Cell::new(self.epoch.to_string()),
        ]
    }
}

/// `measurement list`.
#[derive(Deserialize)]
pub(in crate::cli) struct MeasurementRow {
    workload: String,
    name: String,
    state: String,
    pcrs: BTreeMap<String, String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    not_before: Option<Stamp>,
    #[serde(default)]
    expires: Option<Stamp>,
    epoch: u64,
}

impl Row for MeasurementRow {
    const HEAD: &'static [&'static str] = &["MEASUREMENT", "VERSION", "STATE", "EXPIRES", "EPOCH", "PCR0"];
    const NOUN: &'static str = "measurements";

    fn cells(self, now: UnixMs) -> Vec<Cell> {
        let expired = self.expires.as_ref().is_some_and(|at| at.is_past(now));
        let early = self.not_before.as_ref().is_some_and(|at| !at.is_past(now));
        let state = match (self.state.as_str(), expired, early) {
            ("active", true, _) => "expired",
            ("active", false, true) => "not yet",
            (state, ..) => state,
        };
        let pcr0 = self.pcrs.get("0").map(|value| value.chars().take(16).chain(['…']).collect::<String>());
        vec![
            Cell::new(format!("{}/{}", self.workload, self.name)),
            Cell::maybe(self.version),
            Cell::state(state),
            Cell::maybe(self.expires.map(|at| at.short())),
            Cell::new(self.epoch.to_string()),
            Cell::maybe(pcr0),
        ]
    }
}

/// `session list`.
#[derive(Deserialize)]
pub(in crate::cli) struct SessionRow {
    id: String,
    workload: String,
    measurement: String,
    lease_ends: Stamp,
    admitted: Stamp,
    epoch: u64,
    #[serde(default)]
    module_id: Option<String>,
}

impl Row for SessionRow {
    const HEAD: &'static [&'static str] =
        &["SESSION", "WORKLOAD", "MEASUREMENT", "LEASE LEFT", "ADMITTED", "EPOCH", "MODULE"];
    const NOUN: &'static str = "sessions";

    fn cells(self, now: UnixMs) -> Vec<Cell> {
        vec![
            Cell::new(self.id),
            Cell::new(self.workload),
            Cell::new(self.measurement),
            Cell::new(left(&self.lease_ends, now)),
            Cell::new(self.admitted.short()),
            Cell::new(self.epoch.to_string()),
            Cell::maybe(self.module_id),
        ]
    }
}

/// `token list`.
#[derive(Deserialize)]
pub(in crate::cli) struct TokenRow {
    pub(in crate::cli) id: String,
    pub(in crate::cli) name: String,
    roles: Vec<String>,
    #[serde(default)]
    workloads: Option<Vec<String>>,
    created_by: Vec<String>,
    expires: Stamp,
    #[serde(default)]
    last_used: Option<Stamp>,
    #[serde(default)]
    revoked: Option<Stamp>,
}

impl TokenRow {
    /// `live`, `expired` or `revoked`.
    pub(in crate::cli) fn state(&self, now: UnixMs) -> &'static str {
        match (&self.revoked, self.expires.is_past(now)) {
            (Some(_), _) => "revoked",
            (None, true) => "expired",
            (None, false) => "live",
        }
    }
}

impl Row for TokenRow {
    const HEAD: &'static [&'static str] =
        &["TOKEN", "NAME", "STATE", "ROLES", "WORKLOADS", "EXPIRES", "LAST USED", "MADE BY"];
    const NOUN: &'static str = "tokens";

    fn cells(self, now: UnixMs) -> Vec<Cell> {
        let state = Cell::state(self.state(now));
        vec![
            Cell::new(self.id),
            Cell::new(self.name),
            state,
            Cell::new(self.roles.join(",")),
            Cell::new(self.workloads.map_or_else(|| "all".to_owned(), |names| names.join(","))),
            Cell::new(self.expires.short()),
            Cell::maybe(self.last_used.map(|at| at.short())),
            Cell::maybe(self.created_by.into_iter().next()),
        ]
    }
}

/// `tombstone list`.
#[derive(Deserialize)]
pub(in crate::cli) struct TombstoneRow {
    pcrs: BTreeMap<String, String>,
    #[serde(default)]
    workload: Option<String>,
    #[serde(default)]
    measurement: Option<String>,
    epoch: u64,
    revoked: Stamp,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl Row for TombstoneRow {
    const HEAD: &'static [&'static str] = &["REVOKED AS", "PCRS", "PCR0", "REVOKED", "EPOCH", "BY", "REASON"];
    const NOUN: &'static str = "tombstones";

    fn cells(self, _: UnixMs) -> Vec<Cell> {
        let named = self.workload.zip(self.measurement);
        let mut indices: Vec<u8> = self.pcrs.keys().filter_map(|index| index.parse().ok()).collect();
        indices.sort_unstable();
        let indices: Vec<_> = indices.iter().map(ToString::to_string).collect();
        let pcr0 = self.pcrs.get("0").map(|value| value.chars().take(16).chain(['…']).collect::<String>());
        vec![
            Cell::maybe(named.map(|(workload, name)| format!("{workload}/{name}"))),
            Cell::new(indices.join(",")),
            Cell::maybe(pcr0),
            Cell::new(self.revoked.short()),
            Cell::new(self.epoch.to_string()),
            Cell::maybe(self.author),
            Cell::maybe(self.reason),
        ]
    }
}

/// `replica list`.
#[derive(Deserialize)]
pub(in crate::cli) struct ReplicaRow {
    id: String,
    name: String,
    state: String,
    seen: Stamp,
    epoch: u64,
    sessions: u64,
    tunnels: u64,
}

impl Row for ReplicaRow {
    const HEAD: &'static [&'static str] = &["REPLICA", "STATE", "EPOCH", "SESSIONS", "TUNNELS", "SEEN", "ID"];
    const NOUN: &'static str = "replicas";

    fn cells(self, _: UnixMs) -> Vec<Cell> {
        vec![
            Cell::new(self.name),
            Cell::state(&self.state),
            Cell::new(self.epoch.to_string()),
            Cell::new(self.sessions.to_string()),
            Cell::new(self.tunnels.to_string()),
            Cell::new(self.seen.short()),
            Cell::new(self.id),
        ]
    }
}

/// `audit list`.
#[derive(Deserialize)]
pub(in crate::cli) struct AuditRow {
    at: Stamp,
    kind: String,
    code: String,
    epoch: u64,
    #[serde(default)]
    workload: Option<String>,
    #[serde(default)]
    measurement: Option<String>,
    #[serde(default)]
    session: Option<String>,
    #[serde(default)]
    actor: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

impl Row for AuditRow {
    const HEAD: &'static [&'static str] = &["AT", "KIND", "CODE", "EPOCH", "WHAT", "SESSION", "BY", "DETAIL"];
    const NOUN: &'static str = "rows in the audit";

    fn cells(self, _: UnixMs) -> Vec<Cell> {
        let what = match (self.workload, self.measurement) {
            (Some(workload), Some(name)) => Some(format!("{workload}/{name}")),
            (workload, None) => workload,
            (None, name) => name,
        };
        vec![
            Cell::new(self.at.short()),
            Cell::new(self.kind),
            Cell::new(self.code),
            Cell::new(self.epoch.to_string()),
            Cell::maybe(what),
            Cell::maybe(self.session),
            Cell::maybe(self.actor),
            Cell::maybe(self.detail),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(cells: Vec<Cell>) -> Vec<String> {
        let text = |cell: &Cell| {
            let mut text = String::new();
            cell.write(super::super::Colours::No, &mut text);
            text
        };
        cells.iter().map(text).collect()
    }

    fn row<R: Row>(value: serde_json::Value) -> Vec<String> {
        let cells = serde_json::from_value::<R>(value).unwrap().cells(UnixMs(0));
        assert_eq!(cells.len(), R::HEAD.len());
        texts(cells)
    }

    #[test]
    fn a_measurement_out_of_its_time_says_so() {
        let state = |not_before: Option<&str>, expires: Option<&str>, state: &str| {
            row::<MeasurementRow>(json!({
                "workload": "payments", "name": "v1", "state": state, "pcrs": {"0": "ab".repeat(48)},
                "not_before": not_before, "expires": expires, "epoch": 3, "a field of tomorrow": [],
            }))[2]
                .clone()
        };
        let (past, future) = (Some("1970-01-01T00:00:00.000Z"), Some("1970-01-01T00:00:00.001Z"));
        assert_eq!(state(None, None, "active"), "active");
        assert_eq!(state(None, past, "active"), "expired");
        assert_eq!(state(future, None, "active"), "not yet");
        assert_eq!(state(past, future, "active"), "active");
        assert_eq!(state(None, past, "revoked"), "revoked");
    }

    #[test]
    fn a_token_says_whether_it_lives() {
        let state = |expires: &str, revoked: Option<&str>| {
            row::<TokenRow>(json!({
                "id": "00", "name": "n", "roles": ["admin"], "workloads": null, "created_by": ["local:root"],
                "expires": expires, "revoked": revoked,
            }))[2]
                .clone()
        };
        assert_eq!(state("1970-01-01T00:00:01Z", None), "live");
        assert_eq!(state("1970-01-01T00:00:00Z", None), "expired");
        assert_eq!(state("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00Z")), "revoked");
    }

    #[test]
    fn what_an_enclave_chose_is_shown_and_not_obeyed() {
        let cells = row::<SessionRow>(json!({
            "id": "0", "workload": "w", "measurement": "m", "lease_ends": "1970-01-01T00:00:09Z",
            "admitted": "1970-01-01T00:00:00.000Z", "epoch": 1, "module_id": "i-1\u{1b}]0;owned\u{7}",
        }));
        assert_eq!(cells[3], "9 s");
        assert_eq!(cells[6], "i-1\\u{1b}]0;owned\\u{7}");
    }
}
