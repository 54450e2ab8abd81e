use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{io, io::AsyncWrite, net::TcpStream};

/// Bytes that a socket did not take yet. Holds no memory while empty.
///
/// It has no bound of its own: whoever fills it stops reading until it is
/// empty again, so that it never holds more than one read's worth.
#[derive(Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    sent: usize,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The buffer itself, to append to.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes up to `limit` bytes out; then [`Self::trim`].
    pub(crate) fn take(&mut self, limit: usize) -> &[u8] {
        let start = self.sent;
        self.sent = self.bytes.len().min(start.saturating_add(limit));
        self.bytes.get(start..self.sent).unwrap_or_default()
    }

    /// Lets go of the memory if nothing is left.
    pub(crate) fn trim(&mut self) {
        if self.sent == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Sends what is there; ready when nothing is left.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut TcpStream,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.sent..) {
            match ready!(Pin::new(&mut *socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        *self = Self::default();
        Poll::Ready(Ok(()))
    }
}
