use std::{net::SocketAddr, time::SystemTime};

use countersign_protocol::{
    Binder, BootId, Deployment, Lease, Nonce, Role,
    message::{Attest, Challenge, Grant},
    wire,
};
use countersign_simulator::{AttestationRequest, Fault, SoftwareNsm};
use rustls::ClientConnection;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::{Answer, Closed, Dialer, Identity, Wire};

/// A connection to an attestation port, without the manners of the real client.
#[derive(Debug)]
pub struct Attester {
    /// For bytes of any kind.
    pub wire: Wire<TlsStream<TcpStream>>,
    key_spki: Vec<u8>,
}

/// Everything that an attestation says. Made honest by [`Attester::honest`];
/// whatever a test changes before it is signed is the attack.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The document's nonce.
    pub nonce: Nonce,
    /// The document's public key.
    pub public_key: Vec<u8>,
    /// In the binder: who attests.
    pub role: Role,
    /// In the binder: the attester's key.
    pub attester_spki: Vec<u8>,
    /// In the binder: the server's key.
    pub server_spki: Vec<u8>,
    /// In the binder: the connection.
    pub exporter: [u8; wire::EXPORTER_LEN],
    /// In the binder: the installation.
    pub deployment: Deployment,
    /// In the binder.
    pub bound_boot: BootId,
    /// In the binder.
    pub bound_sequence: u64,
    /// In the message beside the document.
    pub boot: BootId,
    /// In the message beside the document.
    pub sequence: u64,
    /// In the message beside the document.
    pub lease: Lease,
    /// Milliseconds that the NSM's clock is ahead of this machine's.
    pub clock_skew_ms: i64,
    /// A rule of the verifier's checklist to break.
    pub fault: Option<Fault>,
}

impl Attester {
    /// Connects with this key, as the real client does.
    ///
    /// # Errors
    /// No TLS connection.
    pub async fn connect(proxy: SocketAddr, dialer: &Dialer, key: &Identity) -> std::io::Result<Self> {
        Ok(Self { wire: Wire::new(dialer.dial(proxy).await?), key_spki: key.spki() })
    }

    /// Asks for a challenge.
    ///
    /// # Errors
    /// No answer.
    pub async fn challenge(&mut self) -> Result<Challenge, Closed> {
        let answer = self.wire.post(wire::CHALLENGE_PATH, b"").await?;
        assert_eq!((answer.status, &*answer.content_type), (200, wire::CBOR), "{answer:?}");
        Ok(Challenge::decode(&answer.body).unwrap())
    }

    /// What an honest enclave would say to this challenge.
    pub fn honest(&self, challenge: &Challenge, boot: BootId, sequence: u64) -> Claim {
        let (_, tls) = self.wire.stream().get_ref();
        Claim::honest(tls, &self.key_spki, challenge, boot, sequence)
    }

    /// Sends a document, genuine or not, and what the claim says beside it.
    ///
    /// # Errors
    /// No answer.
    pub async fn answer(&mut self, claim: &Claim, document: &[u8]) -> Result<Answer, Closed> {
        self.wire.post(wire::ATTEST_PATH, &claim.message(document)).await
    }

    /// Challenge, document, answer: all honest, but for `attack`.
    ///
    /// # Errors
    /// No answer.
    pub async fn attest(
        &mut self,
        nsm: &SoftwareNsm,
        boot: BootId,
        sequence: u64,
        attack: impl FnOnce(&mut Claim),
    ) -> Result<Answer, Closed> {
        let challenge = self.challenge().await?;
        let mut claim = self.honest(&challenge, boot, sequence);
        attack(&mut claim);
        let document = claim.document(nsm);
        self.answer(&claim, &document).await
    }

    /// SPKI of the certificate that the server showed.
    pub fn server_spki(&self) -> Vec<u8> {
        let (_, tls) = self.wire.stream().get_ref();
        server_spki(tls)
    }
}

impl Claim {
    /// What an honest enclave with this key would say on this connection.
    pub fn honest(
        tls: &ClientConnection,
        key_spki: &[u8],
        challenge: &Challenge,
        boot: BootId,
        sequence: u64,
    ) -> Self {
        let nonce = challenge.nonce;
        let exporter =
            tls.export_keying_material([0; wire::EXPORTER_LEN], wire::EXPORTER_LABEL, Some(nonce.as_bytes()));
        Self {
            nonce,
            public_key: key_spki.to_vec(),
            role: Role::Enclave,
            attester_spki: key_spki.to_vec(),
            server_spki: server_spki(tls),
            exporter: exporter.unwrap(),
            deployment: challenge.deployment.clone(),
            bound_boot: boot,
            bound_sequence: sequence,
            boot,
            sequence,
            lease: Lease::MIN,
            clock_skew_ms: 0,
            fault: None,
        }
    }

    /// The body of `POST /v1/attest` around a document.
    pub fn message(&self, document: &[u8]) -> Vec<u8> {
        let Self { lease, boot, sequence, .. } = *self;
        Attest { document, lease, boot_id: boot, sequence }.encode()
    }

    /// The document over it.
    pub fn document(&self, nsm: &SoftwareNsm) -> Vec<u8> {
        let binder = Binder {
            role: self.role,
            attester_spki: &self.attester_spki,
            server_spki: &self.server_spki,
            exporter: &self.exporter,
            deployment: &self.deployment,
            boot_id: self.bound_boot,
            sequence: self.bound_sequence,
        };
        let request = AttestationRequest {
            public_key: Some(self.public_key.clone()),
            user_data: Some(binder.digest().to_vec()),
            nonce: Some(self.nonce.as_bytes().to_vec()),
        };
        let now = now_ms().checked_add_signed(self.clock_skew_ms).unwrap();
        match self.fault {
            None => nsm.attest(now, &request).unwrap(),
            Some(fault) => nsm.attest_with(now, &request, fault).unwrap(),
        }
    }
}

impl Answer {
    /// The grant in it.
    ///
    /// # Panics
    /// It is a refusal; the message shows it.
    #[track_caller]
    pub fn grant(&self) -> Grant {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        Grant::decode(&self.body).unwrap()
    }
}

/// SPKI of the certificate that the server showed.
fn server_spki(tls: &ClientConnection) -> Vec<u8> {
    let leaf = tls.peer_certificates().unwrap().first().unwrap();
    let parsed = rustls::server::ParsedCertificate::try_from(leaf).unwrap();
    parsed.subject_public_key_info().to_vec()
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}
