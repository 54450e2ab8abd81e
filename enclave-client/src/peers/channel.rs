use std::{
    fmt, io,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{InUse, Permit, Secured};
use crate::relay::Side;

/// The application's bytes between two enclaves that have proved themselves.
///
/// Nothing stands between its bytes and TLS: proofs go over connections of their own.
pub struct Channel<S> {
    stream: TlsStream<S>,
    cut: CancellationToken,
    asked: AtomicBool,
    _in_use: InUse,
    _watch: Option<DropGuard>,
}

impl<S: Side> Channel<S> {
    /// A channel as long as the permit holds, and `below`, where what carries it has an end of its own.
    pub fn new(secured: Secured<S>, permit: Permit, below: Option<&CancellationToken>) -> Self {
        let Permit { cut, in_use } = permit;
        let (cut, watch) = match below {
            None => (cut, None),
            Some(below) => {
                let both = cut.child_token();
                let gone = CancellationToken::new();
                tokio::spawn(first_of(below.clone(), both.clone(), gone.clone()));
                (both, Some(gone.drop_guard()))
            }
        };
        Self { stream: secured.stream, cut, asked: AtomicBool::new(false), _in_use: in_use, _watch: watch }
    }

    /// Cancelled when the channel must end whatever its ends say.
    pub fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    fn below(&self) -> &S {
        self.stream.get_ref().0
    }
}

async fn first_of(below: CancellationToken, both: CancellationToken, gone: CancellationToken) {
    tokio::select! {
        () = below.cancelled() => both.cancel(),
        () = both.cancelled() => {}
        () = gone.cancelled() => {}
    }
}

impl<S: Side> Side for Channel<S> {
    /// No close_notify is sent, which is how TLS says "truncated" (RFC 8446 section 6.1).
    fn abort(&self) {
        self.below().abort();
    }

    /// The first question comes with the other end's end. Behind TLS that is a close_notify, which nobody else can
    /// write: everything before it is whole, even if the other end has hung up by now. From the second question on it
    /// counts.
    fn is_gone(&self) -> bool {
        self.asked.swap(true, Ordering::Relaxed) && self.below().is_gone()
    }
}

impl<S> fmt::Debug for Channel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}

impl<S: Side> AsyncRead for Channel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Side> AsyncWrite for Channel<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
