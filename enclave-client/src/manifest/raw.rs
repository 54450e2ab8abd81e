//! What the user wrote: the right fields of the right kind, not yet what they mean.

use super::{
    Mistake,
    fields::Fields,
    node::{At, Node, Place},
};

pub(super) struct Manifest {
    pub(super) version: Option<At<String>>,
    pub(super) outbound: Vec<Outbound>,
    pub(super) proxy_port: Option<At<u64>>,
}

pub(super) struct Outbound {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) kind: Option<At<String>>,
    pub(super) fqdn: Option<At<String>>,
    pub(super) port: Option<At<u64>>,
    pub(super) proxy_url: Option<At<String>>,
    pub(super) attestation_port: Option<At<u64>>,
    pub(super) interval: Option<At<u64>>,
    pub(super) anchor: Option<At<String>>,
    pub(super) anchor_file: Option<At<String>>,
    pub(super) transport: Transport,
}

#[derive(Default)]
pub(super) struct Transport {
    pub(super) attestation: Option<At<String>>,
    pub(super) gateway: Option<At<String>>,
}

impl Manifest {
    pub(super) fn read(tree: &At<Node>, mistakes: &mut Vec<Mistake>) -> Self {
        let empty = Self { version: None, outbound: Vec::new(), proxy_port: None };
        let Some(fields) = Fields::open(tree, "", &TOP, &TOP_LATER, mistakes) else {
            return empty;
        };
        fields.require("version", mistakes);
        let outbound = match fields.node("outboundConnections") {
            None => Vec::new(),
            Some(At { value: Node::List(items), .. }) => items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| Outbound::read(item, index, mistakes))
                .collect(),
            Some(other) => {
                mistakes.push(fields.expected("a list", "outboundConnections", other));
                Vec::new()
            }
        };
        let egress = fields
            .node("egress")
            .and_then(|node| Fields::open(node, "egress", &EGRESS, &EGRESS_LATER, mistakes));
        Self {
            version: fields.text("version", mistakes),
            outbound,
            proxy_port: egress.and_then(|egress| egress.number("proxy_port", mistakes)),
        }
    }
}

impl Outbound {
    fn read(item: &At<Node>, index: usize, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let path = format!("outboundConnections[{index}]");
        let fields = Fields::open(item, &path, &OUTBOUND, &OUTBOUND_LATER, mistakes)?;
        for name in ["type", "fqdn", "port"] {
            fields.require(name, mistakes);
        }
        let transport = Transport::read(&fields, mistakes);
        Some(Self {
            path,
            place: fields.place(),
            kind: fields.text("type", mistakes),
            fqdn: fields.text("fqdn", mistakes),
            port: fields.number("port", mistakes),
            proxy_url: fields.text("proxyUrl", mistakes),
            attestation_port: fields.number("attestationPort", mistakes),
            interval: fields.number("proxyAttestationIntervalSeconds", mistakes),
            anchor: fields.text("proxyAnchor", mistakes),
            anchor_file: fields.text("proxyAnchorFile", mistakes),
            transport,
        })
    }
}

impl Transport {
    fn read(outbound: &Fields<'_>, mistakes: &mut Vec<Mistake>) -> Self {
        let Some(node) = outbound.node("transport") else {
            return Self::default();
        };
        match &node.value {
            Node::Text(word) if word == "tcp" => return Self::default(),
            Node::Map(_) => {}
            _ => {
                let what = "the word tcp or a mapping of attestation and gateway";
                mistakes.push(outbound.expected(what, "transport", node));
                return Self::default();
            }
        }
        let path = outbound.path_of("transport");
        let Some(fields) = Fields::open(node, path, &TRANSPORT, &[], mistakes) else {
            return Self::default();
        };
        Self { attestation: fields.text("attestation", mistakes), gateway: fields.text("gateway", mistakes) }
    }
}

const TOP: [&str; 3] = ["version", "outboundConnections", "egress"];
/// Enclaver's, and OBLV's around `outboundConnections`.
const TOP_LATER: [&str; 6] = ["name", "target", "sources", "defaults", "ingress", "kms_proxy"];
const EGRESS: [&str; 1] = ["proxy_port"];
const EGRESS_LATER: [&str; 2] = ["allow", "deny"];
const OUTBOUND: [&str; 9] = [
    "type",
    "fqdn",
    "port",
    "proxyUrl",
    "attestationPort",
    "proxyAttestationIntervalSeconds",
    "proxyAnchor",
    "proxyAnchorFile",
    "transport",
];
const OUTBOUND_LATER: [&str; 1] = ["configMap"];
const TRANSPORT: [&str; 2] = ["attestation", "gateway"];
