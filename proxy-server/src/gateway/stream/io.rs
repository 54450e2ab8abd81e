use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Received, StreamError, TlsStream, WriteSide};
use crate::gateway::{
    records::{FRAME, HEADER, LEAD, PLAIN},
    scratch::{FRAMES, Scratch, with_scratch},
};

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
