use std::{net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, ClientConnection};
use tokio::net::TcpStream;

use crate::competitor::Competitor;
use crate::failure::{Context, Failure};
use crate::fleet::{Standing, StreamTunnel, echo, handshake_only, own_connection};
use crate::proxy::Proxy;
use crate::tls;
use crate::upstream::ECHO;

/// A way to the upstream.
#[derive(Clone)]
pub(super) enum Way {
    /// Ours, a stream on a standing connection.
    Standing(Vec<Standing>),
    /// Ours, a connection to itself.
    Own { gateway: SocketAddr, client: Arc<ClientConfig>, upstream: SocketAddr },
    /// A proxy that takes the handshake for the request.
    Handshake { address: SocketAddr, client: Arc<ClientConfig> },
    /// No proxy.
    Direct { upstream: SocketAddr },
}

/// A tunnel that has its connection to itself, and its TLS state if there is any.
pub(super) type OwnConnection = (TcpStream, Option<ClientConnection>);

impl Way {
    pub(super) fn own(proxy: &Proxy, client: Arc<ClientConfig>, upstream: SocketAddr) -> Self {
        Self::Own { gateway: proxy.gateway, client, upstream }
    }

    pub(super) fn handshake(competitor: &Competitor) -> Self {
        Self::Handshake { address: competitor.address, client: Arc::clone(&competitor.client) }
    }

    /// Opens the tunnel and has one byte echoed; `index` spreads the load over standing connections.
    ///
    /// # Errors
    /// It does not open.
    pub(super) async fn open(&self, index: usize) -> Result<Open, Failure> {
        Ok(match self {
            Self::Standing(connections) => {
                let at = index.checked_rem(connections.len()).and_then(|at| connections.get(at));
                Open::Stream(at.context("no standing connection")?.open().await?)
            }
            Self::Own { .. } | Self::Handshake { .. } | Self::Direct { .. } => {
                Open::Connection(Box::new(self.open_own(ECHO).await?))
            }
        })
    }

    /// Opens a tunnel with a connection to itself and has `first` echoed.
    ///
    /// # Errors
    /// It does not open.
    pub(super) async fn open_own(&self, first: u8) -> Result<OwnConnection, Failure> {
        let stream = match self {
            Self::Standing(_) => return Err(Failure::new("a stream has no connection to itself")),
            Self::Own { gateway, client, upstream } => {
                own_connection(*gateway, client, *upstream, first).await?
            }
            Self::Handshake { address, client } => handshake_only(*address, client, first).await?,
            Self::Direct { upstream } => {
                let mut stream = tls::dial(*upstream).await?;
                echo(&mut stream, first).await?;
                return Ok((stream, None));
            }
        };
        let (stream, tls) = stream.into_inner();
        Ok((stream, Some(tls)))
    }
}

/// An open tunnel.
pub(super) enum Open {
    /// On a standing connection.
    Stream(StreamTunnel),
    /// On its own.
    Connection(Box<OwnConnection>),
}

impl Open {
    /// A stream ends in order; a connection is reset, which spares both ends the wait for stragglers.
    pub(super) async fn close(self) {
        match self {
            Self::Stream(stream) => stream.close().await,
            Self::Connection(connection) => drop(connection),
        }
    }
}
