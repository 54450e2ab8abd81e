use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Figures;
use crate::relay::Side;

/// A way out, counted while it lives where somebody counts: that it is open, and its bytes while they flow.
/// Where nobody does, this costs a branch.
pub struct Counted<S> {
    side: S,
    open: Option<Open>,
}

/// One among those that are open.
struct Open(Arc<Figures>);

impl<S> Counted<S> {
    /// Counted from now on until it is dropped.
    pub(crate) fn new(side: S, figures: Option<&Arc<Figures>>) -> Self {
        let open = figures.map(|figures| {
            figures.tunnels.opened();
            Open(figures.clone())
        });
        Self { side, open }
    }

    /// What is counted.
    pub fn inner(&self) -> &S {
        &self.side
    }

    /// What was counted until now.
    pub fn into_inner(self) -> S {
        self.side
    }

    fn left(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Some(Open(figures)), Poll::Ready(Ok(bytes))) = (&self.open, &written) {
            figures.tunnels.up(*bytes);
        }
        written
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.tunnels.ended();
    }
}

/// Only what is counted is of interest in a log.
impl<S: fmt::Debug> fmt::Debug for Counted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.side.fmt(f)
    }
}

impl<S: Side> Side for Counted<S> {
    fn abort(&self) {
        self.side.abort();
    }

    fn is_gone(&self) -> bool {
        self.side.is_gone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.side).poll_read(cx, buf);
        if let Some(Open(figures)) = &self.open {
            figures.tunnels.down(buf.filled().len() - before);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.side).poll_write(cx, data);
        self.left(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.side).poll_write_vectored(cx, data);
        self.left(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.side.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::telemetry::TunnelCounts;

    #[tokio::test]
    async fn bytes_are_counted_while_they_flow_and_the_connection_while_it_lives() {
        let (near, mut far) = tokio::io::duplex(16);
        let figures = Arc::new(Figures::default());
        let mut counted = Counted::new(near, Some(&figures));
        counted.write_all(b"question").await.unwrap();
        far.write_all(b"yes").await.unwrap();
        counted.read_exact(&mut [0; 3]).await.unwrap();
        assert_eq!(figures.tunnels.read(), TunnelCounts { opened: 1, open: 1, up: 8, down: 3 });
        drop(counted);
        assert_eq!(figures.tunnels.read(), TunnelCounts { opened: 1, open: 0, up: 8, down: 3 });
    }
}
