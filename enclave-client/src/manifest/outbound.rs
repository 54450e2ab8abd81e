//! `outboundConnections`: destinations, the proxies before some of them, and peers.

use std::{collections::HashMap, num::NonZeroU16, path::Path};

use countersign_protocol::{
    Deployment, Destination, Host, Interval,
    egress::{Action, Rule, Target},
    wire,
};

use super::{
    Files, Mistake, PeerEntry, PeerSource, ProxyEntry,
    checked::{parsed, port},
    config_map,
    node::Place,
    peers::{self, NO_PIN, Pinned},
    raw::{self, Fqdn, OutboundKind},
    rules::Written,
};
use crate::{tls::Anchors, transport::Dial};

/// Gathers the entries of every list.
#[derive(Default)]
pub(super) struct Connections {
    pub(super) proxies: Vec<ProxyEntry>,
    pub(super) peers: Vec<PeerEntry>,
    pub(super) rules: Vec<(Written, Destination, Rule)>,
    pub(super) warnings: Vec<Mistake>,
    keys: Vec<Key>,
    named: HashMap<Destination, Named>,
}

/// An entry that was seen before.
struct Named {
    line: u64,
    list: String,
    way: Way,
}

/// How a destination is reached. Two entries for one destination must agree.
#[derive(Clone, PartialEq, Eq)]
enum Way {
    Direct,
    Proxy(Key, Interval),
    /// With the key of the proxy that its bytes go through.
    Peer(PeerSource, Interval, Option<Key>),
    /// A peer that nothing says the truth about.
    UnpinnedPeer,
}

/// What makes two connections go through the same proxy.
type Key = (Host, Dial, Dial, Option<Vec<u8>>, Option<Deployment>);

impl Connections {
    /// Takes an entry in, or notes what is wrong with it.
    pub(super) fn add(&mut self, raw: &raw::Outbound, files: &Files<'_>, mistakes: &mut Vec<Mistake>) {
        let destination = destination(raw, files, mistakes);
        let (way, proxy) = match &raw.kind {
            OutboundKind::Unknown => return,
            OutboundKind::Default => (Some(Way::Direct), None),
            OutboundKind::Enclave(peer) => Self::peer(raw, peer, files, mistakes),
            OutboundKind::Proxy(proxy) => match ProxyEntry::check(raw, proxy, files, mistakes) {
                Some((key, entry)) => (Some(Way::Proxy(key, entry.interval)), Some(entry)),
                None => (None, None),
            },
        };
        let (Some(destination), Some(way)) = (destination, way) else { return };
        if let Some(redirects) = raw.redirects.as_ref().filter(|redirects| redirects.value) {
            let message = "grants nothing: list what is redirected to as entries of their own";
            self.warnings.push(redirects.place.mistake(format!("{}.redirects", raw.path), message));
        }
        if let Some(before) = self.named.get(&destination) {
            // Two plugins may name one destination, if both mean the same by it.
            if before.list == raw.list || before.way != way {
                let line = before.line;
                let other = if before.way == way { "" } else { ", with another meaning" };
                let message = format!("{destination} stands at line {line} already{other}");
                mistakes.push(raw.place.mistake(&raw.path, message));
            }
            return;
        }
        let named = Named { line: raw.place.line, list: raw.list.clone(), way: way.clone() };
        self.named.insert(destination.clone(), named);
        self.allow(raw, &destination, &way);
        match (way, proxy) {
            (Way::Proxy(key, _), Some(entry)) => self.add_proxy(key, entry, destination),
            (Way::Peer(source, interval, key), entry) => {
                self.peers.push(PeerEntry { destination: destination.clone(), source, interval });
                if let (Some(key), Some(entry)) = (key, entry) {
                    self.add_proxy(key, entry, destination);
                }
            }
            _ => {}
        }
    }

    /// A peer, and the proxy that its bytes go through where it names one.
    fn peer(
        raw: &raw::Outbound,
        peer: &raw::Peer,
        files: &Files<'_>,
        mistakes: &mut Vec<Mistake>,
    ) -> (Option<Way>, Option<ProxyEntry>) {
        let raw::Peer { config, proxy } = peer;
        // Both are looked at before either ends it: all mistakes are told at once.
        let source = peers::check(config, files, mistakes);
        let through = match &proxy.url {
            Some(_) => ProxyEntry::check(raw, proxy, files, mistakes).map(Some),
            None => {
                let message = "is about a proxy, and this entry has no proxyUrl";
                mistakes.extend(proxy.without_url().map(|place| place.mistake(&raw.path, message)));
                Some(None)
            }
        };
        let (Some(source), Some(through)) = (source, through) else { return (None, None) };
        let (key, entry) = through.unzip();
        match source {
            Pinned::ByNothing => (Some(Way::UnpinnedPeer), None),
            Pinned::By(source) => (Some(Way::Peer(source, peers::interval(config), key)), entry),
        }
    }

    fn add_proxy(&mut self, key: Key, mut entry: ProxyEntry, destination: Destination) {
        let known = self.keys.iter().position(|known| *known == key);
        match known.and_then(|index| self.proxies.get_mut(index)) {
            Some(known) => {
                known.interval = known.interval.min(entry.interval);
                known.destinations.push(destination);
            }
            None => {
                entry.destinations.push(destination);
                self.keys.push(key);
                self.proxies.push(entry);
            }
        }
    }

    /// A peer that nothing pins is denied, so that no pattern of `egress.allow` lets anybody take an unattested way to it.
    fn allow(&mut self, raw: &raw::Outbound, destination: &Destination, way: &Way) {
        let written = Written { path: raw.path.clone(), place: raw.place };
        let (action, origin) = match way {
            Way::Direct | Way::Proxy(..) | Way::Peer(..) => (Action::Allow, written.origin()),
            Way::UnpinnedPeer => (Action::Deny, format!("{}, {UNPINNED}", written.origin()).into_boxed_str()),
        };
        let Some(target) = target(destination.host()) else { return };
        let rule = Rule { action, target, ports: destination.port().into(), origin };
        if matches!(way, Way::UnpinnedPeer) {
            let message = format!("{destination} cannot be reached: {NO_PIN}");
            self.warnings.push(raw.place.mistake(&raw.path, message));
        }
        self.rules.push((written, destination.clone(), rule));
    }
}

/// Exactly this host.
fn target(host: &Host) -> Option<Target> {
    match host {
        Host::Address(address) => Some(Target::Network((*address).into())),
        // A name without wildcards is a pattern for itself, and `host` the word.
        Host::Name(name) => name.parse().ok(),
    }
}

fn destination(raw: &raw::Outbound, files: &Files<'_>, mistakes: &mut Vec<Mistake>) -> Option<Destination> {
    let (text, path) = match raw.fqdn.as_ref()? {
        Fqdn::Here(text) => (text.clone(), format!("{}.fqdn", raw.path)),
        Fqdn::ConfigMap(map) => (config_map::resolve(map, files, mistakes)?, format!("{}.ref", map.path)),
    };
    let host = parsed::<Host>(&text, path, mistakes)?;
    Some(Destination::new(host, port(raw.port.as_ref())?))
}

impl ProxyEntry {
    /// The proxy of an entry, without its destination.
    fn check(
        raw: &raw::Outbound,
        proxy: &raw::Proxy,
        files: &Files<'_>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<(Key, Self)> {
        let field = |name: &str| format!("{}.{name}", raw.path);
        let url = proxy.url.as_ref().and_then(|url| {
            proxy_url(&url.value)
                .map_err(|message| mistakes.push(url.place.mistake(field("proxyUrl"), message)))
                .ok()
        });
        let mut dial = |name: &str, text: &Option<_>| {
            text.as_ref().map(|text| parsed::<Dial>(text, field(&format!("transport.{name}")), mistakes))
        };
        let attestation = dial("attestation", &proxy.transport.attestation);
        let gateway = dial("gateway", &proxy.transport.gateway);
        let anchor = anchor(raw, proxy, files, mistakes);
        let deployment = match &proxy.deployment {
            None => None,
            Some(text) => Some(parsed::<Deployment>(text, field("proxyDeployment"), mistakes)?),
        };
        let url = url?;
        let attestation_port = match &proxy.attestation_port {
            None => NonZeroU16::new(wire::ATTESTATION_PORT),
            written => port(written.as_ref()),
        }?;
        let interval = match &proxy.interval {
            None => Interval::default(),
            Some(seconds) => Interval::from_secs(seconds.value).ok()?,
        };
        let same_address = attestation.is_none() && gateway.is_none();
        let beside = || Some(Dial::Tcp(Destination::new(url.host().clone(), attestation_port)));
        let attestation = attestation.unwrap_or_else(beside)?;
        let gateway = gateway.unwrap_or_else(|| Some(Dial::Tcp(url.clone())))?;
        let (anchor_pem, anchors) = anchor?;
        let name = url.host().clone();
        let key = (name.clone(), attestation.clone(), gateway.clone(), anchor_pem, deployment.clone());
        let gateway_port = same_address.then_some(url.port());
        let destinations = Vec::new();
        let entry =
            Self { name, attestation, gateway, gateway_port, interval, anchors, deployment, destinations };
        Some((key, entry))
    }
}

/// The PEM text, which tells proxies apart, and what it means.
type Anchor = (Option<Vec<u8>>, Anchors);

fn anchor(
    raw: &raw::Outbound,
    proxy: &raw::Proxy,
    files: &Files<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Anchor> {
    let (place, name, pem): (Place, _, _) = match (&proxy.anchor, &proxy.anchor_file) {
        (None, None) => return Some((None, Anchors::bundled())),
        (Some(pem), None) => (pem.place, "proxyAnchor", Ok(pem.value.clone().into_bytes())),
        (None, Some(file)) => (file.place, "proxyAnchorFile", (files.beside)(Path::new(&file.value))),
        (Some(_), Some(file)) => {
            let message = "stands beside proxyAnchor; write one of the two";
            mistakes.push(file.place.mistake(format!("{}.proxyAnchorFile", raw.path), message));
            return None;
        }
    };
    let path = format!("{}.{name}", raw.path);
    let pem =
        pem.map_err(|why| mistakes.push(place.mistake(&path, format!("cannot be read: {why}")))).ok()?;
    let anchors = Anchors::from_pem(&pem);
    let anchors = anchors.map_err(|why| mistakes.push(place.mistake(&path, why.to_string()))).ok()?;
    Some((Some(pem), anchors))
}

/// `https://host`, `https://host:port`, with or without one slash at the end.
fn proxy_url(url: &str) -> Result<Destination, String> {
    let scheme = url.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://"));
    let rest = scheme.and_then(|_| url.get(8..)).ok_or("expected https://host or https://host:port")?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let text = if has_port { authority.to_owned() } else { format!("{authority}:{HTTPS_PORT}") };
    text.parse::<Destination>().map_err(|why| format!("expected https://host or https://host:port: {why}"))
}

/// Said of every connection to such a peer.
const UNPINNED: &str = "a peer enclave whose configuration nothing pins";

const HTTPS_PORT: u16 = 443;
