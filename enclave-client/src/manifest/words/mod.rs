//! Every word of a manifest: the one place that the reader, the JSON Schema and
//! the messages about unknown words are made from.
//!
//! Enclaver's are those of its `manifest.rs` (edgebitio/enclaver, and its successor
//! enclaver-io/enclaver), OBLV's those of its pages on outbound connections in both
//! forms. `docs/manifest.md` tells what each does.

mod enclaver;
mod outbound;

use super::shape::{
    Effect, Field, Kind,
    Need::Required,
    Table,
    World::{Enclaver, Oblv, Ours},
};
use enclaver::{API, DEFAULTS, KMS_PROXY, SIGNATURE, SOURCES, SPIRE};
pub(super) use enclaver::{EGRESS, INGRESS};
pub(super) use outbound::{CONNECTIONS, OUTBOUND, OUTBOUND_LIST, PEER_PORT};

/// A manifest is a mapping of these, or a list of [`OUTBOUND`] alone.
pub(in crate::manifest) static TOP: Table = Table {
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

static TELEMETRY: Table = Table {
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

const fn deployment(name: &'static str, doc: &'static str) -> Field {
    Field::new(name, Kind::Foreign, Oblv, doc)
}

/// Those of [`TOP`] in which lists of connections are looked for.
pub(in crate::manifest) const DEPLOYMENT: [&str; 4] =
    ["spec", "userPlugins", "privilegedPlugins", "containers"];

/// Enclaver's `HTTP_EGRESS_PROXY_PORT`.
pub(in crate::manifest) const DEFAULT_PROXY_PORT: u16 = 9000;

const PORT: Kind = Kind::Number { min: 1, max: 65_535 };
