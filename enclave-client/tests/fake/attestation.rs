use std::sync::Arc;

use countersign_protocol::{
    Binder, LeaseBounds, Nonce, Role,
    message::{Attest, Challenge, Grant},
    wire,
};
use rustls::{
    DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::server::TlsStream;

use super::{Behaviour, Shared, Verified, read_document, spki};

/// Serves one connection: challenge and attest in turn, until the client leaves.
pub async fn serve<T: AsyncRead + AsyncWrite + Unpin>(stream: T, shared: Arc<Shared>, connection: usize) {
    let Ok(mut stream) = shared.attestation_tls.accept(stream).await else { return };
    let client_spki = spki(&stream.get_ref().1.peer_certificates().unwrap()[0]);
    let mut nonce = None;
    while let Some((path, body)) = read_request(&mut stream).await {
        let behaviour = shared.behaviour.lock().unwrap().clone();
        let (status, answer) = match path.as_str() {
            wire::CHALLENGE_PATH => (200, challenge(&shared, &behaviour, &mut nonce)),
            wire::ATTEST_PATH => {
                let verified = verify(&stream, &shared, &client_spki, nonce.take(), &body, connection);
                let good = verified.is_ok();
                shared.reports.send(verified).unwrap();
                match &behaviour {
                    Behaviour { reflect: true, .. } => (200, body),
                    Behaviour { answer: Some(answer), .. } => answer.clone(),
                    _ if good => (200, grant(&shared, &behaviour, &client_spki)),
                    _ => (500, Vec::new()),
                }
            }
            _ => (404, Vec::new()),
        };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", answer.len());
        if stream.write_all(&[head.into_bytes(), answer].concat()).await.is_err() {
            return;
        }
    }
}

async fn read_request<T: AsyncRead + Unpin>(stream: &mut T) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(end) = request.parse(&bytes).unwrap() {
            assert_eq!(request.method, Some("POST"));
            let length =
                request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length: usize =
                length.map_or(0, |header| std::str::from_utf8(header.value).unwrap().parse().unwrap());
            if bytes.len() >= end + length {
                return Some((request.path.unwrap().to_owned(), bytes[end..end + length].to_vec()));
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

fn challenge(shared: &Shared, behaviour: &Behaviour, nonce: &mut Option<Nonce>) -> Vec<u8> {
    let mut bytes = [0; Nonce::LEN];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    *nonce = Some(Nonce::from_bytes(bytes));
    let challenge = Challenge {
        nonce: Nonce::from_bytes(bytes),
        deployment: "fake".parse().unwrap(),
        epoch: shared.epoch(),
        lease_bounds: LeaseBounds::default(),
    };
    behaviour.challenge.clone().unwrap_or_else(|| challenge.encode())
}

fn verify<T>(
    stream: &TlsStream<T>,
    shared: &Shared,
    client_spki: &[u8],
    nonce: Option<Nonce>,
    body: &[u8],
    connection: usize,
) -> super::Report {
    let attest = Attest::decode(body).map_err(|error| error.to_string())?;
    let nonce = nonce.ok_or("no challenge")?;
    let [public_key, user_data, document_nonce] = read_document(attest.document);
    let mut exporter = [0; wire::EXPORTER_LEN];
    stream
        .get_ref()
        .1
        .export_keying_material(&mut exporter, wire::EXPORTER_LABEL, Some(nonce.as_bytes()))
        .map_err(|error| error.to_string())?;
    let binder = Binder {
        role: Role::Enclave,
        attester_spki: client_spki,
        server_spki: &shared.server_spki,
        exporter: &exporter,
        deployment: &"fake".parse().unwrap(),
        boot_id: attest.boot_id,
        sequence: attest.sequence,
    };
    let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    check(document_nonce == nonce.as_bytes(), "nonce")?;
    check(public_key == client_spki, "public key")?;
    check(user_data == binder.digest(), "binder")?;
    Ok(Verified { connection, boot_id: attest.boot_id, sequence: attest.sequence, lease: attest.lease })
}

fn grant(shared: &Shared, behaviour: &Behaviour, client_spki: &[u8]) -> Vec<u8> {
    let foreign = countersign_enclave::key::EnclaveKey::generate().unwrap();
    let subject = if behaviour.foreign_certificate { foreign.spki() } else { client_spki };
    let subject = P256(subject[subject.len() - 65..].to_vec());
    let mut parameters = rcgen::CertificateParams::default();
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = parameters.signed_by(&subject, &shared.session_ca).unwrap();
    let grant = Grant {
        session: Shared::session(),
        lease: countersign_protocol::Lease::MIN,
        epoch: shared.epoch(),
        certificates: vec![leaf.der().to_vec()],
    };
    grant.encode()
}

/// A P-256 key as the last 65 bytes of its SPKI have it: an uncompressed point (RFC 5480 section 2.2).
struct P256(Vec<u8>);

impl rcgen::PublicKeyData for P256 {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// Takes any client certificate whose key signs the handshake: which key it
/// is, is the attestation's question.
#[derive(Debug)]
pub struct AnyKey(pub Arc<CryptoProvider>);

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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
