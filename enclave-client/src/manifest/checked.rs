//! What the manifest means.

use std::{num::NonZeroU16, path::PathBuf};

use countersign_protocol::egress::{EgressPolicy, Rule};

use super::{
    Files, IngressEntry, KmsEntry, Mistake, PeerEntry, PeerPort, ProxyEntry, TelemetryEntry, ingress,
    node::{At, Place},
    outbound::Connections,
    peers, ports, raw,
    rules::{self, Rules},
};

/// A manifest without a mistake.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Port of the local HTTP proxy; 0: any free one.
    pub proxy_port: u16,
    /// One for each proxy, whatever the number of connections through it.
    pub proxies: Vec<ProxyEntry>,
    /// What may leave: every destination of `outboundConnections`, `egress.allow`, `egress.deny`.
    pub rules: Vec<Rule>,
    /// What may enter.
    pub ingress: Vec<IngressEntry>,
    /// Peer enclaves that may be called. One whose configuration nothing pins is not here: a rule denies it.
    pub peers: Vec<PeerEntry>,
    /// Where peer enclaves call.
    pub peer_ports: Vec<PeerPort>,
    /// Where ConfigMaps are mounted, where somebody said it.
    pub config_maps: Option<PathBuf>,
    /// What people call the enclave.
    pub name: Option<String>,
    /// The local KMS endpoint.
    pub kms: Option<KmsEntry>,
    /// The collector that this program tells of itself.
    pub telemetry: Option<TelemetryEntry>,
    /// What is in order and yet does not do what its words say, in the order of the file:
    /// words without effect, entries that a deny rule makes unreachable.
    pub warnings: Vec<Mistake>,
}

/// Everything that is right; the rest is in `mistakes`.
pub(super) fn check(raw: &raw::Manifest, files: &Files<'_>, mistakes: &mut Vec<Mistake>) -> Manifest {
    let mut connections = Connections::default();
    for one in &raw.outbound {
        connections.add(one, files, mistakes);
    }
    let Connections { proxies, peers, rules, mut warnings, .. } = connections;
    let rules = Rules { exact: rules, listed: rules::check(&raw.egress, mistakes) };
    warnings.extend(raw.without_effect.iter().cloned());
    // A policy is made once more where the manifest is put to use; here it must be possible.
    let mut telemetry = None;
    match EgressPolicy::new(rules.to_vec()) {
        Ok(policy) => {
            warnings.extend(rules.unreachable(&policy));
            let written = raw.telemetry.as_ref();
            telemetry = written.and_then(|written| TelemetryEntry::check(written, &policy, files, mistakes));
        }
        Err(why) => mistakes.push(Place::START.mistake("", why.to_string())),
    }
    warnings.sort_by_key(|warning| (warning.line, warning.column));
    let kms = raw.kms.as_ref().and_then(|kms| KmsEntry::check(kms, proxies.len(), files, mistakes));
    Manifest {
        proxy_port: ports::proxy_port(raw, mistakes),
        proxies,
        rules: rules.to_vec(),
        ingress: ingress::check(&raw.ingress, mistakes),
        peers,
        peer_ports: peers::ports(&raw.peers, &raw.ingress, files, mistakes),
        config_maps: None,
        name: raw.name.clone(),
        kms,
        telemetry,
        warnings,
    }
}

/// A port; what is none was noted by its field's bounds.
pub(super) fn port(number: Option<&At<u64>>) -> Option<NonZeroU16> {
    number.and_then(|number| u16::try_from(number.value).ok()).and_then(NonZeroU16::new)
}

/// A text as what it should be, or a mistake.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &At<String>,
    path: impl Into<String>,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    text.value.parse().map_err(|why: T::Err| mistakes.push(text.place.mistake(path, why.to_string()))).ok()
}
