use std::{num::NonZeroU16, path::PathBuf};

use countersign_protocol::{Deployment, Destination, Host, Interval};

use crate::{peers::config::Pin, tls::Anchors, transport::Dial};

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
    /// The installation that the proxy must be of, if the manifest names it.
    pub deployment: Option<Deployment>,
    /// What may be reached through it.
    pub destinations: Vec<Destination>,
}

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
        /// The chain, leaf first. A relative path was taken from the manifest's directory.
        certificate: PathBuf,
        /// Its private key (PKCS #8, PKCS #1 or SEC 1).
        key: PathBuf,
    },
    /// Here, with a key made in the enclave, whose attestation is offered to callers.
    Attested {
        /// Names of the self-signed certificate, at least one: DNS names in normal form, or addresses.
        names: Vec<String>,
    },
}

/// A peer enclave that is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerEntry {
    /// Where it is reached.
    pub destination: Destination,
    /// Who it may be.
    pub source: PeerSource,
    /// How often both ends prove themselves again.
    pub interval: Interval,
}

/// A port where peer enclaves call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPort {
    /// Port on the parent and on vsock.
    pub listen_port: NonZeroU16,
    /// Where the application listens on the enclave's loopback.
    pub application_port: NonZeroU16,
    /// Who may call.
    pub source: PeerSource,
    /// How often both ends prove themselves again.
    pub interval: Interval,
}

/// Where a peer's configuration is, and what is believed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSource {
    /// The ConfigMap: a directory of `--config-maps`.
    pub config_map: String,
    /// Who signs it, or which file it is.
    pub pin: Pin,
}
