use std::{
    io::{self, IoSlice},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    io::writev,
    net::{SendFlags, Shutdown, SocketFlags, accept_with, send, shutdown},
};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::unix::pipe::{Receiver, Sender},
};

/// A connection over a UNIX socket that hears of room to write only while it waits for some.
///
/// A UNIX socket tells its writer of room at each read of the other end, even if there always was
/// room. To a runtime that listens for that from the start, as tokio's `UnixStream` does, every
/// message costs the sender a wake-up for nothing, right when the receiver should run. So the
/// socket is registered for reading, and a second descriptor of it for writing once a write has
/// had to wait. Tokio's safe type that is registered for one of the two is the end of a pipe: it
/// reads by read(2), which a socket has too, and is told not to look whether it is a pipe.
#[derive(Debug)]
pub struct UnixSocket {
    socket: Receiver,
    room: Option<Box<Sender>>,
}

impl UnixSocket {
    /// Takes a connected socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::of_nonblocking(socket.into())
    }

    /// Connects. unix(7): at once, or not at all where the listener's queue is full.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Self::of_nonblocking(socket.into())
    }

    fn of_nonblocking(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: Receiver::from_owned_fd_unchecked(socket)?, room: None })
    }

    /// Writes, and waits for room only when there was none.
    fn poll_io(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = self.socket.as_fd();
        loop {
            let written = match &self.room {
                None => write(socket),
                Some(room) => {
                    ready!(room.poll_write_ready(cx))?;
                    room.try_io(|| write(socket))
                }
            };
            match written {
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    if self.room.is_none() {
                        let second = Sender::from_owned_fd_unchecked(socket.try_clone_to_owned()?)?;
                        self.room = Some(Box::new(second));
                    }
                }
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for UnixSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for UnixSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, |socket| Ok(send(socket, data, SendFlags::NOSIGNAL)?))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, |socket| Ok(writev(socket, data)?))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(shutdown(&self.socket, Shutdown::Write)?))
    }
}

/// Takes such connections. Tokio's listener would register each for both.
#[derive(Debug)]
pub struct UnixDoor(Receiver);

impl UnixDoor {
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Receiver::from_owned_fd_unchecked(listener.into()).map(Self)
    }

    /// The next one. Loses nothing when dropped.
    pub(super) async fn accept(&self) -> io::Result<UnixSocket> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            self.0.readable().await?;
            match self.0.try_io(|| Ok(accept_with(&self.0, flags)?)) {
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                accepted => return UnixSocket::of_nonblocking(accepted?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

    use super::*;

    fn pair() -> (UnixSocket, UnixSocket) {
        let (one, other) = UnixStream::pair().unwrap();
        (UnixSocket::new(one).unwrap(), UnixSocket::new(other).unwrap())
    }

    #[tokio::test]
    async fn nothing_is_lost_when_writes_have_to_wait() {
        let (mut one, mut other) = pair();
        let sent: Vec<u8> = (0..8_u32 << 20).map(|at| (at ^ (at >> 8)) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            one.write_all(&sent).await.unwrap();
            assert!(one.room.is_some(), "8 MiB fit into a socket");
            one.shutdown().await.unwrap();
            let mut answer = Vec::new();
            one.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let mut seen = Vec::new();
        other.read_to_end(&mut seen).await.unwrap();
        assert!(seen == expected, "{} bytes", seen.len());
        assert!(other.room.is_none());
        other.write_all(b"all").await.unwrap();
        drop(other);
        assert_eq!(writing.await.unwrap(), b"all");
    }

    /// A write that begins to wait leaves a reader in another task where it is.
    #[tokio::test]
    async fn halves_wait_apart() {
        let (one, mut other) = pair();
        let (mut read, mut write) = split(one);
        let reading = tokio::spawn(async move { read.read_u8().await });
        tokio::task::yield_now().await;
        let writing = tokio::spawn(async move { write.write_all(&vec![7; 4 << 20]).await.map(|()| write) });
        tokio::task::yield_now().await;
        other.write_all(b"x").await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), b'x');
        other.read_exact(&mut vec![0; 4 << 20]).await.unwrap();
        writing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_writer_that_waits_sees_the_other_end_go() {
        let (mut one, other) = pair();
        let writing = tokio::spawn(async move { one.write_all(&vec![7; 4 << 20]).await });
        tokio::task::yield_now().await;
        drop(other);
        let kind = writing.await.unwrap().unwrap_err().kind();
        assert!(matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{kind:?}");
    }
}
