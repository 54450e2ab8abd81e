use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use countersign_protocol::unmap;
use ipnet::IpNet;
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::{Header, HeaderError, PREFIX_LEN, Prefix};

/// The load balancers whose word about an address counts. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancers(Box<[IpNet]>);

impl LoadBalancers {
    /// Those in these networks.
    ///
    /// # Errors
    /// [`EveryAddress`] when one of them is not a part of the address space but
    /// all of it: then every client could choose his own address.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Result<Self, EveryAddress> {
        let networks: Box<[IpNet]> = networks.into_iter().collect();
        match networks.iter().any(|network| network.prefix_len() == 0) {
            true => Err(EveryAddress),
            false => Ok(Self(networks)),
        }
    }

    /// Whose connection this is: the peer's, or, when the peer is a load balancer,
    /// that of the client it names. Reads the header and not one byte of what
    /// follows; from anybody else it reads nothing. The deadline is the caller's.
    ///
    /// # Errors
    /// [`ReceiveError`]: the connection is of no use any more.
    pub(crate) async fn client(
        &self,
        tcp: &mut TcpStream,
        peer: SocketAddr,
    ) -> Result<SocketAddr, ReceiveError> {
        if !self.contain(peer.ip()) {
            return Ok(peer);
        }
        let mut prefix = [0; PREFIX_LEN];
        tcp.read_exact(&mut prefix).await?;
        let prefix = Prefix::parse(prefix)?;
        let mut rest = vec![0; prefix.rest_len()];
        tcp.read_exact(&mut rest).await?;
        Ok(match prefix.finish(&rest)? {
            Header::Local => peer,
            Header::Proxied { source, .. } => source,
        })
    }

    fn contain(&self, peer: IpAddr) -> bool {
        let peer = unmap(peer);
        self.0.iter().any(|network| network.contains(&peer))
    }
}

/// Why a load balancer's connection is refused before TLS.
#[derive(Debug)]
pub(crate) enum ReceiveError {
    /// The socket fails, or ends early.
    Io(io::Error),
    /// What came is no header.
    Header(HeaderError),
}

impl ReceiveError {
    /// The stable word in the log.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "handshake-io",
            Self::Header(_) => "proxy-header-refused",
        }
    }
}

impl From<io::Error> for ReceiveError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<HeaderError> for ReceiveError {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "socket failed before the PROXY header: {error}"),
            Self::Header(error) => write!(f, "PROXY header: {error}"),
        }
    }
}

impl std::error::Error for ReceiveError {}

/// A network that holds every address there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EveryAddress;

impl fmt::Display for EveryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected the load balancers' networks; found every address, and every client could then choose his own",
        )
    }
}

impl std::error::Error for EveryAddress {}
