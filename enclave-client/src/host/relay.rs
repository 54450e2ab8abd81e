use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

use crate::transport::Stream;

/// How a relayed connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both sides finished.
    Finished {
        /// Bytes of the first side.
        up: u64,
        /// Bytes of the second.
        down: u64,
    },
    /// One side broke.
    Broke(io::Error),
    /// It had to end.
    Cut,
}

/// Carries bytes both ways until both sides are done, or until `cut`. A
/// half-close passes through; anything else than an orderly end is an abrupt
/// end to both sides, so that nobody takes a part for the whole.
pub(super) async fn relay(first: Stream, second: Stream, cut: impl Future<Output = ()>) -> End {
    let mut first = Side { stream: first, ended: false };
    let mut second = Side { stream: second, ended: false };
    let end = tokio::select! {
        // Checked first: what may no longer be moves no further byte.
        biased;
        () = cut => End::Cut,
        copied = copy_bidirectional_with_sizes(&mut first, &mut second, BUFFER, BUFFER) => match copied {
            Ok((up, down)) => End::Finished { up, down },
            Err(why) => End::Broke(why),
        },
    };
    if !matches!(end, End::Finished { .. }) {
        first.stream.abort();
        second.stream.abort();
    }
    end
}

/// A stream that tells an end from a disappearance.
struct Side {
    stream: Stream,
    /// We have sent our end: from then on the two look alike, and the other side owes us nothing.
    ended: bool,
}

impl AsyncRead for Side {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let at_end = matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before;
        if at_end && !self.ended && self.stream.is_gone() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        read
    }
}

impl AsyncWrite for Side {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// For each direction.
const BUFFER: usize = 64 * 1024;
