//! The texts in which policy values stand in the store.

use std::num::NonZeroU64;

use countersign_protocol::{Lease, LeaseBounds};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{MeasurementRow, StoreError, TombstoneRow, UnixMs, WorkloadRow};
use crate::policy::{Limits, Workload};

/// A workload's rules as JSON. Lists are sorted: equal rules are equal texts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    destinations: Vec<String>,
    addresses: Vec<String>,
    lease_min_seconds: u64,
    lease_max_seconds: u64,
    max_sessions: u32,
    max_tunnels_per_session: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_bytes_per_second: Option<NonZeroU64>,
}

impl From<&Workload> for Rules {
    fn from(workload: &Workload) -> Self {
        let Workload { name: _, destinations, addresses, lease_bounds, limits } = workload;
        let mut rules = Self {
            destinations: destinations.iter().map(ToString::to_string).collect(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            lease_min_seconds: lease_bounds.min().as_secs(),
            lease_max_seconds: lease_bounds.max().as_secs(),
            max_sessions: limits.max_sessions,
            max_tunnels_per_session: limits.max_tunnels_per_session,
            max_bytes_per_second: limits.max_bytes_per_second,
        };
        rules.destinations.sort_unstable();
        rules.addresses.sort_unstable();
        rules
    }
}

/// A workload's rules: one text for equal rules.
pub(super) fn rules_text(workload: &Workload) -> Result<String, StoreError> {
    serde_json::to_string(&Rules::from(workload))
        .map_err(|error| corrupt("workload", workload.name.as_str(), error))
}

/// A workload from its name and its rules' text.
pub(super) fn workload(name: &str, rules: &str) -> Result<Workload, StoreError> {
    let bad = |error: String| corrupt("workload", name, error);
    let Rules {
        destinations,
        addresses,
        lease_min_seconds,
        lease_max_seconds,
        max_sessions,
        max_tunnels_per_session,
        max_bytes_per_second,
    } = serde_json::from_str(rules).map_err(|error| bad(error.to_string()))?;
    let lease = |seconds| Lease::from_secs(seconds).map_err(|error| bad(error.to_string()));
    let bounds = LeaseBounds::new(lease(lease_min_seconds)?, lease(lease_max_seconds)?);
    let destinations: Result<_, _> = destinations.iter().map(|text| text.parse()).collect();
    let addresses: Result<_, _> = addresses.iter().map(|text| text.parse()).collect();
    Ok(Workload {
        name: name.parse().map_err(|error: crate::policy::BadName| bad(error.to_string()))?,
        destinations: {
            let list: Vec<_> = destinations
                .map_err(|error: countersign_protocol::DestinationError| bad(error.to_string()))?;
            list.into_iter().collect()
        },
        addresses: addresses.map_err(|error: ipnet::AddrParseError| bad(error.to_string()))?,
        lease_bounds: bounds.map_err(|error| bad(error.to_string()))?,
        limits: Limits { max_sessions, max_tunnels_per_session, max_bytes_per_second },
    })
}

/// `0=<hex>,1=<hex>…`, lowest index first.
pub(super) fn pcrs_text(pcrs: &PcrSet) -> String {
    let texts: Vec<String> = pcrs.iter().map(|(index, value)| format!("{}={value}", index.get())).collect();
    texts.join(",")
}

pub(super) fn pcrs(text: &str, row: &str) -> Result<PcrSet, StoreError> {
    let mut set = PcrSet::EMPTY;
    for part in text.split(',') {
        let entry = part.split_once('=').and_then(|(index, value)| {
            let index = index.parse().ok().and_then(PcrIndex::new)?;
            Some((index, value.parse::<Pcr>().ok()?))
        });
        let inserted = entry.map(|(index, value)| set.insert(index, value));
        if inserted != Some(Ok(())) {
            return Err(corrupt("measurement", row, format!("\"{part}\" is no PCR")));
        }
    }
    Ok(set)
}

/// A workload for the audit.
pub(super) fn workload_json(row: &WorkloadRow) -> Value {
    let WorkloadRow { workload, pending, description, origin: _, revoked, reason, revision, epoch } = row;
    let rules = |workload: &Workload| serde_json::to_value(Rules::from(workload)).unwrap_or_default();
    json!({
        "name": workload.name.as_str(),
        "description": description,
        "revoked": revoked,
        "reason": reason,
        "rules": rules(workload),
        "pending": pending.as_ref().map(|(rules_, author, _)| json!({ "rules": rules(rules_), "author": author })),
        "revision": revision,
        "epoch": epoch.0,
    })
}

/// A measurement for the audit.
pub(super) fn measurement_json(row: &MeasurementRow) -> Value {
    let MeasurementRow {
        workload,
        name,
        origin: _,
        version,
        labels,
        pcrs,
        state,
        not_before,
        expires,
        author,
        pending,
        approvers,
        created: _,
        revision,
        epoch,
        reason,
    } = row;
    let ms = |time: &Option<UnixMs>| time.map(|time| time.0);
    json!({
        "workload": workload,
        "name": name,
        "version": version,
        "labels": labels,
        "pcrs": pcrs_json(pcrs),
        "state": state.as_str(),
        "not_before_ms": ms(not_before),
        "expires_ms": ms(expires),
        "author": author,
        "pending": pending.as_ref().map(|pending| json!({
            "not_before_ms": ms(&pending.not_before), "expires_ms": ms(&pending.expires), "author": pending.author,
        })),
        "approvers": approvers,
        "revision": revision,
        "epoch": epoch.0,
        "reason": reason,
    })
}

/// A tombstone for the audit.
pub(super) fn tombstone_json(row: &TombstoneRow) -> Value {
    let TombstoneRow { pcrs, workload, measurement, epoch, revoked, author, reason } = row;
    json!({
        "pcrs": pcrs_json(pcrs),
        "workload": workload,
        "measurement": measurement,
        "epoch": epoch.0,
        "revoked_ms": revoked.0,
        "author": author,
        "reason": reason,
    })
}

fn pcrs_json(pcrs: &PcrSet) -> Value {
    pcrs.iter().map(|(index, value)| (index.get().to_string(), Value::from(value.to_string()))).collect()
}

pub(super) fn corrupt(table: &str, key: &str, reason: impl ToString) -> StoreError {
    StoreError::Corrupt { row: format!("{table} {key}"), reason: reason.to_string() }
}
