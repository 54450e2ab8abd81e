mod error;
mod io;
mod reset;

use std::{
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

pub(crate) use error::StreamError;
pub(crate) use reset::{ResetSwitch, reset};

use super::{
    backlog::Backlog,
    records::{Alert, MAX_RECORD, RecordError, Records, Then},
    scratch::{Scratch, with_scratch},
};

/// A TLS connection after its handshake.
///
/// A tunnel of its own drives it by hand, through this thread's scratch
/// ([`Self::poll_receive`], [`Self::send_frames`]); request heads and HTTP/2
/// read and write it like any stream.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    records: Records,
    /// The start of a record whose end has not come.
    partial: Vec<u8>,
    /// Plaintext that no reader took yet.
    plain: Backlog,
    /// Records that the socket did not take yet.
    sealed: Backlog,
    read: ReadSide,
    write: WriteSide,
    /// Bytes read after our end and thrown away.
    discarded: usize,
    reset_on_drop: Option<ResetSwitch>,
}

/// What one [`TlsStream::poll_receive`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Bytes of plaintext.
    pub(crate) bytes: usize,
    /// Whether the read took as much as it could have.
    pub(crate) full: bool,
}

/// Whether the socket took all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    /// The rest waits in the backlog, and the task is woken when there is room.
    Backlogged,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadSide {
    Open,
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WriteSide {
    Open,
    CloseSealed,
}

impl TlsStream {
    /// Goes on after the handshake; `early` is what came after its last record.
    ///
    /// # Errors
    /// [`RecordError`] if that is no good.
    pub(crate) fn new(tcp: TcpStream, records: Records, early: Vec<u8>) -> Result<Self, RecordError> {
        let mut stream = Self {
            tcp,
            records,
            partial: early,
            plain: Backlog::default(),
            sealed: Backlog::default(),
            read: ReadSide::Open,
            write: WriteSide::Open,
            discarded: 0,
            reset_on_drop: None,
        };
        let mut slices = Vec::new();
        let mut then = Then::Batch;
        while then == Then::Batch {
            slices.clear();
            let progress = stream.records.open(&mut stream.partial, &mut slices)?;
            for range in &slices {
                stream.plain.extend(stream.partial.get(range.clone()).unwrap_or_default());
            }
            stream.partial.drain(..progress.consumed);
            then = progress.then;
        }
        stream.partial.shrink_to_fit();
        stream.note(then);
        Ok(stream)
    }

    /// Reads once, up to `ahead` bytes, and opens every whole record. `sink` is
    /// given the buffer and where the plaintext stands in it, once or several times.
    ///
    /// # Errors
    /// [`StreamError`], the sink's own included; the connection is over.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        ahead: usize,
        mut sink: impl FnMut(&mut Context<'_>, &[u8], &[Range<usize>]) -> Result<(), StreamError>,
    ) -> Poll<Result<Received, StreamError>> {
        with_scratch(|Scratch { area, slices }| {
            let kept = self.partial.len();
            let end = area.len().min(kept + ahead.max(MAX_RECORD));
            let mut room = ReadBuf::new(area.get_mut(kept..end).unwrap_or_default());
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut room)).map_err(StreamError::Io)?;
            let full = room.remaining() == 0;
            let filled = kept + room.filled().len();
            if filled == kept {
                return Poll::Ready(Err(StreamError::Truncated));
            }
            let bytes = area.get_mut(..filled).unwrap_or_default();
            bytes.get_mut(..kept).unwrap_or_default().copy_from_slice(&self.partial);

            let (mut at, mut plain) = (0, 0);
            let then = loop {
                slices.clear();
                let rest = bytes.get_mut(at..).unwrap_or_default();
                let progress = self.records.open(rest, slices).map_err(StreamError::Record)?;
                plain += slices.iter().map(ExactSizeIterator::len).sum::<usize>();
                if !slices.is_empty() {
                    sink(cx, rest, slices)?;
                }
                at += progress.consumed;
                if progress.then != Then::Batch {
                    break progress.then;
                }
            };
            self.keep(bytes.get(at..).unwrap_or_default());
            self.note(then);
            Poll::Ready(Ok(Received { bytes: plain, full }))
        })
    }

    /// Seals and sends the plaintext that stands in the frames of `area`
    /// ([`Records::seal_frames`]). Only when nothing waits ([`Self::poll_sent`]).
    ///
    /// # Errors
    /// [`StreamError`]; the connection is over.
    pub(crate) fn send_frames(
        &mut self,
        cx: &mut Context<'_>,
        area: &mut [u8],
        len: usize,
    ) -> Result<Sent, StreamError> {
        let range = self.records.seal_frames(area, len).map_err(StreamError::Record)?;
        let mut rest = area.get(range).unwrap_or_default();
        while !rest.is_empty() {
            match Pin::new(&mut self.tcp).poll_write(cx, rest) {
                Poll::Ready(Ok(sent)) => rest = rest.get(sent..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Err(StreamError::Io(error)),
                Poll::Pending => {
                    self.sealed.extend(rest);
                    return Ok(Sent::Backlogged);
                }
            }
        }
        Ok(Sent::All)
    }

    /// Ready when every sealed record is in the socket.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.sealed.poll_flush(cx, &mut self.tcp).map_err(StreamError::Io)
    }

    /// Sends close_notify and ends our direction of the TCP connection; the
    /// peer's direction stays as it is.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if self.write == WriteSide::Open {
            self.records.seal_alert(Alert::CloseNotify, self.sealed.end()).map_err(StreamError::Record)?;
            self.write = WriteSide::CloseSealed;
        }
        ready!(self.poll_sent(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx).map_err(StreamError::Io)
    }

    /// Tells the peer why its records were refused, if that needs no waiting.
    pub(crate) fn send_alert(&mut self, error: &RecordError) {
        let Some(alert) = error.alert().filter(|_| self.sealed.is_empty() && self.write == WriteSide::Open)
        else {
            return;
        };
        let mut record = Vec::new();
        if self.records.seal_alert(alert, &mut record).is_ok() {
            // The connection ends either way.
            let _ = self.tcp.try_write(&record);
        }
    }

    /// Whether the peer sent close_notify.
    pub(crate) fn is_read_closed(&self) -> bool {
        self.read == ReadSide::Closed
    }

    /// Whether plaintext waits to be read.
    pub(crate) fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// The plaintext that no reader took, for whoever reads on by hand.
    pub(crate) fn take_plain(&mut self) -> Backlog {
        std::mem::take(&mut self.plain)
    }

    /// The socket below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// A switch that makes the drop of this stream a reset.
    pub(crate) fn reset_switch(&mut self) -> ResetSwitch {
        self.reset_on_drop.get_or_insert_default().clone()
    }

    fn note(&mut self, then: Then) {
        if then == Then::Closed {
            self.read = ReadSide::Closed;
            self.partial = Vec::new();
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        if self.reset_on_drop.as_ref().is_some_and(ResetSwitch::is_set) {
            reset(&self.tcp);
        }
    }
}
