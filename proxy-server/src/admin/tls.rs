use std::sync::Arc;

use rustls::{
    Error, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};

use crate::config::ServerIdentity;

/// TLS 1.3, and 1.2 for administrators' older programs (its suites here are all
/// ECDHE with an AEAD). No tickets and no sessions: a client certificate is
/// verified on each connection, and a CA that was taken away counts no more.
pub(super) fn server_config(
    identity: &ServerIdentity,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, Error> {
    let key = SingleCertAndKey::from(Arc::unwrap_or_clone(identity.certified_key()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
        .with_cert_resolver(Arc::new(key));
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// ALPN (RFC 7301) of HTTP/2 (RFC 9113).
pub(super) const H2: &[u8] = b"h2";
