//! What the manifest means.

use std::{collections::HashMap, num::NonZeroU16, path::Path};

use countersign_protocol::{Destination, Host, Interval, egress::Rule, wire};

use super::{
    IngressEntry, Mistake, PeerEntry, ReadFile,
    fields::NOT_YET,
    node::{At, Place},
    raw,
};
use crate::{tls::Anchors, transport::Dial};

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
    /// Peer enclaves.
    pub peers: Vec<PeerEntry>,
    /// Port of the local KMS endpoint.
    pub kms_port: Option<NonZeroU16>,
}

/// One proxy: one attestation loop, one pool.
#[derive(Clone, Debug)]
pub struct ProxyEntry {
    /// For SNI and certificate; from `proxyUrl`.
    pub name: Host,
    /// How to reach the attestation port.
    pub attestation: Dial,
    /// How to reach the gateway port.
    pub gateway: Dial,
    /// The gateway's port, where it lies on the address that was attested to.
    pub gateway_port: Option<u16>,
    /// The shortest interval that any connection through this proxy asks for.
    pub interval: Interval,
    /// Whom the proxy's certificate must come from.
    pub anchors: Anchors,
    /// What may be reached through it.
    pub destinations: Vec<Destination>,
}

/// Everything that is right; the rest is in `mistakes`.
pub(super) fn check(raw: &raw::Manifest, read: &ReadFile<'_>, mistakes: &mut Vec<Mistake>) -> Manifest {
    let raw::Manifest { version, outbound, proxy_port } = raw;
    if let Some(version) = version.as_ref().filter(|version| version.value != "v1") {
        mistakes.push(version.place.mistake("version", format!("expected v1, found {:?}", version.value)));
    }
    let proxy_port = proxy_port.as_ref().map_or(Some(DEFAULT_PROXY_PORT), |port| {
        let value = u16::try_from(port.value).ok();
        if value.is_none() {
            mistakes.push(port.place.mistake("egress.proxy_port", "expected 0 to 65535"));
        }
        value
    });
    let mut proxies = Proxies::default();
    for one in outbound {
        if let Some(connection) = Connection::check(one, read, mistakes) {
            proxies.add(one, connection, mistakes);
        }
    }
    Manifest {
        proxy_port: proxy_port.unwrap_or(DEFAULT_PROXY_PORT),
        proxies: proxies.entries,
        rules: Vec::new(),
        ingress: Vec::new(),
        peers: Vec::new(),
        kms_port: None,
    }
}

/// Groups connections by proxy.
#[derive(Default)]
struct Proxies {
    entries: Vec<ProxyEntry>,
    keys: Vec<Key>,
    named: HashMap<Destination, u64>,
}

/// What makes two connections go through the same proxy.
type Key = (Host, Dial, Dial, Option<Vec<u8>>);

impl Proxies {
    fn add(&mut self, raw: &raw::Outbound, connection: Connection, mistakes: &mut Vec<Mistake>) {
        let Connection { key, entry, destination } = connection;
        if let Some(line) = self.named.get(&destination) {
            mistakes
                .push(raw.place.mistake(&raw.path, format!("{destination} stands at line {line} already")));
            return;
        }
        self.named.insert(destination.clone(), raw.place.line);
        let known = self.keys.iter().position(|known| *known == key);
        match known.and_then(|index| self.entries.get_mut(index)) {
            Some(known) => {
                known.interval = known.interval.min(entry.interval);
                known.destinations.push(destination);
            }
            None => {
                self.keys.push(key);
                self.entries.push(entry);
            }
        }
    }
}

struct Connection {
    key: Key,
    entry: ProxyEntry,
    destination: Destination,
}

impl Connection {
    fn check(raw: &raw::Outbound, read: &ReadFile<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let field = |name: &str| format!("{}.{name}", raw.path);
        if let Some(kind) = raw.kind.as_ref().filter(|kind| kind.value != "proxy") {
            let message = match kind.value.as_str() {
                "default" | "enclave" => NOT_YET.to_owned(),
                other => format!("expected proxy, default or enclave, found {other:?}"),
            };
            mistakes.push(kind.place.mistake(field("type"), message));
            return None;
        }
        let fqdn = parsed::<Host>(&raw.fqdn, field("fqdn"), mistakes);
        let target_port = port(raw.port.as_ref(), field("port"), mistakes);
        if raw.proxy_url.is_none() {
            mistakes.push(raw.place.mistake(field("proxyUrl"), "is missing, type proxy needs it"));
        }
        let proxy = raw.proxy_url.as_ref().and_then(|url| {
            proxy_url(&url.value)
                .map_err(|message| mistakes.push(url.place.mistake(field("proxyUrl"), message)))
                .ok()
        });
        let attestation_port = match &raw.attestation_port {
            None => NonZeroU16::new(wire::ATTESTATION_PORT),
            written => port(written.as_ref(), field("attestationPort"), mistakes),
        };
        let interval = raw.interval.as_ref().map_or(Some(Interval::default()), |seconds| {
            Interval::from_secs(seconds.value)
                .map_err(|why| {
                    let path = field("proxyAttestationIntervalSeconds");
                    mistakes.push(seconds.place.mistake(path, why.to_string()));
                })
                .ok()
        });
        let anchor = anchor(raw, read, mistakes);
        let attestation =
            parsed::<Dial>(&raw.transport.attestation, field("transport.attestation"), mistakes);
        let gateway = parsed::<Dial>(&raw.transport.gateway, field("transport.gateway"), mistakes);
        let proxy = proxy?;
        let attestation_port = attestation_port?;
        let same_address = raw.transport.attestation.is_none() && raw.transport.gateway.is_none();
        let attestation = attestation
            .unwrap_or_else(|| Dial::Tcp(Destination::new(proxy.host().clone(), attestation_port)));
        let gateway_port = same_address.then_some(proxy.port());
        let gateway = gateway.unwrap_or_else(|| Dial::Tcp(proxy.clone()));
        let (anchor_pem, anchors) = anchor?;
        let name = proxy.host().clone();
        let destination = Destination::new(fqdn?, target_port?);
        Some(Self {
            key: (name.clone(), attestation.clone(), gateway.clone(), anchor_pem),
            entry: ProxyEntry {
                name,
                attestation,
                gateway,
                gateway_port,
                interval: interval?,
                anchors,
                destinations: vec![destination.clone()],
            },
            destination,
        })
    }
}

/// The PEM text, which tells proxies apart, and what it means.
type Anchor = (Option<Vec<u8>>, Anchors);

fn anchor(raw: &raw::Outbound, read: &ReadFile<'_>, mistakes: &mut Vec<Mistake>) -> Option<Anchor> {
    let (place, name, pem): (Place, _, _) = match (&raw.anchor, &raw.anchor_file) {
        (None, None) => return Some((None, Anchors::bundled())),
        (Some(pem), None) => (pem.place, "proxyAnchor", Ok(pem.value.clone().into_bytes())),
        (None, Some(file)) => (file.place, "proxyAnchorFile", read(Path::new(&file.value))),
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

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &Option<At<String>>,
    path: String,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    let text = text.as_ref()?;
    text.value.parse().map_err(|why: T::Err| mistakes.push(text.place.mistake(path, why.to_string()))).ok()
}

fn port(number: Option<&At<u64>>, path: String, mistakes: &mut Vec<Mistake>) -> Option<NonZeroU16> {
    let number = number?;
    let port = u16::try_from(number.value).ok().and_then(NonZeroU16::new);
    if port.is_none() {
        mistakes.push(number.place.mistake(path, format!("expected 1 to 65535, found {}", number.value)));
    }
    port
}

/// The usual port of HTTP proxies (squid's).
const DEFAULT_PROXY_PORT: u16 = 3128;

const HTTPS_PORT: u16 = 443;
