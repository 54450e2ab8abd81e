use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{egress::Connection, pool::Tunnel, transport::Stream};

/// Bytes that stop when the session ends, whatever the other end says.
pub(super) struct Cuttable {
    raw: Raw,
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

enum Raw {
    Tunnel(Box<Tunnel>),
    Plain(Stream),
}

impl Cuttable {
    pub(super) fn new(connection: Connection) -> Self {
        let cut = connection.cut().map(|cut| Box::pin(cut.clone().cancelled_owned()));
        let raw = match connection {
            Connection::Tunnel(tunnel) => Raw::Tunnel(Box::new(tunnel)),
            Connection::Plain(stream, _) => Raw::Plain(stream),
        };
        Self { raw, cut }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().map(|cut| cut.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the session's lease lapsed"))
            }
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        match &mut self.raw {
            Raw::Tunnel(tunnel) => Pin::new(tunnel).poll_read(cx, buf),
            Raw::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        match &mut self.raw {
            Raw::Tunnel(tunnel) => Pin::new(tunnel).poll_write(cx, data),
            Raw::Plain(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.raw {
            Raw::Tunnel(tunnel) => Pin::new(tunnel).poll_flush(cx),
            Raw::Plain(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.raw {
            Raw::Tunnel(tunnel) => Pin::new(tunnel).poll_shutdown(cx),
            Raw::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
