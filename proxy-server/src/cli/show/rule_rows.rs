//! What tables show of what is allowed.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Cell, Row, Stamp};
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::row::tests::row, *};

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
}
