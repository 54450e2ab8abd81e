use std::{
    net::SocketAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use countersign_protocol::{
    Binder, BootId, Lease, Role,
    message::{Attest, Challenge, Grant},
    wire,
};
use countersign_simulator::{AttestationRequest, SoftwareNsm};
use rustls::{server::ParsedCertificate, sign::CertifiedKey};
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::failure::{Context, Failure};
use crate::http1::{Answer, Http1, post};
use crate::identity::Identity;
use crate::tls;

/// An enclave with a key of its own and a kept connection to the attestation port.
pub(crate) struct Enclave {
    attester: Attester,
    http: Http1<TlsStream<TcpStream>>,
    server_spki: Vec<u8>,
}

/// What of an enclave outlives its connections.
#[derive(Clone)]
pub(crate) struct Attester {
    identity: Arc<Identity>,
    nsm: Arc<SoftwareNsm>,
    boot: BootId,
    sequence: u64,
}

impl Attester {
    fn new(nsm: &Arc<SoftwareNsm>) -> Result<Self, Failure> {
        let identity = Arc::new(Identity::enclave()?);
        let mut boot = [0; BootId::LEN];
        aws_lc_rs::rand::fill(&mut boot).context("random")?;
        Ok(Self { identity, nsm: Arc::clone(nsm), boot: BootId::from_bytes(boot), sequence: 0 })
    }
}

impl Enclave {
    /// Connects with a fresh key.
    ///
    /// # Errors
    /// No connection.
    pub(crate) async fn connect(
        port: SocketAddr,
        anchor: &CertificateDer<'static>,
        nsm: &Arc<SoftwareNsm>,
    ) -> Result<Self, Failure> {
        Self::connect_as(Attester::new(nsm)?, port, anchor).await
    }

    /// Connects as one that may have been there before.
    ///
    /// # Errors
    /// No connection.
    pub(crate) async fn connect_as(
        attester: Attester,
        port: SocketAddr,
        anchor: &CertificateDer<'static>,
    ) -> Result<Self, Failure> {
        let config = tls::client(anchor, attester.identity.self_signed()?, &[b"http/1.1"])?;
        let stream = tls::connect(port, &config).await?;
        let shown =
            stream.get_ref().1.peer_certificates().and_then(<[_]>::first).context("no server certificate")?;
        let parsed = ParsedCertificate::try_from(shown).context("server certificate")?;
        let server_spki = parsed.subject_public_key_info().to_vec();
        Ok(Self { attester, http: Http1::new(stream), server_spki })
    }

    /// The whole exchange: challenge, document, answer.
    ///
    /// # Errors
    /// A refusal, or no connection.
    pub(crate) async fn attest(&mut self, lease: Lease) -> Result<Grant, Failure> {
        let request = self.prepare(lease).await?;
        let answer = self.http.exchange(&request).await?;
        granted(&answer)
    }

    /// Asks for a challenge and makes the request that answers it.
    ///
    /// # Errors
    /// A refusal, or no connection.
    pub(crate) async fn prepare(&mut self, lease: Lease) -> Result<Vec<u8>, Failure> {
        let answer = self.http.exchange(&post(wire::CHALLENGE_PATH, b"")).await?;
        if answer.status != 200 {
            return Err(refused("challenge", &answer));
        }
        let challenge = Challenge::decode(&answer.body).context("challenge")?;
        let document = self.document(&challenge)?;
        Ok(post(wire::ATTEST_PATH, &self.message(&document, lease)))
    }

    /// The body of an attestation with this document.
    pub(crate) fn message(&self, document: &[u8], lease: Lease) -> Vec<u8> {
        Attest { document, lease, boot_id: self.attester.boot, sequence: self.attester.sequence }.encode()
    }

    /// Itself without its connection, which ends.
    pub(crate) fn into_attester(self) -> Attester {
        self.attester
    }

    /// The connection, for requests of another kind.
    pub(crate) fn http(&mut self) -> &mut Http1<TlsStream<TcpStream>> {
        &mut self.http
    }

    /// The key with the chain that a grant brought; the connection ends.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub(crate) fn into_session(self, grant: Grant) -> Result<Arc<CertifiedKey>, Failure> {
        self.attester.identity.under(grant.certificates.into_iter().map(CertificateDer::from).collect())
    }

    /// A document of this moment that answers the challenge.
    fn document(&mut self, challenge: &Challenge) -> Result<Vec<u8>, Failure> {
        self.attester.sequence += 1;
        let nonce = challenge.nonce;
        let tls = self.http.stream().get_ref().1;
        let exporter = tls
            .export_keying_material([0; wire::EXPORTER_LEN], wire::EXPORTER_LABEL, Some(nonce.as_bytes()))
            .context("TLS exporter")?;
        let spki = self.attester.identity.spki();
        let binder = Binder {
            role: Role::Enclave,
            attester_spki: &spki,
            server_spki: &self.server_spki,
            exporter: &exporter,
            deployment: &challenge.deployment,
            boot_id: self.attester.boot,
            sequence: self.attester.sequence,
        };
        let user_data = Some(binder.digest().to_vec());
        let nonce = Some(nonce.as_bytes().to_vec());
        self.attester
            .nsm
            .attest(now_ms()?, &AttestationRequest { public_key: Some(spki), user_data, nonce })
            .context("simulated NSM")
    }
}

/// The grant in an answer.
///
/// # Errors
/// It is a refusal.
pub(crate) fn granted(answer: &Answer) -> Result<Grant, Failure> {
    if answer.status != 200 {
        return Err(refused("attest", answer));
    }
    Grant::decode(&answer.body).context("grant")
}

/// Milliseconds since 1970.
///
/// # Errors
/// The clock stands before that.
pub(crate) fn now_ms() -> Result<u64, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("clock")?;
    u64::try_from(since.as_millis()).context("clock")
}

/// A refusal as a failure.
pub(crate) fn refused(what: &str, answer: &Answer) -> Failure {
    Failure::new(format!("{what}: refused with {}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
}
