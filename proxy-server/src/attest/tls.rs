use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::SingleCertAndKey,
    version::TLS13,
};

use crate::{
    ca::{ClientKey, NotAClientKey},
    config::ServerIdentity,
};

/// TLS 1.3 only, no tickets, no early data, and a client certificate of any
/// P-256 key: who the client *is*, its document tells.
pub(super) fn server_config(identity: &ServerIdentity) -> Result<ServerConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyP256Key { algorithms: provider.signature_verification_algorithms });
    let key = SingleCertAndKey::from(Arc::unwrap_or_clone(identity.certified_key()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(key));
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The key that the peer proved to hold: the SubjectPublicKeyInfo of its certificate.
pub(super) fn client_key(certificate: &CertificateDer<'_>) -> Result<ClientKey, NotAClientKey> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| NotAClientKey)?;
    ClientKey::from_spki(parsed.subject_public_key_info().as_ref())
}

/// ALPN (RFC 7301) of HTTP/2 (RFC 9113).
pub(super) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Accepts whoever proves to hold a P-256 key. Nothing else about the
/// certificate is looked at: its names, times and issuer are the client's own words.
#[derive(Debug)]
struct AnyP256Key {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyP256Key {
    /// A client without a certificate gets as far as an HTTP answer, `no-client-key`,
    /// which tells it what to do; a TLS alert would not.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match client_key(end_entity) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(NotAClientKey) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Only TLS 1.3 is offered.
        Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    /// RFC 8446 section 4.4.3: the signature over this handshake's transcript, by
    /// the key in the certificate. This is what proves possession of K.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
