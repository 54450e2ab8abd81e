use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use countersign_protocol::{
    Binder, BootId, Deployment, Host, Lease, Problem, Role, SessionId,
    message::{AskCredentials, Attest, Challenge, Grant, IssuedCredentials},
    wire,
};
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    task::JoinHandle,
    time::{Duration, Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tracing::debug;

use super::{AttestError, Attested, Link, Site, shared_io::SharedIo};
use crate::{
    device::{Device, DocumentRequest},
    key::EnclaveKey,
    kms::Credentials,
    tls::{Anchors, Protocol, client_config},
    transport::{Address, Dial, Stream},
};

/// This start of the program, shared by all its attest loops.
#[derive(Debug)]
pub struct Boot {
    id: BootId,
    sequence: AtomicU64,
}

impl Boot {
    /// A new boot.
    ///
    /// # Errors
    /// When the system's random number generator fails.
    pub fn new() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut id = [0; BootId::LEN];
        aws_lc_rs::rand::fill(&mut id)?;
        Ok(Self { id: BootId::from_bytes(id), sequence: AtomicU64::new(0) })
    }

    /// The next number of this boot, from 1.
    fn next(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Everything that one proxy's attestation needs.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// The proxy's name, for SNI, certificate and `Host`.
    pub name: Host,
    /// Its attestation port.
    pub attestation: Dial,
    /// Its gateway port, if it lies beside the attestation port on the same address.
    pub gateway_port: Option<u16>,
    /// Whom its certificate must come from.
    pub anchors: Anchors,
    /// Which installation it must be of; `None`: whichever the certificate is good for.
    pub deployment: Option<Deployment>,
    /// K.
    pub key: EnclaveKey,
    /// The security module.
    pub device: Device,
    /// This boot.
    pub boot: Arc<Boot>,
}

/// A real proxy, over TLS.
#[derive(Clone)]
pub struct ProxySite {
    config: Arc<SiteConfig>,
    connector: TlsConnector,
    server_name: ServerName<'static>,
    host: HeaderValue,
}

impl ProxySite {
    /// Prepares TLS with the self-signed certificate of K.
    ///
    /// # Errors
    /// [`rustls::Error`] when TLS cannot be configured.
    pub fn new(config: SiteConfig) -> Result<Self, rustls::Error> {
        let tls = client_config(&config.anchors, config.key.self_signed(), Protocol::Http1)?;
        let server_name = server_name(&config.name)?;
        let host = host_header(&config)?;
        Ok(Self { config: Arc::new(config), connector: TlsConnector::from(tls), server_name, host })
    }
}

/// A host as TLS names it.
///
/// # Errors
/// For a name that DNS takes and a certificate cannot carry.
pub(crate) fn server_name(host: &Host) -> Result<ServerName<'static>, rustls::Error> {
    match host {
        Host::Address(ip) => Ok(ServerName::from(*ip)),
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|_| rustls::Error::General(format!("{name} cannot stand in a certificate"))),
    }
}

impl Site for ProxySite {
    type Address = Address;
    type Link = AttestLink;

    async fn resolve(&self) -> Result<Vec<Address>, AttestError> {
        self.config.attestation.resolve().await.map_err(AttestError::Dial)
    }

    async fn connect(&self, address: &Address) -> Result<AttestLink, AttestError> {
        let stream = address.connect().await.map_err(AttestError::Dial)?;
        let late = |_| AttestError::Deadline { what: "TLS handshake with the proxy" };
        let stream = timeout(HANDSHAKE_DEADLINE, self.connector.connect(self.server_name.clone(), stream))
            .await
            .map_err(late)?
            .map_err(AttestError::Tls)?;
        let server_spki = server_spki(&stream)?;
        let stream = SharedIo::new(stream);
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_BUFFER).max_headers(64);
        let (requests, connection) =
            builder.handshake(TokioIo::new(stream.clone())).await.map_err(AttestError::Http)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("attestation connection ended: {error}");
            }
        });
        let gateway = self.config.gateway_port.and_then(|port| address.with_port(port));
        let config = self.config.clone();
        let host = self.host.clone();
        Ok(AttestLink { config, host, requests, stream, server_spki, gateway, driver })
    }
}

/// A connection to an attestation port, HTTP/1.1 over TLS 1.3.
pub struct AttestLink {
    config: Arc<SiteConfig>,
    host: HeaderValue,
    requests: http1::SendRequest<Full<Bytes>>,
    stream: SharedIo<TlsStream<Stream>>,
    server_spki: Vec<u8>,
    gateway: Option<Address>,
    driver: JoinHandle<()>,
}

impl Link for AttestLink {
    async fn challenge(&mut self) -> Result<Challenge, AttestError> {
        let body = self.post(wire::CHALLENGE_PATH, Vec::new(), "the challenge").await?;
        let challenge = Challenge::decode(&body).map_err(AttestError::Message)?;
        match &self.config.deployment {
            Some(expected) if *expected != challenge.deployment => {
                Err(AttestError::OtherDeployment { expected: expected.clone(), actual: challenge.deployment })
            }
            _ => Ok(challenge),
        }
    }

    async fn answer(&mut self, challenge: &Challenge, lease: Lease) -> Result<Attested, AttestError> {
        let sequence = self.config.boot.next();
        let request = self.document_request(challenge, sequence)?;
        let document = self.config.device.document(request).await.map_err(AttestError::Device)?;
        let attest = Attest { document: &document, lease, boot_id: self.config.boot.id, sequence };
        let asked_at = Instant::now();
        let body = self.post(wire::ATTEST_PATH, attest.encode(), "the answer to the document").await?;
        let grant = Grant::decode(&body).map_err(AttestError::Message)?;
        self.attested(grant, asked_at)
    }

    async fn closed(&mut self) {
        // A failed join means the driver is gone as well.
        let _ = (&mut self.driver).await;
    }
}

impl AttestLink {
    /// Asks for AWS credentials: the proxy gives them to a connection that proves the key of this session.
    ///
    /// # Errors
    /// [`AttestError`].
    pub async fn credentials(&mut self, session: SessionId) -> Result<Credentials, AttestError> {
        let ask = AskCredentials { session };
        let body = self.post(wire::CREDENTIALS_PATH, ask.encode(), "the answer with credentials").await?;
        let IssuedCredentials { access_key_id, secret_access_key, session_token, expires } =
            IssuedCredentials::decode(&body).map_err(AttestError::Message)?;
        let made = Credentials::new(
            access_key_id.to_owned(),
            secret_access_key.to_owned(),
            Some(session_token.to_owned()),
        );
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(expires));
        Ok(made.expiring(expires.unwrap_or(UNIX_EPOCH)))
    }

    /// What ties the document to this connection, this challenge and this key.
    fn document_request(&self, challenge: &Challenge, sequence: u64) -> Result<DocumentRequest, AttestError> {
        let mut exporter = [0; wire::EXPORTER_LEN];
        self.stream
            .lock()
            .get_ref()
            .1
            .export_keying_material(&mut exporter, wire::EXPORTER_LABEL, Some(challenge.nonce.as_bytes()))
            .map_err(AttestError::TlsState)?;
        let binder = Binder {
            role: Role::Enclave,
            attester_spki: self.config.key.spki(),
            server_spki: &self.server_spki,
            exporter: &exporter,
            deployment: &challenge.deployment,
            boot_id: self.config.boot.id,
            sequence,
        };
        Ok(DocumentRequest {
            public_key: self.config.key.spki().to_vec(),
            user_data: binder.digest().to_vec(),
            nonce: challenge.nonce.as_bytes().to_vec(),
        })
    }

    async fn post(
        &mut self,
        path: &'static str,
        body: Vec<u8>,
        what: &'static str,
    ) -> Result<Bytes, AttestError> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path);
        request.headers_mut().insert(header::HOST, self.host.clone());
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(wire::CBOR));
        timeout(ANSWER_DEADLINE, self.exchange(request)).await.map_err(|_| AttestError::Deadline { what })?
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Bytes, AttestError> {
        self.requests.ready().await.map_err(AttestError::Http)?;
        let response = self.requests.send_request(request).await.map_err(AttestError::Http)?;
        let (head, body) = response.into_parts();
        let body =
            Limited::new(body, wire::MAX_GRANT).collect().await.map_err(too_long_or_broken)?.to_bytes();
        if head.status.is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(AttestError::Refused(Problem { status: head.status.as_u16(), ..problem })),
            Err(_) => Err(AttestError::Status { status: head.status.as_u16() }),
        }
    }

    fn attested(&self, grant: Grant, asked_at: Instant) -> Result<Attested, AttestError> {
        let Grant { session, lease, epoch, certificates } = grant;
        let chain: Vec<_> = certificates.into_iter().map(CertificateDer::from).collect();
        let leaf = chain.first().ok_or(AttestError::ForeignCertificate)?;
        let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|_| AttestError::ForeignCertificate)?;
        if leaf.subject_public_key_info().as_ref() != self.config.key.spki() {
            return Err(AttestError::ForeignCertificate);
        }
        let identity = self.config.key.certified(chain);
        let tls = |protocol| {
            client_config(&self.config.anchors, identity.clone(), protocol).map_err(AttestError::TlsState)
        };
        Ok(Attested {
            session,
            lease,
            epoch,
            asked_at,
            gateway: self.gateway.clone(),
            http1: tls(Protocol::Http1)?,
            http2: tls(Protocol::Http2)?,
        })
    }
}

impl Drop for AttestLink {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// SPKI of the certificate that the proxy showed, DER.
fn server_spki(stream: &TlsStream<Stream>) -> Result<Vec<u8>, AttestError> {
    let missing = || AttestError::TlsState(rustls::Error::NoCertificatesPresented);
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).ok_or_else(missing)?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|_| missing())?;
    Ok(leaf.subject_public_key_info().as_ref().to_vec())
}

/// The `Host` header: the attestation port's name where the transport has one.
fn host_header(config: &SiteConfig) -> Result<HeaderValue, rustls::Error> {
    let text = match &config.attestation {
        Dial::Tcp(to) | Dial::Host { to, .. } => to.to_string(),
        Dial::Unix(_) | Dial::Vsock { .. } => config.name.to_string(),
    };
    HeaderValue::try_from(text).map_err(|error| rustls::Error::General(error.to_string()))
}

fn too_long_or_broken(error: Box<dyn std::error::Error + Send + Sync>) -> AttestError {
    // `Limited` has one error of its own; anything else came from hyper.
    error.downcast::<hyper::Error>().map_or(AttestError::TooLong, |error| AttestError::Http(*error))
}

/// The handshake: two round trips and one signature on each side.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// One request and its answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// hyper's read buffer: heads are small, bodies are limited apart.
const MAX_BUFFER: usize = 16 * 1024;
