//! A caller that does what docs/ingress.md tells it to, with the verifier's own code.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_protocol::{
    ingress::{ATTESTATION_PATH, INGRESS_EXPORTER_LABEL, IngressBinder},
    wire::EXPORTER_LEN,
};
use countersign_verifier::{
    CacheCapacity, Expectations, Expected, Freshness, Refusal, TrustAnchor, UnixMillis, UnverifiedDocument,
    Verifier,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    time::Duration,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::rig::now_ms;

pub const NONCE: [u8; 32] = [0x5a; 32];

/// Anything that carries bytes.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// TLS to whoever answers; whom it was, the attestation tells.
pub async fn connect<W: Wire>(wire: W, alpn: &[&[u8]]) -> TlsStream<W> {
    try_connect(wire, alpn).await.unwrap()
}

pub async fn try_connect<W: Wire>(wire: W, alpn: &[&[u8]]) -> std::io::Result<TlsStream<W>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|word| word.to_vec()).collect();
    let name = ServerName::try_from("in.example").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, wire).await
}

/// Asks with a nonce; status and body.
pub async fn ask<W: Wire>(stream: &mut TlsStream<W>, nonce: &[u8]) -> (u16, serde_json::Value) {
    let nonce = hex::encode(nonce);
    let request = format!("GET {ATTESTATION_PATH}?nonce={nonce} HTTP/1.1\r\nHost: in.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(stream).await
}

/// One answer, and not a byte more.
pub async fn answer<W: Wire>(stream: &mut TlsStream<W>) -> (u16, serde_json::Value) {
    // A capacity of one byte: nothing that follows the answer is swallowed.
    let mut reader = BufReader::with_capacity(1, stream);
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).await.unwrap();
        match line.trim_end().split_once(": ") {
            None => break,
            Some(("Content-Length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// The recipe: nonce, key of this connection, exporter of this connection, then chain and signature.
pub fn verify<W>(
    root_der: &[u8],
    stream: &TlsStream<W>,
    nonce: &[u8],
    body: &serde_json::Value,
) -> Result<(), Refusal> {
    let document = STANDARD.decode(body["document"].as_str().unwrap()).unwrap();
    let spki = spki(stream);
    let exporter = exporter(stream, nonce);
    let user_data = IngressBinder { spki: &spki, exporter: &exporter }.digest();
    let allowance = Duration::from_secs(60);
    let expectations = Expectations {
        at: UnixMillis::from_millis(now_ms()),
        freshness: Freshness::Within { past: allowance, future: allowance },
        nonce: Expected::Exactly(nonce),
        public_key: Expected::Exactly(&spki),
        user_data: Expected::Exactly(&user_data),
    };
    let anchor = TrustAnchor::danger_from_der(root_der).unwrap();
    let verifier = Verifier::new(anchor, CacheCapacity::NONE);
    verifier.verify(&UnverifiedDocument::parse(&document)?, &expectations).map(drop)
}

/// SPKI of the certificate that this connection's other end showed.
pub fn spki<W>(stream: &TlsStream<W>) -> Vec<u8> {
    let leaf = &stream.get_ref().1.peer_certificates().unwrap()[0];
    webpki::EndEntityCert::try_from(leaf).unwrap().subject_public_key_info().as_ref().to_vec()
}

fn exporter<W>(stream: &TlsStream<W>, nonce: &[u8]) -> [u8; EXPORTER_LEN] {
    let out = [0; EXPORTER_LEN];
    stream.get_ref().1.export_keying_material(out, INGRESS_EXPORTER_LABEL, Some(nonce)).unwrap()
}

/// Takes any certificate, but only with proof of its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
