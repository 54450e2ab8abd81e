//! TLS between peers: version 1.3, a self-signed P-256 key at both ends, nothing resumed.

use std::{fmt, io, sync::Arc, time::Duration};

use countersign_protocol::{
    KeyThumbprint,
    peer::{PEER_ALPN, PEER_EXPORTER_LABEL, Side},
    wire::EXPORTER_LEN,
};
use rustls::{
    ClientConfig, ServerConfig, crypto::aws_lc_rs, server::NoServerSessionStorage, sign::SingleCertAndKey,
    version::TLS13,
};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{
    PeerError,
    any_key::{AnyP256Key, spki},
};
use crate::key::{EnclaveKey, KeyError};

/// This enclave to its peers: one key for the life of the process, made here.
#[derive(Clone)]
pub struct PeerIdentity {
    spki: Arc<[u8]>,
    client: TlsConnector,
    server: TlsAcceptor,
}

impl PeerIdentity {
    /// Makes a key.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn generate() -> Result<Self, IdentityError> {
        let key = EnclaveKey::generate().map_err(IdentityError::Key)?;
        Self::of(&key)
    }

    /// The same with a key that is there already.
    ///
    /// # Errors
    /// [`IdentityError::Tls`] when the provider cannot speak TLS 1.3.
    pub fn of(key: &EnclaveKey) -> Result<Self, IdentityError> {
        let client = client_config(key).map_err(IdentityError::Tls)?;
        let server = server_config(key).map_err(IdentityError::Tls)?;
        Ok(Self { spki: key.spki().into(), client: Arc::new(client).into(), server: Arc::new(server).into() })
    }

    /// SubjectPublicKeyInfo of the key, DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The handshake of whoever dialled, within [`HANDSHAKE_DEADLINE`].
    ///
    /// # Errors
    /// [`PeerError::Tls`]; [`PeerError::Itself`] when the other end shows our own key.
    pub async fn connect<S>(&self, stream: S) -> Result<Secured<S>, PeerError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // No name is sent, and none is compared: who a peer is, its document tells.
        let nobody = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        let handshake = self.client.connect(nobody, stream);
        let stream = timeout(HANDSHAKE_DEADLINE, handshake).await.unwrap_or_else(|_| Err(late()));
        self.secured(stream.map(TlsStream::Client), Side::Initiator)
    }

    /// The handshake of whoever accepted, within [`HANDSHAKE_DEADLINE`].
    ///
    /// # Errors
    /// As [`PeerIdentity::connect`].
    pub async fn accept<S>(&self, stream: S) -> Result<Secured<S>, PeerError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = self.server.accept(stream);
        let stream = timeout(HANDSHAKE_DEADLINE, handshake).await.unwrap_or_else(|_| Err(late()));
        self.secured(stream.map(TlsStream::Server), Side::Responder)
    }

    fn secured<S>(&self, stream: io::Result<TlsStream<S>>, side: Side) -> Result<Secured<S>, PeerError> {
        let stream = stream.map_err(PeerError::Tls)?;
        let state = stream.get_ref().1;
        // rustls lets a client without ALPN in; a peer has one.
        if state.alpn_protocol() != Some(PEER_ALPN) {
            return Err(PeerError::Tls(io::Error::other("the other end names another protocol than ours")));
        }
        let missing = || PeerError::Tls(io::Error::other("the other end shows no certificate"));
        let leaf = state.peer_certificates().and_then(<[_]>::first).ok_or_else(missing)?;
        let peer: Arc<[u8]> = spki(leaf).map_err(|_| missing())?.into();
        if peer == self.spki {
            return Err(PeerError::Itself);
        }
        Ok(Secured { stream, side, own: self.spki.clone(), peer })
    }
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeerIdentity").field(&KeyThumbprint::of_spki(&self.spki)).finish()
    }
}

/// A connection whose other end proved to hold a key; what holds the key is not known by that.
pub struct Secured<S> {
    /// The bytes.
    pub stream: TlsStream<S>,
    side: Side,
    own: Arc<[u8]>,
    peer: Arc<[u8]>,
}

impl<S> Secured<S> {
    /// Which end this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// SPKI of our key, DER.
    pub fn own_spki(&self) -> &[u8] {
        &self.own
    }

    /// SPKI of the other end's key, DER.
    pub fn peer_spki(&self) -> &[u8] {
        &self.peer
    }

    /// Which key the other end holds.
    pub fn peer(&self) -> KeyThumbprint {
        KeyThumbprint::of_spki(&self.peer)
    }

    /// What names this very connection (RFC 8446 section 7.5).
    pub(super) fn exporter(&self, context: &[u8]) -> Result<[u8; EXPORTER_LEN], PeerError> {
        let value = [0; EXPORTER_LEN];
        let exported = match &self.stream {
            TlsStream::Client(stream) => {
                stream.get_ref().1.export_keying_material(value, PEER_EXPORTER_LABEL, Some(context))
            }
            TlsStream::Server(stream) => {
                stream.get_ref().1.export_keying_material(value, PEER_EXPORTER_LABEL, Some(context))
            }
        };
        exported.map_err(|why| PeerError::Tls(io::Error::other(why)))
    }
}

impl<S> fmt::Debug for Secured<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").field("side", &self.side).field("peer", &self.peer()).finish()
    }
}

/// No identity could be made.
#[derive(Debug)]
pub enum IdentityError {
    /// The key.
    Key(KeyError),
    /// The TLS configuration.
    Tls(rustls::Error),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "no key for peers was made",
            Self::Tls(_) => "TLS between peers cannot be configured",
        })
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(why) => Some(why),
            Self::Tls(why) => Some(why),
        }
    }
}

fn client_config(key: &EnclaveKey) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyP256Key::new(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key.self_signed())));
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    config.alpn_protocols = vec![PEER_ALPN.to_vec()];
    Ok(config)
}

fn server_config(key: &EnclaveKey) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyP256Key::new(provider.signature_verification_algorithms));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key.self_signed())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![PEER_ALPN.to_vec()];
    Ok(config)
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Two round trips and one signature at each end.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
