use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use countersign_protocol::{Destination, Host};
use countersign_telemetry::TraceContext;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_vsock::{VsockAddr, VsockStream};

use super::{UnixSocket, connect, set_local, set_remote};
use crate::{egress::HostLink, trunk::Lane};

/// How to get to the proxy, as the manifest says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dial {
    /// TCP; a name is resolved anew for each attempt.
    Tcp(Destination),
    /// A UNIX socket, for instance of a host half that carries bytes.
    Unix(PathBuf),
    /// A virtio socket (vsock(7)); CID 3 is the parent instance.
    Vsock {
        /// The other machine.
        cid: u32,
        /// Its port.
        port: u32,
    },
    /// TCP from the parent machine: its host half resolves the name and dials.
    Host {
        /// The host half; every way through it shares what is known of it.
        half: HostLink,
        /// Where it connects to.
        to: Destination,
    },
}

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A UNIX socket.
    Unix(PathBuf),
    /// A virtio socket.
    Vsock {
        /// The other machine.
        cid: u32,
        /// Its port.
        port: u32,
    },
    /// TCP from the parent machine.
    Host {
        /// The host half.
        half: HostLink,
        /// What was asked for: the parent's rule sets name names.
        of: Destination,
        /// Which of its addresses it dials.
        at: IpAddr,
    },
}

impl Dial {
    /// The same place, seen from where only the host half is in reach: it dials
    /// what is TCP; sockets of this machine are reached as before.
    pub fn through(self, half: &HostLink) -> Self {
        match self {
            Self::Tcp(to) => Self::Host { half: half.clone(), to },
            other => other,
        }
    }

    /// Connects to the first of its addresses that answers, one after the other.
    ///
    /// # Errors
    /// [`DialError`] of the last one tried, or of the name.
    pub async fn connect(&self) -> Result<Stream, DialError> {
        let mut last = None;
        for address in self.resolve().await? {
            match address.connect().await {
                Ok(stream) => return Ok(stream),
                Err(why) => last = Some(why),
            }
        }
        let none = || DialError::Resolve { name: "nothing".to_owned(), why: io::ErrorKind::NotFound.into() };
        Err(last.unwrap_or_else(none))
    }

    /// Every address to try, at most [`MAX_ADDRESSES`], never none.
    ///
    /// # Errors
    /// [`DialError`] when the name does not resolve within its deadline.
    pub async fn resolve(&self) -> Result<Vec<Address>, DialError> {
        let destination = match self {
            Self::Tcp(destination) => destination,
            Self::Unix(path) => return Ok(vec![Address::Unix(path.clone())]),
            Self::Vsock { cid, port } => return Ok(vec![Address::Vsock { cid: *cid, port: *port }]),
            Self::Host { half, to } => return resolve_on_host(half, to).await,
        };
        let name = match destination.host() {
            Host::Address(ip) => return Ok(vec![Address::Tcp(SocketAddr::new(*ip, destination.port()))]),
            Host::Name(name) => name,
        };
        let failed = |why| DialError::Resolve { name: name.to_string(), why };
        let found = timeout(RESOLVE_DEADLINE, lookup_host((&**name, destination.port())))
            .await
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        let mut addresses: Vec<_> = found.map(Address::Tcp).collect();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        Ok(addresses)
    }
}

async fn resolve_on_host(half: &HostLink, to: &Destination) -> Result<Vec<Address>, DialError> {
    // Boxed: the host half is itself reached by a dial.
    let found = Box::pin(half.resolve(to)).await;
    let found = found
        .map_err(|why| DialError::Resolve { name: to.host().to_string(), why: io::Error::other(why) })?;
    let host = |address: SocketAddr| Address::Host { half: half.clone(), of: to.clone(), at: address.ip() };
    Ok(found.into_iter().map(host).collect())
}

impl Address {
    /// Connects within [`CONNECT_DEADLINE`].
    ///
    /// # Errors
    /// [`DialError::Connect`] with the address and the reason.
    pub async fn connect(&self) -> Result<Stream, DialError> {
        self.connect_under(None).await
    }

    /// The same, for a trace that the host half is told of where it dials.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub async fn connect_under(&self, trace: Option<TraceContext>) -> Result<Stream, DialError> {
        let failed = |why| DialError::Connect { address: self.clone(), why };
        timeout(CONNECT_DEADLINE, self.open(trace))
            .await
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)
    }

    async fn open(&self, trace: Option<TraceContext>) -> io::Result<Stream> {
        match self {
            Self::Tcp(address) => {
                let stream = connect(*address).await?;
                let set = if address.ip().is_loopback() { set_local } else { set_remote };
                set(&stream)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(path) => UnixSocket::connect(path).map(Stream::Unix),
            Self::Vsock { cid, port } => {
                VsockStream::connect(VsockAddr::new(*cid, *port)).await.map(Stream::Vsock)
            }
            Self::Host { half, of, at } => {
                Box::pin(half.dial(of, *at, trace)).await.map_err(io::Error::other)
            }
        }
    }

    /// The same machine at another port: the gateway beside the attestation port.
    /// `None` for what has no such relation.
    pub fn with_port(&self, port: u16) -> Option<Self> {
        match self {
            Self::Tcp(address) => Some(Self::Tcp(SocketAddr::new(address.ip(), port))),
            Self::Host { half, of, at } => {
                let of = Destination::new(of.host().clone(), NonZeroU16::new(port)?);
                Some(Self::Host { half: half.clone(), of, at: *at })
            }
            Self::Unix(_) | Self::Vsock { .. } => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Host { of, at, .. } => write!(f, "{of} at {at} through the host half"),
        }
    }
}

/// As it is written in a manifest; what the host half dials is written as TCP.
impl fmt::Display for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(to) => write!(f, "tcp:{to}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Host { half, to } => write!(f, "tcp:{to} through {}", half.at()),
        }
    }
}

/// Why nothing could be connected.
#[derive(Debug)]
pub enum DialError {
    /// The name leads nowhere.
    Resolve {
        /// The name.
        name: String,
        /// What the resolver said.
        why: io::Error,
    },
    /// The address took no connection.
    Connect {
        /// The address.
        address: Address,
        /// What the system said.
        why: io::Error,
    },
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { name, .. } => write!(f, "{name} does not resolve"),
            Self::Connect { address, .. } => write!(f, "no connection to {address}"),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve { why, .. } | Self::Connect { why, .. } => Some(why),
        }
    }
}

/// The most addresses of one name that are tried in one round.
pub const MAX_ADDRESSES: usize = 16;

/// How long the system's resolver may take.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);

/// How long one address may take to connect.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A connection over any transport.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A UNIX socket.
    Unix(UnixSocket),
    /// A virtio socket.
    Vsock(VsockStream),
    /// One of many over a connection between the halves.
    Lane(Lane),
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::Vsock($stream) => $call,
            Stream::Lane($stream) => $call,
        }
    };
}

impl Stream {
    /// The machine at the other end of a virtio socket; `None` for other transports.
    pub fn peer_cid(&self) -> Option<u32> {
        match self {
            Self::Vsock(stream) => stream.peer_addr().ok().map(|address| address.cid()),
            Self::Tcp(_) | Self::Unix(_) | Self::Lane(_) => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Vsock(stream) => stream.is_write_vectored(),
            Self::Lane(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
