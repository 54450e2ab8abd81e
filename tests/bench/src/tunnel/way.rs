use std::{net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, ClientConnection};
use tokio::net::TcpStream;

use crate::competitor::Competitor;
use crate::failure::{Context, Failure};
use crate::fleet::{Standing, StreamTunnel, connect_request, echo, handshake_only, own_connection};
use crate::proxy::Proxy;
use crate::tls;
use crate::upstream::ECHO;

/// A way to the upstream.
#[derive(Clone)]
pub(crate) enum Way {
    /// Ours, a stream on a standing connection.
    Standing(Vec<Standing>),
    /// Ours, a connection to itself.
    Own { gateway: SocketAddr, client: Arc<ClientConfig>, upstream: SocketAddr },
    /// A proxy that takes the handshake for the request.
    Handshake { address: SocketAddr, client: Arc<ClientConfig> },
    /// An HTTP proxy in the clear, asked with CONNECT.
    Connect { proxy: SocketAddr, upstream: SocketAddr },
    /// No proxy, or one that takes the connection for the request.
    Direct { upstream: SocketAddr },
}

/// A tunnel that has its connection to itself, and its TLS state if there is any.
pub(crate) type OwnConnection = (TcpStream, Option<ClientConnection>);

impl Way {
    /// A tunnel of ours with a connection to itself.
    pub(crate) fn own(proxy: &Proxy, client: Arc<ClientConfig>, upstream: SocketAddr) -> Self {
        Self::Own { gateway: proxy.gateway, client, upstream }
    }

    pub(super) fn handshake(competitor: &Competitor) -> Self {
        Self::Handshake { address: competitor.address, client: Arc::clone(&competitor.client) }
    }

    /// Opens the tunnel and has one byte echoed; `index` spreads the load over standing connections.
    ///
    /// # Errors
    /// It does not open.
    pub(crate) async fn open(&self, index: usize) -> Result<Open, Failure> {
        Ok(match self {
            Self::Standing(connections) => {
                let at = index.checked_rem(connections.len()).and_then(|at| connections.get(at));
                Open::Stream(at.context("no standing connection")?.open().await?)
            }
            Self::Own { .. } | Self::Handshake { .. } | Self::Connect { .. } | Self::Direct { .. } => {
                Open::Connection(Box::new(self.open_own(ECHO).await?))
            }
        })
    }

    /// Opens a tunnel with a connection to itself and has `first` echoed.
    ///
    /// # Errors
    /// It does not open.
    pub(crate) async fn open_own(&self, first: u8) -> Result<OwnConnection, Failure> {
        let stream = match self {
            Self::Standing(_) => return Err(Failure::new("a stream has no connection to itself")),
            Self::Own { gateway, client, upstream } => {
                own_connection(*gateway, client, *upstream, first).await?
            }
            Self::Handshake { address, client } => handshake_only(*address, client, first).await?,
            Self::Connect { proxy, upstream } => {
                let stream = connect_request(tls::dial(*proxy).await?, *upstream).await?;
                return Ok((echoed(stream, first).await?, None));
            }
            Self::Direct { upstream } => {
                return Ok((echoed(tls::dial(*upstream).await?, first).await?, None));
            }
        };
        let (stream, tls) = stream.into_inner();
        Ok((stream, Some(tls)))
    }
}

async fn echoed(mut stream: TcpStream, first: u8) -> Result<TcpStream, Failure> {
    echo(&mut stream, first).await?;
    Ok(stream)
}

/// An open tunnel.
pub(crate) enum Open {
    /// On a standing connection.
    Stream(StreamTunnel),
    /// On its own.
    Connection(Box<OwnConnection>),
}

impl Open {
    /// A stream ends in order; a connection is reset, which spares both ends the wait for stragglers.
    pub(crate) async fn close(self) {
        match self {
            Self::Stream(stream) => stream.close().await,
            Self::Connection(connection) => drop(connection),
        }
    }
}
