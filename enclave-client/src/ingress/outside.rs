use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::{relay::Side, transport::Stream};

/// A caller behind TLS, as a relay sees it.
pub(super) struct Outside {
    stream: TlsStream<Stream>,
    asked: AtomicBool,
}

impl Outside {
    pub(super) fn new(stream: TlsStream<Stream>) -> Self {
        Self { stream, asked: AtomicBool::new(false) }
    }
}

impl Side for Outside {
    /// No close_notify is sent, which is how TLS says "truncated" (RFC 8446 section 6.1).
    fn abort(&self) {
        self.stream.get_ref().0.abort();
    }

    /// The first question comes with the caller's end. Behind TLS that is a
    /// close_notify, which nobody else can write: everything before it is whole,
    /// even if the caller has hung up by now. From the second question on it counts.
    fn is_gone(&self) -> bool {
        self.asked.swap(true, Ordering::Relaxed) && self.stream.get_ref().0.is_gone()
    }
}

impl AsyncRead for Outside {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Outside {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
