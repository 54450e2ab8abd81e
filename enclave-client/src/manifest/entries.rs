use std::{num::NonZeroU16, path::PathBuf};

use countersign_protocol::Destination;

/// One port that is reachable from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressEntry {
    /// Port on the parent, on vsock, and on the enclave's loopback, where the application listens.
    pub listen_port: NonZeroU16,
    /// How TLS ends in the enclave.
    pub tls: IngressTls,
}

/// Who ends TLS on an ingress port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressTls {
    /// The application, or nobody: bytes pass unchanged.
    Passthrough,
    /// Here, with a certificate chain and key in PEM files of the image.
    Files {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// Its private key (PKCS #8, PKCS #1 or SEC 1).
        key: PathBuf,
    },
    /// Here, with a key made in the enclave, whose attestation is offered to callers.
    Attested {
        /// Names of the self-signed certificate.
        names: Vec<String>,
    },
}

/// A peer enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerEntry {
    /// Where it is reached.
    pub destination: Destination,
    /// The ConfigMap that holds its measurements.
    pub config_map: String,
}
