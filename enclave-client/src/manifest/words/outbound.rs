//! OBLV's words, and what ours add to them.

use countersign_protocol::wire;

use super::PORT;
use crate::manifest::shape::{
    Default, Effect, Field, Kind,
    Need::{NeverEmpty, Of, Required, RequiredOf},
    Table,
    World::{Oblv, Ours},
};

/// The word that begins a list of [`OUTBOUND`], wherever it stands.
pub(in crate::manifest) const CONNECTIONS: &str = "outboundConnections";

pub(in crate::manifest) const OUTBOUND_LIST: Kind = Kind::List(&Kind::Map(&OUTBOUND));

pub(in crate::manifest) static OUTBOUND: Table = Table {
    doc: "A destination that may be reached.",
    one_of: &[],
    fields: &[
        Field::new(
            "type",
            Kind::Word(&["proxy", "default", "enclave"]),
            Oblv,
            "default: directly. proxy: through an attestation proxy, only while attested. enclave: a peer.",
        )
        .default(Default::Word("default")),
        Field::new(
            "fqdn",
            Kind::Either(&Kind::Text, &FQDN),
            Oblv,
            "The destination: a DNS name or an IP address (IPv6 in brackets).",
        )
        .need(Required),
        Field::new("port", PORT, Oblv, "The destination's port.").need(Required),
        Field::new("proxyUrl", Kind::Text, Oblv, "The attestation proxy: https://host or https://host:port.")
            .need(RequiredOf(PROXIED)),
        Field::new("attestationPort", PORT, Oblv, "The proxy's attestation port.")
            .need(Of(PROXIED))
            .default(Default::Number(wire::ATTESTATION_PORT as u64)),
        Field::new(
            "proxyAttestationIntervalSeconds",
            Kind::Number { min: 15, max: 300 },
            Oblv,
            "How often to attest again.",
        )
        .need(Of(PROXIED))
        .default(Default::Number(15)),
        Field::new(
            "proxyAnchor",
            Kind::Text,
            Ours,
            "PEM certificates that the proxy's must chain to, and no others.",
        )
        .need(Of(PROXIED)),
        Field::new(
            "proxyDeployment",
            Kind::Text,
            Ours,
            "The proxy's deployment: another one gets no document.",
        )
        .need(Of(PROXIED)),
        Field::new("proxyAnchorFile", Kind::Text, Ours, "The same, from a file beside the manifest.")
            .need(Of(PROXIED)),
        Field::new(
            "transport",
            Kind::Either(&Kind::Word(&["tcp"]), &TRANSPORT),
            Ours,
            "How to reach the proxy's two ports, where TCP is not the way.",
        )
        .need(Of(PROXIED))
        .default(Default::Word("tcp")),
        Field::new(
            "configMap",
            Kind::Text,
            Oblv,
            "Name of the ConfigMap with the peer enclave's configuration.",
        )
        .need(RequiredOf(&["enclave"])),
        SIGNER.need(Of(&["enclave"])),
        SIGNER_FILE.need(Of(&["enclave"])),
        SHA256.need(Of(&["enclave"])),
        PEER_INTERVAL.need(Of(&["enclave"])),
        Field::new("redirects", Kind::Truth, Oblv, "Older form. Grants nothing: list what is redirected to."),
        Field::new("tls", Kind::Truth, Oblv, "Older form. The application's own TLS passes unchanged.")
            .effect(Effect::Elsewhere),
    ],
};

/// Whose bytes can go through the public proxy: an entry of the second type needs no proxy.
const PROXIED: &[&str] = &["proxy", "enclave"];

const SIGNER: Field = Field::new(
    "configSigner",
    Kind::Text,
    Ours,
    "PEM public key (Ed25519 or P-256) of whoever signs the peer's configuration.",
);

const SIGNER_FILE: Field =
    Field::new("configSignerFile", Kind::Text, Ours, "The same, from a file beside the manifest.");

const SHA256: Field =
    Field::new("configSha256", Kind::Text, Ours, "SHA-256 of the peer's configuration, instead of a signer.");

const PEER_INTERVAL: Field = Field::new(
    "peerAttestationIntervalSeconds",
    Kind::Number { min: 15, max: 300 },
    Ours,
    "How often both ends prove themselves again.",
)
.default(Default::Number(15));

pub(in crate::manifest) static PEER_PORT: Table = Table {
    doc: "A port where peers call. The host half carries it as it does a port of ingress.",
    one_of: &[],
    fields: &[
        Field::new("listenPort", PORT, Ours, "The port outside.").need(Required),
        Field::new(
            "applicationPort",
            PORT,
            Ours,
            "Where the application listens on loopback; listenPort if absent.",
        ),
        Field::new("configMap", Kind::Text, Ours, "Name of the ConfigMap that says who may call.")
            .need(Required),
        SIGNER,
        SIGNER_FILE,
        SHA256,
        PEER_INTERVAL,
    ],
};

static FQDN: Table = Table {
    doc: "A name that is written here or in a ConfigMap.",
    one_of: &[&["value"], &["configMap"]],
    fields: &[
        Field::new("value", Kind::Text, Oblv, "The name."),
        Field::new("configMap", Kind::Map(&CONFIG_MAP), Oblv, "Where the name is written.").need(NeverEmpty),
    ],
};

static CONFIG_MAP: Table = Table {
    doc: "A place in a file of a ConfigMap, which --config-maps mounts.",
    one_of: &[],
    fields: &[
        Field::new("name", Kind::Text, Oblv, "Name of the ConfigMap: a directory.").need(Required),
        Field::new("key", Kind::Text, Oblv, "Key in it: a file.").need(Required),
        Field::new("type", Kind::Word(&["yaml", "json", "ini"]), Oblv, "What the file is.").need(Required),
        Field::new("ref", Kind::Text, Oblv, "The way to the name, keys and indexes joined by #.")
            .need(Required),
    ],
};

static TRANSPORT: Table = Table {
    doc: "tcp:host:port, unix:/absolute/path or vsock:cid:port, instead of the address that proxyUrl gives.",
    one_of: &[],
    fields: &[
        Field::new("attestation", Kind::Text, Ours, "The attestation port."),
        Field::new("gateway", Kind::Text, Ours, "The gateway port."),
    ],
};
