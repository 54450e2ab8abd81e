use std::{
    collections::HashMap, fmt, net::IpAddr, num::NonZeroU64, ops::RangeInclusive, path::Path, str::FromStr,
};

use countersign_protocol::{Destination, LeaseBounds};
use countersign_verifier::{Measurement, Pcr, PcrIndex, PcrSet};
use ipnet::IpNet;
use toml::Spanned;

use super::{
    check::{lease_bounds, parse},
    files, limits,
    mistake::Collector,
    raw::{RawMeasurement, RawPcrs, RawWorkload},
};
use crate::policy::{Limits, Workload, WorkloadName, check_name};

/// A workload and the measurements that lead to it, as the file has them.
#[derive(Clone, Debug)]
pub struct WorkloadSpec {
    /// The rules.
    pub workload: Workload,
    /// At least none: a workload without measurements admits nobody.
    pub measurements: Vec<MeasurementSpec>,
}

/// One measurement of a workload, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementSpec {
    /// Unique in its workload.
    pub name: String,
    /// For people: a release, a commit.
    pub version: Option<String>,
    /// PCR0, 1 and 2, and any others.
    pub pcrs: PcrSet,
    /// What it is worth.
    pub state: MeasurementState,
}

/// What a measurement is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasurementState {
    /// Known, and admits nobody yet.
    Pending,
    /// Admits.
    Active,
    /// Refuses whatever matches it, for good.
    Revoked,
}

impl MeasurementState {
    /// The word in the file and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for MeasurementState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MeasurementState {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Pending, Self::Active, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or("expected \"pending\", \"active\" or \"revoked\"")
    }
}

pub(super) fn workloads(
    raw: Vec<RawWorkload>,
    bounds: LeaseBounds,
    directory: &Path,
    found: &Collector,
) -> Vec<WorkloadSpec> {
    let mut seen = HashMap::new();
    let mut specs = Vec::with_capacity(raw.len());
    let mut placed = Vec::new();
    for raw in raw {
        let RawWorkload {
            path,
            span,
            name,
            destinations,
            addresses,
            lease,
            max_sessions,
            max_tunnels_per_session,
            max_bytes_per_second,
            measurements,
        } = raw;
        let field = |key: &str| format!("{path}.{key}");
        let Some(name) = name else {
            found.note(span, field("name"), "missing; the workload's name, as \"payments\"");
            continue;
        };
        if let Some(first) = seen.insert(name.get_ref().clone(), path.clone()) {
            let message =
                format!("expected a name of its own; found \"{}\", which {first} has", name.get_ref());
            found.note(name.span(), field("name"), message);
        }
        let default = Limits::default();
        let pick = |value, key: &str, default: u32| {
            limits::number(value, &field(key), 1..=10_000_000, default.into(), found) as u32
        };
        let measurements = measurements_of(measurements, &path, directory, &mut placed, found);
        let destinations = destinations.unwrap_or_default();
        let addresses = addresses.unwrap_or_default();
        let parsed_name = parse::<WorkloadName>(&name, &field("name"), found);
        // Each part is looked at, whatever is wrong with the others.
        let destinations = items::<Destination>(&destinations, &field("destinations"), found).collect();
        let addresses = networks(&addresses, &field("addresses"), found);
        let lease_bounds = lease_bounds(lease, &field("lease"), bounds, found);
        let limits = Limits {
            max_sessions: pick(max_sessions, "limits.max_sessions", default.max_sessions),
            max_tunnels_per_session: pick(
                max_tunnels_per_session,
                "limits.max_tunnels_per_session",
                default.max_tunnels_per_session,
            ),
            max_bytes_per_second: max_bytes_per_second.and_then(|value| {
                let field = field("limits.max_bytes_per_second");
                NonZeroU64::new(limits::number(Some(value), &field, BYTES_PER_SECOND, 0, found))
            }),
        };
        if let Some(name) = parsed_name {
            let workload = Workload { name, destinations, addresses, lease_bounds, limits };
            specs.push(WorkloadSpec { workload, measurements });
        }
    }
    specs
}

fn items<T: FromStr<Err: fmt::Display>>(
    values: &[Spanned<String>],
    field: &str,
    found: &Collector,
) -> impl Iterator<Item = T> {
    values
        .iter()
        .enumerate()
        .filter_map(move |(index, value)| parse(value, &format!("{field}[{index}]"), found))
}

/// Networks, or single addresses.
pub(super) fn networks(values: &[Spanned<String>], field: &str, found: &Collector) -> Vec<IpNet> {
    let network = |(index, value): (usize, &Spanned<String>)| {
        let text = value.get_ref();
        let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().map(IpNet::from).ok());
        if parsed.is_none() {
            let message = format!("expected an address or a network, as \"127.0.0.0/8\"; found \"{text}\"");
            found.note(value.span(), format!("{field}[{index}]"), message);
        }
        parsed
    };
    values.iter().enumerate().filter_map(network).collect()
}

/// Below this a single record would take longer than anybody waits; above it
/// lies what no machine moves.
pub(crate) const BYTES_PER_SECOND: RangeInclusive<u64> = 65_536..=1_000_000_000_000;

/// Measurements seen so far: one enclave must not fit two workloads.
type Placed = Vec<(PcrSet, String, usize)>;

fn measurements_of(
    raw: Vec<RawMeasurement>,
    workload: &str,
    directory: &Path,
    placed: &mut Placed,
    found: &Collector,
) -> Vec<MeasurementSpec> {
    let mut specs: Vec<MeasurementSpec> = Vec::with_capacity(raw.len());
    let here = placed.len();
    for raw in raw {
        let RawMeasurement { path, span, name, version, state, file, pcrs } = raw;
        let field = |key: &str| format!("{path}.{key}");
        if name.is_none() {
            found.note(span.clone(), field("name"), "missing; the measurement's name, as \"v1.2\"");
        }
        let state = match &state {
            Some(state) => parse(state, &field("state"), found).unwrap_or(MeasurementState::Revoked),
            None => MeasurementState::Active,
        };
        let pcrs = values(file, pcrs, &path, span.clone(), directory, found);
        let (Some(name), Some(pcrs)) = (name, pcrs) else { continue };
        if let Err(error) = check_name(name.get_ref()) {
            found.note(name.span(), field("name"), format!("{error}; found \"{}\"", name.get_ref()));
        }
        if specs.iter().any(|spec| spec.name == *name.get_ref()) {
            let message =
                format!("expected a name of its own; found \"{}\" twice in {workload}", name.get_ref());
            found.note(name.span(), field("name"), message);
        }
        let clash = placed.iter().find(|(other, _, group)| *group != here && overlap(other, &pcrs));
        if let Some((_, other, _)) = clash {
            let message =
                format!("expected PCRs that tell it from {other}; an enclave could match both workloads");
            found.note(span, path.clone(), message);
        }
        placed.push((pcrs.clone(), path, here));
        specs.push(MeasurementSpec {
            name: name.into_inner(),
            version: version.map(Spanned::into_inner),
            pcrs,
            state,
        });
    }
    specs
}

/// Whether one enclave could match both: no PCR that both name differs.
fn overlap(a: &PcrSet, b: &PcrSet) -> bool {
    a.iter().all(|(index, value)| b.get(index).is_none_or(|other| other == value))
}

fn values(
    file: Option<Spanned<String>>,
    pcrs: Option<RawPcrs>,
    path: &str,
    span: std::ops::Range<usize>,
    directory: &Path,
    found: &Collector,
) -> Option<PcrSet> {
    let (measurement, span, field) = match (file, pcrs) {
        (Some(file), None) => {
            let field = format!("{path}.file");
            let json = files::read(&file, &field, directory, found)?;
            (Measurement::from_json("", &json), file.span(), field)
        }
        (None, Some(pcrs)) => {
            let field = format!("{path}.pcrs");
            let span = pcrs.span.clone();
            (Measurement::new("", entries(pcrs, &field, found)?), span, field)
        }
        (Some(file), Some(_)) => {
            found.note(file.span(), format!("{path}.file"), "expected either file or pcrs; found both");
            return None;
        }
        (None, None) => {
            let message =
                "missing; write pcrs = { 0 = \"…\", 1 = \"…\", 2 = \"…\" } or file = \"describe-eif.json\"";
            found.note(span, format!("{path}.pcrs"), message);
            return None;
        }
    };
    let measurement =
        measurement.map_err(|error| found.note(span.clone(), field.clone(), error.to_string())).ok()?;
    let mut set = PcrSet::EMPTY;
    for (index, value) in measurement.pcrs() {
        // A measurement has one value for each index, so this cannot be one too many.
        let _ = set.insert(index, *value);
    }
    if set.is_debug() {
        let message = "expected the PCRs of an image; found zeros in PCR0, 1 and 2, which is what any enclave \
                       in debug mode has";
        found.note(span, field, message);
        return None;
    }
    Some(set)
}

fn entries(pcrs: RawPcrs, field: &str, found: &Collector) -> Option<Vec<(PcrIndex, Pcr)>> {
    let mut all = Vec::with_capacity(pcrs.entries.len());
    let count = pcrs.entries.len();
    for (key, texts) in pcrs.entries {
        let Some(index) = index(key.get_ref()) else {
            let message = format!("expected 0 to 31 (or pcr0 to pcr31); found \"{}\"", key.get_ref());
            found.note(key.span(), field, message);
            continue;
        };
        let field = format!("{field}.{}", key.get_ref());
        match texts.as_slice() {
            [text] => all.extend(parse::<Pcr>(text, &field, found).map(|value| (index, value))),
            _ => found.note(key.span(), field, "expected one text of 96 hexadecimal digits"),
        }
    }
    // Something above was noted already: "PCR1 is missing" would be noise.
    (all.len() == count).then_some(all)
}

fn index(key: &str) -> Option<PcrIndex> {
    let digits = key.strip_prefix("pcr").or_else(|| key.strip_prefix("PCR")).unwrap_or(key);
    let plain = !digits.is_empty() && digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok().and_then(PcrIndex::new) } else { None }
}
