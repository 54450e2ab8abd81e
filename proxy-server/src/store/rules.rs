//! The texts in which policy values stand in the store.

use std::num::NonZeroU64;

use countersign_protocol::{Lease, LeaseBounds};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};
use serde::{Deserialize, Serialize};

use super::StoreError;
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

pub(super) fn rules_text(workload: &Workload) -> Result<String, StoreError> {
    let Workload { name, destinations, addresses, lease_bounds, limits } = workload;
    let mut rules = Rules {
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
    serde_json::to_string(&rules).map_err(|error| corrupt("workload", name.as_str(), error))
}

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

pub(super) fn corrupt(table: &str, key: &str, reason: impl ToString) -> StoreError {
    StoreError::Corrupt { row: format!("{table} {key}"), reason: reason.to_string() }
}
