use std::{
    fmt, io,
    ops::Range,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    backlog::Backlog,
    records::{Alert, FRAME, HEADER, LEAD, MAX_RECORD, PLAIN, RecordError, Records, Then},
    scratch::{FRAMES, Scratch, with_scratch},
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

/// Makes a stream end with a reset, from outside of whoever owns it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResetSwitch(Arc<AtomicBool>);

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

/// Why a connection cannot go on.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// The socket fails.
    Io(io::Error),
    /// The peer's records are no good.
    Record(RecordError),
    /// TCP ended without close_notify: "the data could have been truncated" (RFC 8446 section 6.1).
    Truncated,
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

impl ResetSwitch {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        if self.reset_on_drop.as_ref().is_some_and(|switch| switch.0.load(Ordering::Acquire)) {
            reset(&self.tcp);
        }
    }
}

/// Makes the socket's end a reset: what is unsent is thrown away, not drained.
pub(crate) fn reset(socket: &TcpStream) {
    // It can only fail on a socket that is gone already.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        while into.remaining() > 0 {
            if stream.has_plain() {
                into.put_slice(stream.plain.take(into.remaining()));
                stream.plain.trim();
                break;
            }
            if stream.is_read_closed() {
                break;
            }
            let mut plain = stream.take_plain();
            let received = stream.poll_receive(cx, FRAMES * FRAME, |_, bytes, slices| {
                for slice in slices.iter().filter_map(|range| bytes.get(range.clone())) {
                    let (now, later) = slice.split_at(slice.len().min(into.remaining()));
                    into.put_slice(now);
                    plain.extend(later);
                }
                Ok(())
            });
            stream.plain = plain;
            match ready!(received) {
                Ok(Received { bytes: 0, .. }) => {}
                Ok(_) => break,
                Err(error) => {
                    if let StreamError::Record(error) = &error {
                        stream.send_alert(error);
                    }
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        ready!(stream.poll_sent(cx))?;
        if stream.write == WriteSide::CloseSealed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        with_scratch(|Scratch { area, .. }| {
            let taken = gather(data, area.get_mut(LEAD..).unwrap_or_default());
            stream.send_frames(cx, area, taken)?;
            Poll::Ready(Ok(taken))
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_sent(cx).map_err(Into::into)
    }

    /// Closes our direction and waits for the peer's end, throwing away what
    /// still comes: to close with bytes unread would reset the connection and take
    /// the answer just sent with it (RFC 9112 section 9.6). The deadline is the caller's.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(stream.poll_close(cx))?;
        with_scratch(|Scratch { area, .. }| {
            while stream.discarded < MAX_DISCARDED {
                let mut junk = ReadBuf::new(area);
                match ready!(Pin::new(&mut stream.tcp).poll_read(cx, &mut junk)) {
                    Ok(()) if !junk.filled().is_empty() => stream.discarded += junk.filled().len(),
                    _ => break,
                }
            }
            Poll::Ready(Ok(()))
        })
    }
}

/// Copies as much of `data` as [`FRAMES`] frames hold into their gaps.
fn gather(data: &[io::IoSlice<'_>], frames: &mut [u8]) -> usize {
    let mut gaps =
        frames.chunks_mut(FRAME).take(FRAMES).map(|frame| match frame.get_mut(HEADER..HEADER + PLAIN) {
            Some(gap) => gap,
            None => &mut [],
        });
    let mut gap: &mut [u8] = gaps.next().unwrap_or_default();
    let mut taken = 0;
    for slice in data {
        let mut rest: &[u8] = slice;
        while !rest.is_empty() {
            if gap.is_empty() {
                match gaps.next() {
                    Some(next) if !next.is_empty() => gap = next,
                    _ => return taken,
                }
            }
            let fits = rest.len().min(gap.len());
            let (now, later) = rest.split_at(fits);
            let (to, left) = std::mem::take(&mut gap).split_at_mut(fits);
            to.copy_from_slice(now);
            (rest, gap) = (later, left);
            taken += fits;
        }
    }
    taken
}

/// What a peer may still send after our end: more than any answer's round trip brings.
const MAX_DISCARDED: usize = 1 << 20;

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Io(error) => error,
            StreamError::Record(error) => Self::new(io::ErrorKind::InvalidData, error),
            StreamError::Truncated => io::ErrorKind::UnexpectedEof.into(),
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("socket failed"),
            Self::Record(_) => f.write_str("record refused"),
            Self::Truncated => f.write_str("connection ended without close_notify"),
        }
    }
}

impl std::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Record(error) => Some(error),
            Self::Truncated => None,
        }
    }
}
