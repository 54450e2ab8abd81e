//! Enclaver's words, and what ours add to them.

use super::{DEFAULT_PROXY_PORT, PORT};
use crate::manifest::shape::{
    Default, Field, Kind,
    Need::{NeverEmpty, Optional, Required},
    Table,
    World::{Enclaver, Ours},
};

pub(in crate::manifest) static EGRESS: Table = Table {
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

pub(in crate::manifest) static INGRESS: Table = Table {
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

static TLS: Table = Table {
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

pub(in crate::manifest) static KMS_PROXY: Table = Table {
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

pub(super) static SOURCES: Table = Table {
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

pub(super) static DEFAULTS: Table = Table {
    doc: "Resources.",
    one_of: &[],
    fields: &[
        Field::new("cpu_count", AMOUNT, Enclaver, "Processors.").default(Default::Number(2)).need(Optional),
        Field::new("memory_mb", AMOUNT, Enclaver, "Memory in megabytes.").default(Default::Number(4096)),
    ],
};

pub(super) static SIGNATURE: Table = Table {
    doc: "A signing certificate, which PCR8 measures.",
    one_of: &[],
    fields: &[
        build("certificate", "PEM file of the certificate.").need(Required),
        build("key", "PEM file of its key.").need(Required),
    ],
};

pub(super) static API: Table = Table {
    doc: "Enclaver's attestation API.",
    one_of: &[],
    fields: &[Field::new("listen_port", PORT, Enclaver, "Its port on loopback.").need(Required)],
};

pub(super) static SPIRE: Table = Table {
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

/// Enclaver reads these as `i32`.
const AMOUNT: Kind = Kind::Number { min: 1, max: 2_147_483_647 };
