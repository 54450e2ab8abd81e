use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    version::TLS13,
};

use super::{GatewayTls, known_certificates::KnownCertificates};

/// Why the gateway cannot be made.
#[derive(Debug)]
pub enum GatewayError {
    /// There is no root of the session CA.
    SessionRoots(String),
    /// The server's certificate and key do not fit.
    ServerCertificate(rustls::Error),
}

/// TLS 1.3 only, mutual, without tickets and 0-RTT: whoever resumes has shown
/// no certificate, and whoever replays 0-RTT opens a tunnel again.
pub(super) fn server_config(tls: GatewayTls) -> Result<Arc<ServerConfig>, GatewayError> {
    let GatewayTls { chain, key, session_roots } = tls;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = RootCertStore { roots: session_roots };
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error: VerifierBuilderError| GatewayError::SessionRoots(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(GatewayError::ServerCertificate)?
        .with_client_cert_verifier(Arc::new(KnownCertificates::new(verifier)))
        .with_single_cert(chain, key)
        .map_err(GatewayError::ServerCertificate)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    // The record layer takes the traffic secrets over (`records`).
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionRoots(why) => write!(f, "session CA's roots cannot be used: {why}"),
            Self::ServerCertificate(_) => f.write_str("server certificate and key cannot be used"),
        }
    }
}

impl std::error::Error for GatewayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::SessionRoots(_) => None,
            Self::ServerCertificate(error) => Some(error),
        }
    }
}
