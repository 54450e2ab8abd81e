use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::Path,
    str::FromStr,
    time::Duration,
};

use countersign_protocol::{Deployment, Host, Lease, LeaseBounds, wire};
use toml::Spanned;

use super::{
    Config, DocumentWindow, Listen, LogFormat, ReplicaName, admin, files, limits,
    mistake::Collector,
    raw::{Raw, RawDocument, RawLease, RawListen, RawLog},
    session_ca, store, sts, telemetry, trust, workloads,
};
use crate::proxy_protocol::LoadBalancers;

/// What the words mean. `None` when something that has no default is missing;
/// whatever is wrong stands in `found`.
pub(super) fn check(raw: Raw, directory: &Path, found: &Collector) -> Option<Config> {
    let Raw {
        deployment,
        state_directory,
        workers,
        drain_seconds,
        listen,
        tls,
        trust,
        session_ca,
        document,
        lease,
        limits,
        audit,
        store,
        replica_name,
        admin,
        log,
        telemetry,
        hosts,
        sts,
        workloads,
        span,
    } = raw;
    let deployment = deployment_name(deployment, span.clone(), found);
    if state_directory.is_none() {
        found.note(span, "state_directory", NO_STATE_DIRECTORY);
    }
    let lease_bounds = lease_bounds(lease, "lease", LeaseBounds::default(), found);
    let listen = ports(listen, found);
    let identity = files::identity(tls, "tls", directory, found);
    let trust = trust::trust(trust, directory, found);
    let session_root = session_ca::session_root(session_ca, directory, found);
    let window = window(document, found);
    let limits = limits::limits(limits, found);
    let audit = limits::audit(audit, found);
    let (store, when_stale) = store::place(store, directory, found);
    let replica_name = replica_name.and_then(|name| parse::<ReplicaName>(&name, "replica.name", found));
    let admin = admin::admin(admin, directory, found);
    let log = log_format(log, found);
    let telemetry = telemetry::telemetry(telemetry, directory, found);
    let hosts = static_hosts(hosts, found);
    let workers = workers.map(|value| limits::number(Some(value), "workers", 1..=1024, 1, found) as usize);
    let drain = Duration::from_secs(limits::number(drain_seconds, "drain_seconds", 0..=3600, 30, found));
    let sts = sts::sts(sts, directory, found);
    let workloads = workloads::workloads(workloads, lease_bounds, directory, found);
    Some(Config {
        deployment: deployment?,
        state_directory: directory.join(state_directory?.get_ref()),
        listen,
        identity: identity?,
        trust: trust?,
        session_root: session_root?,
        window,
        lease_bounds,
        limits,
        audit,
        store,
        when_stale,
        replica_name,
        admin,
        log,
        telemetry,
        hosts,
        workers,
        drain,
        sts,
        workloads,
    })
}

/// Parses a text; what it is not is noted.
pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(
    value: &Spanned<String>,
    field: &str,
    found: &Collector,
) -> Option<T> {
    match value.get_ref().parse() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            found.note(value.span(), field, format!("{error}; found \"{}\"", value.get_ref()));
            None
        }
    }
}

/// Lease bounds that lie inside `outer`.
pub(super) fn lease_bounds(raw: RawLease, path: &str, outer: LeaseBounds, found: &Collector) -> LeaseBounds {
    let RawLease { min_seconds, max_seconds } = raw;
    let range = outer.min().as_secs()..=outer.max().as_secs();
    let span = max_seconds.as_ref().or(min_seconds.as_ref()).map(Spanned::span).unwrap_or_default();
    let pick = |value, field: &str, default: Lease| {
        let seconds =
            limits::number(value, &format!("{path}.{field}"), range.clone(), default.as_secs(), found);
        Lease::from_secs(seconds).unwrap_or(default)
    };
    let min = pick(min_seconds, "min_seconds", outer.min());
    let max = pick(max_seconds, "max_seconds", outer.max());
    LeaseBounds::new(min, max).unwrap_or_else(|error| {
        found.note(span, path, error.to_string());
        outer
    })
}

pub(super) const NO_STATE_DIRECTORY: &str =
    "missing; a directory for the store and the session CA, as \"/var/lib/countersign\"";

pub(super) fn deployment_name(
    value: Option<Spanned<String>>,
    span: Range<usize>,
    found: &Collector,
) -> Option<Deployment> {
    match value {
        Some(value) => parse(&value, "deployment", found),
        None => {
            found.note(span, "deployment", "missing; the name of this installation, as \"prod-eu\"");
            None
        }
    }
}

fn ports(raw: RawListen, found: &Collector) -> Listen {
    let RawListen { attestation, gateway, proxy_protocol_from } = raw;
    let address = |value: Option<Spanned<String>>, field, port| {
        let default = SocketAddr::from(([0, 0, 0, 0], port));
        let Some(value) = value else { return default };
        value.get_ref().parse().unwrap_or_else(|_| {
            let message =
                format!("expected an address and a port, as \"{default}\"; found \"{}\"", value.get_ref());
            found.note(value.span(), field, message);
            default
        })
    };
    let both = gateway.as_ref().map(Spanned::span);
    let listen = Listen {
        attestation: address(attestation, "listen.attestation", wire::ATTESTATION_PORT),
        gateway: address(gateway, "listen.gateway", wire::GATEWAY_PORT),
        load_balancers: load_balancers(&proxy_protocol_from.unwrap_or_default(), found),
    };
    if listen.attestation == listen.gateway && listen.gateway.port() != 0 {
        let message =
            format!("expected another port than listen.attestation; found {} for both", listen.gateway);
        found.note(both.unwrap_or_default(), "listen.gateway", message);
    }
    listen
}

fn load_balancers(networks: &[Spanned<String>], found: &Collector) -> LoadBalancers {
    const FIELD: &str = "listen.proxy_protocol_from";
    let span = networks.first().map(Spanned::span).unwrap_or_default();
    let networks = workloads::networks(networks, FIELD, found);
    LoadBalancers::new(networks).unwrap_or_else(|error| {
        found.note(span, FIELD, error.to_string());
        LoadBalancers::default()
    })
}

fn window(raw: RawDocument, found: &Collector) -> DocumentWindow {
    let RawDocument { max_age_seconds, max_ahead_seconds } = raw;
    // An enclave asks its NSM after the challenge, and the nonce lives ten
    // seconds: older than that only when the clocks differ.
    let past = limits::number(max_age_seconds, "document.max_age_seconds", 10..=300, 60, found);
    let future = limits::number(max_ahead_seconds, "document.max_ahead_seconds", 0..=300, 10, found);
    DocumentWindow { past: Duration::from_secs(past), future: Duration::from_secs(future) }
}

fn log_format(raw: RawLog, found: &Collector) -> LogFormat {
    let RawLog { format } = raw;
    match format.as_ref().map(|format| format.get_ref().as_str()) {
        None | Some("json") => LogFormat::Json,
        Some("text") => LogFormat::Text,
        Some(other) => {
            let message = format!("expected \"json\" or \"text\"; found \"{other}\"");
            found.note(format.as_ref().map(Spanned::span).unwrap_or_default(), "log.format", message);
            LogFormat::Json
        }
    }
}

fn static_hosts(
    raw: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
    found: &Collector,
) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts = HashMap::with_capacity(raw.len());
    for (name, addresses) in raw {
        let field = format!("hosts.{}", name.get_ref());
        let list: Vec<IpAddr> = addresses
            .iter()
            .filter_map(|address| {
                let parsed = address.get_ref().parse().ok();
                if parsed.is_none() {
                    let message = format!("expected an IP address; found \"{}\"", address.get_ref());
                    found.note(address.span(), field.clone(), message);
                }
                parsed
            })
            .collect();
        match name.get_ref().parse() {
            Ok(Host::Name(normal)) => drop(hosts.insert(normal.into(), list)),
            Ok(Host::Address(_)) => found.note(name.span(), field, "expected a name; found an address"),
            Err(error) => found.note(name.span(), field, error.to_string()),
        }
    }
    hosts
}
