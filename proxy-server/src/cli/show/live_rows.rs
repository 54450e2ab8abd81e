//! What tables show of who is there and what happened.

use serde::Deserialize;

use super::{Cell, Row, Stamp, left};
use crate::store::UnixMs;

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

    use super::{super::row::tests::row, *};

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
