//! What the user wrote: the right fields of the right kind, not yet what they mean.

use super::{
    Mistake,
    fields::Fields,
    nearest::nearest,
    node::{At, Node, Place},
    shape::{Effect, Kind, World, path_of},
    words::{self, CONNECTIONS, DEPLOYMENT, OUTBOUND_LIST},
};

#[derive(Default)]
pub(super) struct Manifest {
    pub(super) outbound: Vec<Outbound>,
    pub(super) egress: Egress,
    pub(super) ingress: Vec<Ingress>,
    pub(super) peers: Vec<PeerPort>,
    pub(super) name: Option<String>,
    pub(super) kms: Option<KmsProxy>,
    pub(super) telemetry: Option<Telemetry>,
    /// Words that ask for something which this version does not do, with what that means.
    pub(super) without_effect: Vec<Mistake>,
}

#[derive(Default)]
pub(super) struct Egress {
    pub(super) proxy_port: Option<At<u64>>,
    pub(super) allow: Vec<(String, At<String>)>,
    pub(super) deny: Vec<(String, At<String>)>,
}

pub(super) struct KmsProxy {
    pub(super) listen_port: Option<At<u64>>,
    pub(super) endpoints: Vec<(At<String>, At<String>)>,
    /// Absent and empty are not the same here.
    pub(super) operations: Option<Vec<(String, At<String>)>>,
    pub(super) keys: Option<Vec<(String, At<String>)>>,
    pub(super) encryption_context: Vec<(At<String>, At<String>)>,
    pub(super) anchor_file: Option<At<String>>,
    pub(super) endpoint_kind: Option<At<String>>,
    pub(super) credentials: Option<At<String>>,
}

pub(super) struct Telemetry {
    pub(super) endpoint: Option<At<String>>,
    pub(super) anchor_file: Option<At<String>>,
}

pub(super) struct Outbound {
    /// The list it stands in: one destination may be an entry of several plugins.
    pub(super) list: String,
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) kind: OutboundKind,
    pub(super) fqdn: Option<Fqdn>,
    pub(super) port: Option<At<u64>>,
    pub(super) redirects: Option<At<bool>>,
}

/// An entry's `type`, with the fields that only it has.
pub(super) enum OutboundKind {
    Default,
    Proxy(Box<Proxy>),
    Enclave(Box<Peer>),
    /// It was noted as wrong.
    Unknown,
}

pub(super) struct Peer {
    pub(super) config: PeerConfig,
    /// Where its bytes go through the public proxy.
    pub(super) proxy: Proxy,
}

/// Which configuration, and what is believed of it.
pub(super) struct PeerConfig {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) config_map: Option<At<String>>,
    pub(super) signer: Option<At<String>>,
    pub(super) signer_file: Option<At<String>>,
    pub(super) sha256: Option<At<String>>,
    pub(super) interval: Option<At<u64>>,
}

pub(super) struct PeerPort {
    pub(super) path: String,
    pub(super) listen_port: Option<At<u64>>,
    pub(super) application_port: Option<At<u64>>,
    pub(super) config: PeerConfig,
}

pub(super) struct Proxy {
    pub(super) url: Option<At<String>>,
    pub(super) attestation_port: Option<At<u64>>,
    pub(super) interval: Option<At<u64>>,
    pub(super) anchor: Option<At<String>>,
    pub(super) anchor_file: Option<At<String>>,
    pub(super) deployment: Option<At<String>>,
    pub(super) transport: Transport,
}

#[derive(Default)]
pub(super) struct Transport {
    pub(super) attestation: Option<At<String>>,
    pub(super) gateway: Option<At<String>>,
}

pub(super) enum Fqdn {
    Here(At<String>),
    ConfigMap(ConfigMap),
}

/// A place in a file of a ConfigMap.
pub(super) struct ConfigMap {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) name: Option<At<String>>,
    pub(super) key: Option<At<String>>,
    pub(super) kind: Option<At<String>>,
    pub(super) reference: Option<At<String>>,
}

pub(super) struct Ingress {
    pub(super) path: String,
    pub(super) listen_port: Option<At<u64>>,
    pub(super) tls: Option<Tls>,
}

pub(super) struct Tls {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) key_file: Option<At<String>>,
    pub(super) cert_file: Option<At<String>>,
    pub(super) attested: Vec<(String, At<String>)>,
}

impl Manifest {
    /// Reads a tree and notes whatever is not as `words.rs` has it.
    pub(super) fn read(tree: &At<Node>, mistakes: &mut Vec<Mistake>) -> Self {
        if let Node::List(_) = tree.value {
            OUTBOUND_LIST.check(tree, "", mistakes);
            return Self { outbound: connections(tree, ""), ..Self::default() };
        }
        Kind::Map(&words::TOP).check(tree, "", mistakes);
        let Some(top) = Fields::of(tree, "", &words::TOP) else {
            return Self::default();
        };
        require_version(&top, mistakes);
        let mut outbound = top.node(CONNECTIONS).map_or(Vec::new(), |list| connections(list, CONNECTIONS));
        for word in DEPLOYMENT {
            if let Some(node) = top.node(word) {
                find_connections(node, word, &mut outbound, mistakes);
            }
        }
        let egress = top.map("egress").map_or(Egress::default(), |egress| Egress {
            proxy_port: egress.number("proxy_port"),
            allow: egress.texts("allow"),
            deny: egress.texts("deny"),
        });
        let ingress = top.list("ingress").iter().enumerate();
        let peers = top.list("peers").iter().enumerate();
        Self {
            outbound,
            egress,
            ingress: ingress.filter_map(|(index, item)| Ingress::read(item, index)).collect(),
            peers: peers.filter_map(|(index, item)| PeerPort::read(item, index)).collect(),
            name: top.text("name").map(|name| name.value),
            kms: top.map("kms_proxy").map(|kms| KmsProxy::read(&kms)),
            telemetry: top.map("telemetry").map(|telemetry| Telemetry {
                endpoint: telemetry.text("endpoint"),
                anchor_file: telemetry.text("anchor_file"),
            }),
            without_effect: without_effect(&top),
        }
    }
}

impl KmsProxy {
    fn read(fields: &Fields<'_>) -> Self {
        let list = |name| fields.node(name).map(|_| fields.texts(name));
        Self {
            listen_port: fields.number("listen_port"),
            endpoints: fields.pairs("endpoints"),
            operations: list("operations"),
            keys: list("keys"),
            encryption_context: fields.pairs("encryption_context"),
            anchor_file: fields.text("anchor_file"),
            endpoint_kind: fields.text("endpoint_kind"),
            credentials: fields.text("credentials"),
        }
    }
}

/// Enclaver's words come with a version; OBLV's lists have none.
fn require_version(top: &Fields<'_>, mistakes: &mut Vec<Mistake>) {
    let stands = |world| top.standing().any(|(field, _)| field.world == world);
    if top.node("version").is_none() && (stands(World::Enclaver) || !stands(World::Oblv)) {
        mistakes.push(top.place.mistake("version", "is missing"));
    }
}

fn without_effect(top: &Fields<'_>) -> Vec<Mistake> {
    top.standing()
        .filter_map(|(field, place)| match field.effect {
            Effect::Nothing(why) => {
                Some(place.mistake(field.name, format!("has no effect in this version: {why}")))
            }
            Effect::Here | Effect::Elsewhere => None,
        })
        .collect()
}

/// Looks through what OBLV's cluster reads for the lists that are read here.
fn find_connections(node: &At<Node>, path: &str, found: &mut Vec<Outbound>, mistakes: &mut Vec<Mistake>) {
    match &node.value {
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                find_connections(item, &format!("{path}[{index}]"), found, mistakes);
            }
        }
        Node::Map(entries) => {
            for (name, node) in entries {
                let path = path_of(path, &name.value);
                if name.value == CONNECTIONS {
                    OUTBOUND_LIST.check(node, &path, mistakes);
                    found.extend(connections(node, &path));
                } else if nearest(&name.value, &[CONNECTIONS]).is_some() {
                    let message = format!("unknown field, did you mean {CONNECTIONS}?");
                    mistakes.push(name.place.mistake(path, message));
                } else {
                    find_connections(node, &path, found, mistakes);
                }
            }
        }
        _ => {}
    }
}

fn connections(list: &At<Node>, path: &str) -> Vec<Outbound> {
    let Node::List(items) = &list.value else { return Vec::new() };
    items.iter().enumerate().filter_map(|(index, item)| Outbound::read(item, index, path)).collect()
}

impl Outbound {
    fn read(item: &At<Node>, index: usize, list: &str) -> Option<Self> {
        let fields = Fields::of(item, format!("{list}[{index}]"), &words::OUTBOUND)?;
        let kind = match fields.text("type").as_ref().map(|kind| kind.value.as_str()) {
            None if fields.node("type").is_some() => OutboundKind::Unknown,
            None | Some("default") => OutboundKind::Default,
            Some("proxy") => OutboundKind::Proxy(Box::new(Proxy::read(&fields))),
            Some("enclave") => OutboundKind::Enclave(Box::new(Peer {
                config: PeerConfig::read(&fields),
                proxy: Proxy::read(&fields),
            })),
            Some(_) => OutboundKind::Unknown,
        };
        Some(Self {
            list: list.to_owned(),
            place: fields.place,
            kind,
            fqdn: Fqdn::read(&fields),
            port: fields.number("port"),
            redirects: fields.truth("redirects"),
            path: fields.path,
        })
    }
}

impl PeerConfig {
    fn read(fields: &Fields<'_>) -> Self {
        Self {
            path: fields.path.clone(),
            place: fields.place,
            config_map: fields.text("configMap"),
            signer: fields.text("configSigner"),
            signer_file: fields.text("configSignerFile"),
            sha256: fields.text("configSha256"),
            interval: fields.number("peerAttestationIntervalSeconds"),
        }
    }
}

impl PeerPort {
    fn read(item: &At<Node>, index: usize) -> Option<Self> {
        let fields = Fields::of(item, format!("peers[{index}]"), &words::PEER_PORT)?;
        Some(Self {
            listen_port: fields.number("listenPort"),
            application_port: fields.number("applicationPort"),
            config: PeerConfig::read(&fields),
            path: fields.path,
        })
    }
}

impl Proxy {
    fn read(fields: &Fields<'_>) -> Self {
        let transport = fields.map("transport").map(|transport| Transport {
            attestation: transport.text("attestation"),
            gateway: transport.text("gateway"),
        });
        Self {
            url: fields.text("proxyUrl"),
            attestation_port: fields.number("attestationPort"),
            interval: fields.number("proxyAttestationIntervalSeconds"),
            anchor: fields.text("proxyAnchor"),
            anchor_file: fields.text("proxyAnchorFile"),
            deployment: fields.text("proxyDeployment"),
            transport: transport.unwrap_or_default(),
        }
    }
}

impl Proxy {
    /// Where something stands that means nothing without `proxyUrl`.
    pub(super) fn without_url(&self) -> Option<Place> {
        let Self { url: _, attestation_port, interval, anchor, anchor_file, deployment, transport } = self;
        let numbers = [attestation_port, interval].into_iter().flatten().map(|number| number.place);
        let Transport { attestation, gateway } = transport;
        let texts = [anchor, anchor_file, deployment, attestation, gateway]
            .into_iter()
            .flatten()
            .map(|text| text.place);
        numbers.chain(texts).next()
    }
}

impl Fqdn {
    fn read(outbound: &Fields<'_>) -> Option<Self> {
        let Some(fqdn) = outbound.map("fqdn") else {
            return outbound.text("fqdn").map(Self::Here);
        };
        if let Some(value) = fqdn.text("value") {
            return Some(Self::Here(value));
        }
        let map = fqdn.map("configMap")?;
        Some(Self::ConfigMap(ConfigMap {
            name: map.text("name"),
            key: map.text("key"),
            kind: map.text("type"),
            reference: map.text("ref"),
            place: map.place,
            path: map.path,
        }))
    }
}

impl Ingress {
    fn read(item: &At<Node>, index: usize) -> Option<Self> {
        let fields = Fields::of(item, format!("ingress[{index}]"), &words::INGRESS)?;
        let tls = fields.map("tls").map(|tls| Tls {
            place: tls.place,
            key_file: tls.text("key_file"),
            cert_file: tls.text("cert_file"),
            attested: tls.texts("attested"),
            path: tls.path,
        });
        Some(Self { listen_port: fields.number("listen_port"), tls, path: fields.path })
    }
}
