use std::{sync::Arc, time::Duration};

use rustls::server::danger::ClientCertVerifier;

/// How the admin port is run. Every wait has a deadline, everything that grows has a bound.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Open connections; more wait in the kernel's queue. One address may have half of them.
    pub connections: u32,
    /// Handshakes under way; one more throws out the oldest.
    pub handshakes: u32,
    /// Requests under way, of all connections; one more is answered `overloaded`.
    pub requests: u32,
    /// Listeners to events; one more is answered `too-many-listeners`.
    pub listeners: u32,
    /// Exports of the audit under way, to their last byte; one more is answered `overloaded`.
    pub exports: u32,
    /// A connection that asks nothing for so long is closed.
    pub idle: Duration,
    /// An answer of which nothing is taken for so long is given up.
    pub stalled: Duration,
    /// Until the head of an answer is ready. `wait` of a revocation counts in it.
    pub deadline: Duration,
    /// Who verifies client certificates ([`super::identity::client_verifier`]); `None` asks for none.
    pub client_certificates: Option<Arc<dyn ClientCertVerifier>>,
    /// Origins (RFC 6454) of the web page that may use the API, as
    /// `https://proxy.example:9443`. A request of another origin is refused;
    /// programs send none.
    pub origins: Vec<String>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            connections: 256,
            handshakes: 64,
            requests: 256,
            listeners: 64,
            exports: 8,
            idle: Duration::from_secs(30),
            stalled: Duration::from_secs(20),
            deadline: Duration::from_secs(20),
            client_certificates: None,
            origins: Vec::new(),
        }
    }
}
