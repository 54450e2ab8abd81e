use std::{fmt, io, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::CertificateDer,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    records::{MAX_RECORD, RecordError, Records},
    stream::TlsStream,
};
use crate::proxy_protocol::ReceiveError;

/// A connection whose handshake is done.
pub(crate) struct Accepted {
    pub(crate) stream: TlsStream,
    /// The certificate that the client showed, proved to hold the key of, and
    /// that leads to the session root.
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) protocol: HttpVersion,
}

/// What ALPN agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    /// `http/1.1`, or no ALPN at all.
    One,
    /// `h2`.
    Two,
}

/// Why a handshake came to nothing.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The socket fails, or ends early.
    Io(io::Error),
    /// A load balancer's header before it is none.
    ProxyHeader(ReceiveError),
    /// What came is no TLS record.
    NotTls,
    /// The client sends more than any handshake needs.
    TooLong,
    /// rustls refuses it; the client was sent the alert.
    Tls(rustls::Error),
    /// The handshake ended where it must not.
    Protocol(&'static str),
    /// The keys cannot be taken over.
    Records(RecordError),
}

/// Makes the server's side of a handshake. Deadline and bounds are the caller's.
///
/// rustls is fed one record at a time, so that none of the client's data after
/// its Finished is opened by rustls: whatever is left belongs to [`Records`].
///
/// # Errors
/// [`HandshakeError`].
pub(crate) async fn accept(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<Accepted, HandshakeError> {
    let mut tls = UnbufferedServerConnection::new(config).map_err(HandshakeError::Tls)?;
    let mut incoming = Vec::with_capacity(FIRST_READ);
    let mut outgoing = Vec::new();
    // How much of `incoming` rustls has been shown: whole records only.
    let mut shown = 0;
    loop {
        let (step, discard) = step(&mut tls, incoming.get_mut(..shown).unwrap_or_default(), &mut outgoing);
        incoming.drain(..discard);
        shown -= discard;
        match step {
            Step::Again => {}
            Step::Flush => {
                tcp.write_all(&outgoing).await.map_err(HandshakeError::Io)?;
                outgoing.clear();
            }
            Step::Feed if tls.is_handshaking() => {
                shown += next_record(&mut tcp, &mut incoming, shown).await?;
            }
            Step::Feed => return finish(tcp, tls, incoming),
            Step::Failed(error) => {
                last_words(&mut tls, incoming.get_mut(..shown).unwrap_or_default(), &mut outgoing);
                // The alert is a courtesy; the handshake failed whether or not it arrives.
                let _ = tcp.write_all(&outgoing).await;
                let _ = tcp.shutdown().await;
                return Err(error);
            }
        }
    }
}

enum Step {
    Again,
    Flush,
    Feed,
    Failed(HandshakeError),
}

fn step(tls: &mut UnbufferedServerConnection, incoming: &mut [u8], outgoing: &mut Vec<u8>) -> (Step, usize) {
    let status = tls.process_tls_records(incoming);
    let step = match status.state {
        Ok(ConnectionState::EncodeTlsData(data)) => match encode(data, outgoing) {
            Ok(()) => Step::Again,
            Err(_) => Step::Failed(HandshakeError::Protocol("rustls has nothing to encode")),
        },
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::Flush
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Step::Feed,
        Ok(_) => {
            Step::Failed(HandshakeError::Protocol("the client closed or sent data inside the handshake"))
        }
        Err(error) => Step::Failed(HandshakeError::Tls(error)),
    };
    (step, status.discard)
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>) -> Result<(), EncodeError> {
    let at = outgoing.len();
    let required = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        Err(error) => return Err(error),
        Ok(_) => return Ok(()),
    };
    outgoing.resize(at + required, 0);
    data.encode(outgoing.get_mut(at..).unwrap_or_default()).map(|_| ())
}

/// The alert that rustls wants to send after it failed.
///
/// Asked only while there is one, and with the same bytes: rustls 0.23.46 would
/// go on with them otherwise, and it panics when it fails twice
/// (`send_fatal_alert`) or when bytes it remembers are gone (`slice_from_range`).
fn last_words(tls: &mut UnbufferedServerConnection, incoming: &mut [u8], outgoing: &mut Vec<u8>) {
    while tls.wants_write() {
        match step(tls, incoming, outgoing) {
            (Step::Again, 0) => {}
            _ => return,
        }
    }
}

/// Waits until the record after the first `shown` bytes is whole; its length.
async fn next_record(
    tcp: &mut TcpStream,
    incoming: &mut Vec<u8>,
    shown: usize,
) -> Result<usize, HandshakeError> {
    loop {
        match incoming.get(shown..) {
            Some(&[content, major, _, high, low, ref rest @ ..]) => {
                // RFC 8446 section 5.1: types 20 to 23, version 3.x.
                if !(20..=23).contains(&content) || major != 3 {
                    return Err(HandshakeError::NotTls);
                }
                let len = usize::from(u16::from_be_bytes([high, low]));
                if len <= rest.len() {
                    return Ok(5 + len);
                }
            }
            Some(&[content, ..]) if !(20..=23).contains(&content) => return Err(HandshakeError::NotTls),
            _ => {}
        }
        if incoming.len() >= MAX_INCOMING {
            return Err(HandshakeError::TooLong);
        }
        incoming.reserve(FIRST_READ);
        if tcp.read_buf(incoming).await.map_err(HandshakeError::Io)? == 0 {
            return Err(HandshakeError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

fn finish(
    tcp: TcpStream,
    tls: UnbufferedServerConnection,
    early: Vec<u8>,
) -> Result<Accepted, HandshakeError> {
    let leaf = match tls.peer_certificates() {
        Some([leaf, ..]) => leaf.clone(),
        _ => return Err(HandshakeError::Protocol("the client showed no certificate")),
    };
    let protocol = if tls.alpn_protocol() == Some(b"h2") { HttpVersion::Two } else { HttpVersion::One };
    let (secrets, schedule) = tls.dangerous_into_kernel_connection().map_err(HandshakeError::Tls)?;
    let suite = schedule.negotiated_cipher_suite();
    let suite = suite.tls13().ok_or(HandshakeError::Protocol("not TLS 1.3"))?;
    let limit = suite.common.confidentiality_limit;
    let records = Records::new(secrets, Box::new(schedule), limit).map_err(HandshakeError::Records)?;
    let stream = TlsStream::new(tcp, records, early).map_err(HandshakeError::Records)?;
    Ok(Accepted { stream, leaf, protocol })
}

const FIRST_READ: usize = 4096;

/// A certificate chain of a few certificates fits several times; at most one
/// record more is read than shown.
const MAX_INCOMING: usize = 2 * MAX_RECORD;

impl HandshakeError {
    /// The stable word in the log.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "handshake-io",
            Self::ProxyHeader(error) => error.code(),
            Self::NotTls => "not-tls",
            Self::TooLong => "handshake-too-long",
            Self::Tls(rustls::Error::InvalidCertificate(_)) => "client-certificate-refused",
            Self::Tls(rustls::Error::NoCertificatesPresented) => "no-client-certificate",
            Self::Tls(_) | Self::Protocol(_) | Self::Records(_) => "handshake-refused",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "socket failed: {error}"),
            Self::ProxyHeader(error) => error.fmt(f),
            Self::NotTls => f.write_str("what came is no TLS"),
            Self::TooLong => write!(f, "client sent more than {MAX_INCOMING} bytes"),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Protocol(what) => f.write_str(what),
            Self::Records(error) => write!(f, "first records: {error}"),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl From<ReceiveError> for HandshakeError {
    fn from(error: ReceiveError) -> Self {
        Self::ProxyHeader(error)
    }
}
