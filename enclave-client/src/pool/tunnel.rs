use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::http2::H2Stream;
use crate::transport::Stream;

/// A byte stream through the gateway to one destination.
pub struct Tunnel {
    way: Way,
    cut: CancellationToken,
}

enum Way {
    /// A connection of its own; bytes that came with the answer's head are read first.
    Own { stream: Box<TlsStream<Stream>>, early: Bytes },
    /// One of many on a connection.
    Stream(H2Stream),
}

impl Tunnel {
    pub(super) fn own(stream: TlsStream<Stream>, early: Bytes, cut: CancellationToken) -> Self {
        Self { way: Way::Own { stream: Box::new(stream), early }, cut }
    }

    pub(super) fn stream(stream: H2Stream, cut: CancellationToken) -> Self {
        Self { way: Way::Stream(stream), cut }
    }

    /// Cancelled when the session's lease lapsed: the tunnel must end then, even
    /// if nobody on the way says so.
    pub fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    /// Bytes to move at a time: large where the connection is ours alone (64 KiB
    /// moves twice as much as 8 KiB), one frame where it is shared.
    pub fn buffer_len(&self) -> usize {
        match self.way {
            Way::Own { .. } => 64 * 1024,
            Way::Stream(_) => 16 * 1024,
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Own { .. } => "http/1.1",
            Way::Stream(_) => "h2",
        };
        f.debug_tuple("Tunnel").field(&way).finish()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Own { early, .. } if !early.is_empty() => {
                let take = early.len().min(buf.remaining());
                buf.put_slice(&early[..take]);
                early.advance(take);
                Poll::Ready(Ok(()))
            }
            Way::Own { stream, .. } => Pin::new(stream).poll_read(cx, buf),
            Way::Stream(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Own { stream, .. } => Pin::new(stream).poll_write(cx, data),
            Way::Stream(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Own { stream, .. } => Pin::new(stream).poll_flush(cx),
            Way::Stream(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Own { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            Way::Stream(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
