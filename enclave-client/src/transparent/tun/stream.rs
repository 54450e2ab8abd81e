use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use smoltcp::socket::tcp::{RecvError, State};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;
use crate::relay::Side;

/// A connection's bytes. Dropped before both ends said that they are done, it is reset.
pub(super) struct TunStream(Arc<Connection>);

impl TunStream {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self(connection)
    }
}

impl AsyncRead for TunStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut timed = self.0.lock();
        let socket = timed.stack.socket();
        if socket.state() == State::SynReceived || (socket.may_recv() && !socket.can_recv()) {
            socket.register_recv_waker(cx.waker());
            return Poll::Pending;
        }
        // Twice, since the buffer is a ring.
        for _ in 0..2 {
            let read = socket.recv(|bytes| {
                let len = bytes.len().min(buf.remaining());
                buf.put_slice(bytes.get(..len).unwrap_or_default());
                (len, len)
            });
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) if !buf.filled().is_empty() => break,
                Err(RecvError::Finished) => return Poll::Ready(Ok(())),
                Err(RecvError::InvalidState) => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
            }
        }
        // There is room again: the window may be opened.
        self.0.drive(&mut timed, None);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut timed = self.0.lock();
        let socket = timed.stack.socket();
        if socket.state() == State::SynReceived {
            socket.register_send_waker(cx.waker());
            return Poll::Pending;
        }
        let Ok(written) = socket.send_slice(data) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        if written == 0 && !data.is_empty() {
            socket.register_send_waker(cx.waker());
            return Poll::Pending;
        }
        self.0.drive(&mut timed, None);
        Poll::Ready(Ok(written))
    }

    /// Nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A half-close, behind all that was written.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut timed = self.0.lock();
        let socket = timed.stack.socket();
        if socket.state() == State::SynReceived {
            // An end before the beginning would be lost.
            socket.register_send_waker(cx.waker());
            return Poll::Pending;
        }
        socket.close();
        self.0.drive(&mut timed, None);
        Poll::Ready(Ok(()))
    }
}

/// Keep-alive is on from the start.
impl Side for TunStream {
    fn abort(&self) {
        let mut timed = self.0.lock();
        timed.stack.socket().abort();
        self.0.drive(&mut timed, None);
    }

    fn is_gone(&self) -> bool {
        let mut timed = self.0.lock();
        matches!(timed.stack.socket().state(), State::Closed | State::Listen)
    }
}

impl Drop for TunStream {
    fn drop(&mut self) {
        let state = self.0.lock().stack.socket().state();
        match state {
            // Both ends are done; what is left is on its way and acknowledged in time.
            State::Closing | State::LastAck | State::TimeWait | State::Closed | State::Listen => {}
            _ => self.abort(),
        }
    }
}
