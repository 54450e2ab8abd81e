//! Every word of a manifest: the one place that the reader, the JSON Schema and
//! the messages about unknown words are made from.
//!
//! Enclaver's are those of its `manifest.rs` (edgebitio/enclaver, and its successor
//! enclaver-io/enclaver), OBLV's those of its pages on outbound connections in both
//! forms. `docs/manifest.md` tells what each does.

use countersign_protocol::wire;

use super::shape::{
    Default, Effect, Field, Kind,
    Need::{NeverEmpty, Of, Optional, Required, RequiredOf},
    Table,
    World::{Enclaver, Oblv, Ours},
};

/// A manifest is a mapping of these, or a list of [`OUTBOUND`] alone.
pub(super) static TOP: Table = Table {
    doc: "What an enclave may reach, and how: Enclaver's enclaver.yaml, an OBLV deployment, or the words of both.",
    one_of: &[],
    fields: &[
        Field::new(
            "version",
            Kind::Word(&["v1"]),
            Enclaver,
            "Version of the manifest. Required, except for OBLV's words alone.",
        ),
        Field::new(
            "outboundConnections",
            OUTBOUND_LIST,
            Oblv,
            "What may be reached, one destination an entry.",
        ),
        Field::new(
            "egress",
            Kind::Map(&EGRESS),
            Enclaver,
            "What may leave, by pattern. Whatever no entry allows is denied.",
        ),
        Field::new(
            "ingress",
            Kind::List(&Kind::Map(&INGRESS)),
            Enclaver,
            "Ports that are reachable from outside.",
        ),
        Field::new(
            "peers",
            Kind::List(&Kind::Map(&PEER_PORT)),
            Ours,
            "Ports where other enclaves call, through attested mutual TLS.",
        ),
        Field::new("kms_proxy", Kind::Map(&KMS_PROXY), Enclaver, "The KMS endpoint inside the enclave."),
        Field::new(
            "telemetry",
            Kind::Map(&TELEMETRY),
            Ours,
            "The OTLP collector that traces, metrics and logs go to. Allows nothing by itself.",
        ),
        Field::new("name", Kind::Text, Enclaver, "Name of the enclave, for people.")
            .effect(Effect::Elsewhere),
        Field::new("target", Kind::Text, Enclaver, "The image that a build makes.").effect(Effect::Elsewhere),
        Field::new("sources", Kind::Map(&SOURCES), Enclaver, "The images that a build is made from.")
            .effect(Effect::Elsewhere),
        Field::new("defaults", Kind::Map(&DEFAULTS), Enclaver, "What the enclave is started with.")
            .effect(Effect::Elsewhere),
        Field::new("signature", Kind::Map(&SIGNATURE), Enclaver, "What a build signs the image with.")
            .effect(Effect::Elsewhere),
        Field::new("api", Kind::Map(&API), Enclaver, "Enclaver's attestation API inside the enclave.")
            .effect(Effect::Nothing("nothing listens on the attestation API")),
        Field::new("spire", Kind::Map(&SPIRE), Enclaver, "A SPIFFE identity for the enclave.")
            .effect(Effect::Nothing("no SPIFFE identity is fetched")),
        Field::new("apiVersion", Kind::Text, Oblv, "Of a NitroEnclaveDeployment: k8s.oblv.com/v1alpha1.")
            .effect(Effect::Elsewhere),
        Field::new("kind", Kind::Word(&["NitroEnclaveDeployment"]), Oblv, "The Kubernetes resource this is.")
            .effect(Effect::Elsewhere),
        Field::new("metadata", Kind::Foreign, Oblv, "The resource's name and labels.")
            .effect(Effect::Elsewhere),
        deployment("spec", "The resource's body; every outboundConnections in it counts."),
        deployment("userPlugins", "Plugins; every outboundConnections in them counts."),
        deployment("privilegedPlugins", "Plugins; every outboundConnections in them counts."),
        deployment("containers", "Containers; every outboundConnections in them counts."),
        Field::new("status", Kind::Foreign, Oblv, "What the cluster says of the resource.")
            .effect(Effect::Elsewhere),
    ],
};

const fn deployment(name: &'static str, doc: &'static str) -> Field {
    Field::new(name, Kind::Foreign, Oblv, doc)
}

/// Those of [`TOP`] in which lists of connections are looked for.
pub(super) const DEPLOYMENT: [&str; 4] = ["spec", "userPlugins", "privilegedPlugins", "containers"];

/// The word that begins a list of [`OUTBOUND`], wherever it stands.
pub(super) const CONNECTIONS: &str = "outboundConnections";

pub(super) const OUTBOUND_LIST: Kind = Kind::List(&Kind::Map(&OUTBOUND));

pub(super) static OUTBOUND: Table = Table {
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

pub(super) static PEER_PORT: Table = Table {
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

pub(super) static FQDN: Table = Table {
    doc: "A name that is written here or in a ConfigMap.",
    one_of: &[&["value"], &["configMap"]],
    fields: &[
        Field::new("value", Kind::Text, Oblv, "The name."),
        Field::new("configMap", Kind::Map(&CONFIG_MAP), Oblv, "Where the name is written.").need(NeverEmpty),
    ],
};

pub(super) static CONFIG_MAP: Table = Table {
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

pub(super) static TRANSPORT: Table = Table {
    doc: "tcp:host:port, unix:/absolute/path or vsock:cid:port, instead of the address that proxyUrl gives.",
    one_of: &[],
    fields: &[
        Field::new("attestation", Kind::Text, Ours, "The attestation port."),
        Field::new("gateway", Kind::Text, Ours, "The gateway port."),
    ],
};

pub(super) static EGRESS: Table = Table {
    doc: "What may leave. Deny beats allow; an empty list allows nothing.",
    one_of: &[],
    fields: &[
        Field::new(
            "proxy_port",
            Kind::Number { min: 0, max: 65_535 },
            Enclaver,
            "Port of the HTTP proxy on loopback; 0: any free one.",
        )
        .default(Default::Number(DEFAULT_PROXY_PORT as u64)),
        Field::new(
            "allow",
            Kind::List(&Kind::Text),
            Enclaver,
            "Names (* and **), addresses, networks, or host.",
        ),
        Field::new(
            "deny",
            Kind::List(&Kind::Text),
            Enclaver,
            "The same; what stands here is denied whatever allows it.",
        ),
    ],
};

pub(super) static INGRESS: Table = Table {
    doc: "A port that is reachable from outside.",
    one_of: &[],
    fields: &[
        Field::new("listen_port", PORT, Enclaver, "The port outside, and on the enclave's loopback.")
            .need(Required),
        Field::new(
            "tls",
            Kind::Map(&TLS),
            Enclaver,
            "TLS ends in the enclave; without it bytes pass unchanged.",
        )
        .need(NeverEmpty),
    ],
};

pub(super) static TLS: Table = Table {
    doc: "A certificate from files, or one that is made in the enclave.",
    one_of: &[&["key_file", "cert_file"], &["attested"]],
    fields: &[
        Field::new("key_file", Kind::Text, Enclaver, "The private key, a PEM file of the image."),
        Field::new("cert_file", Kind::Text, Enclaver, "The certificate chain, a PEM file of the image."),
        Field::new(
            "attested",
            Kind::List(&Kind::Text),
            Ours,
            "Names of a certificate whose key is made in the enclave and attested to callers.",
        ),
    ],
};

pub(super) static KMS_PROXY: Table = Table {
    doc: "A KMS endpoint that adds the attestation document to requests.",
    one_of: &[],
    fields: &[
        Field::new("listen_port", PORT, Enclaver, "Its port on loopback.").need(Required),
        Field::new("endpoints", Kind::Texts, Enclaver, "KMS endpoints by region, instead of AWS's."),
        Field::new(
            "operations",
            Kind::List(&Kind::Text),
            Ours,
            "Only these operations, as KMS spells them. Empty: none. Absent: all.",
        ),
        Field::new(
            "keys",
            Kind::List(&Kind::Text),
            Ours,
            "Only these keys, by ARN. Empty: none. Absent: all.",
        ),
        Field::new(
            "encryption_context",
            Kind::Texts,
            Ours,
            "Entries that the EncryptionContext of every call that takes one must hold.",
        ),
        Field::new(
            "anchor_file",
            Kind::Text,
            Ours,
            "PEM file with the certificates that KMS's must chain to, instead of the public roots.",
        ),
        Field::new(
            "endpoint_kind",
            Kind::Word(&["public", "fips"]),
            Ours,
            "AWS's own endpoints for regions that endpoints does not name: kms or kms-fips.",
        )
        .default(Default::Word("public")),
        Field::new(
            "credentials",
            Kind::Word(&["environment", "instance", "proxy"]),
            Ours,
            "Where AWS credentials come from. Absent: the environment, or else the instance's role where the egress \
             policy lets its address pass, or else the attestation proxy.",
        ),
    ],
};

pub(super) static TELEMETRY: Table = Table {
    doc: "An OTLP collector over HTTP. The rules must allow its host and port.",
    one_of: &[],
    fields: &[
        Field::new(
            "endpoint",
            Kind::Text,
            Ours,
            "http://host:port or https://host:port, with or without a path.",
        )
        .need(Required),
        Field::new(
            "anchor_file",
            Kind::Text,
            Ours,
            "PEM file with the certificates that the collector's must chain to, instead of the public roots.",
        ),
    ],
};

static SOURCES: Table = Table {
    doc: "Images.",
    one_of: &[],
    fields: &[
        build("app", "The application's image.").need(Required),
        build("supervisor", "The image with the program that supervises it."),
        build("wrapper", "The image that starts the enclave on the parent."),
        build("odyn", "The supervisor, in later versions."),
        build("sleeve", "The wrapper, in later versions."),
    ],
};

static DEFAULTS: Table = Table {
    doc: "Resources.",
    one_of: &[],
    fields: &[
        Field::new("cpu_count", AMOUNT, Enclaver, "Processors.").default(Default::Number(2)).need(Optional),
        Field::new("memory_mb", AMOUNT, Enclaver, "Memory in megabytes.").default(Default::Number(4096)),
    ],
};

static SIGNATURE: Table = Table {
    doc: "A signing certificate, which PCR8 measures.",
    one_of: &[],
    fields: &[
        build("certificate", "PEM file of the certificate.").need(Required),
        build("key", "PEM file of its key.").need(Required),
    ],
};

static API: Table = Table {
    doc: "Enclaver's attestation API.",
    one_of: &[],
    fields: &[Field::new("listen_port", PORT, Enclaver, "Its port on loopback.").need(Required)],
};

static SPIRE: Table = Table {
    doc: "A SPIRE server and what is fetched from it.",
    one_of: &[],
    fields: &[
        build("server_addr", "The server's address.").need(Required),
        build("ca_cert", "PEM file of its certificate authority.").need(Required),
        build("trust_domain", "The trust domain.").need(Required),
        build("svid_dir", "Where the identity is put.").need(Required),
        build("workload_api_addr", "Where the Workload API listens."),
    ],
};

const fn build(name: &'static str, doc: &'static str) -> Field {
    Field::new(name, Kind::Text, Enclaver, doc)
}

/// Enclaver's `HTTP_EGRESS_PROXY_PORT`.
pub(super) const DEFAULT_PROXY_PORT: u16 = 9000;

const PORT: Kind = Kind::Number { min: 1, max: 65_535 };

/// Enclaver reads these as `i32`.
const AMOUNT: Kind = Kind::Number { min: 1, max: 2_147_483_647 };
