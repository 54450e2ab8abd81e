use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::{peers::Channel, pool::Tunnel, relay::Side, telemetry::Counted, transport::Stream};

/// An open way to a destination, among those that are counted.
pub type Connection = Counted<Way>;

/// An open way to a destination.
#[derive(Debug)]
pub enum Way {
    /// Through the public proxy; ends with the lease.
    Tunnel(Tunnel),
    /// A plain byte stream, direct or through the host half.
    Plain(Stream),
    /// To a peer enclave, over one of the others; ends with the peer's proof.
    Peer(Box<Channel<Way>>),
}

impl Connection {
    /// Cancelled when the connection must end whatever its ends say.
    pub fn cut(&self) -> Option<&CancellationToken> {
        self.inner().cut()
    }
}

impl Way {
    /// Cancelled when it must end whatever its ends say.
    pub fn cut(&self) -> Option<&CancellationToken> {
        match self {
            Self::Tunnel(tunnel) => Some(tunnel.cut()),
            Self::Plain(_) => None,
            Self::Peer(channel) => Some(channel.cut()),
        }
    }
}

impl Side for Way {
    fn abort(&self) {
        match self {
            Self::Tunnel(tunnel) => tunnel.abort(),
            Self::Plain(stream) => stream.abort(),
            Self::Peer(channel) => channel.abort(),
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Tunnel(tunnel) => tunnel.is_gone(),
            Self::Plain(stream) => stream.is_gone(),
            Self::Peer(channel) => channel.is_gone(),
        }
    }
}

macro_rules! delegate {
    ($self:ident, $way:ident => $call:expr) => {
        match $self.get_mut() {
            Way::Tunnel($way) => $call,
            Way::Plain($way) => $call,
            Way::Peer($way) => $call,
        }
    };
}

impl AsyncRead for Way {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, way => Pin::new(way).poll_read(cx, buf))
    }
}

impl AsyncWrite for Way {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, way => Pin::new(way).poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, way => Pin::new(way).poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tunnel(tunnel) => tunnel.is_write_vectored(),
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Peer(channel) => channel.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, way => Pin::new(way).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, way => Pin::new(way).poll_shutdown(cx))
    }
}
