use std::{io, time::Duration};

use socket2::SockRef;

use super::Stream;

/// How a connection ends, where it is not an orderly end of both directions.
impl Stream {
    /// After the other side's end of bytes, and before ours: whether it is gone
    /// altogether, and did not only stop to send.
    ///
    /// TCP says so itself, by a reset. UNIX sockets and vsock have none: who
    /// closes looks like who has sent everything, except that nothing can be
    /// sent to it any more, which a message of no bytes finds out (unix(7):
    /// `EPIPE`; in vsock once the peer shut down both directions).
    pub fn is_gone(&self) -> bool {
        let sent = match self {
            Self::Tcp(_) => return false,
            Self::Unix(stream) => SockRef::from(stream).send(&[]),
            Self::Vsock(stream) => SockRef::from(stream).send(&[]),
        };
        sent.is_err_and(|why| {
            matches!(
                why.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
            )
        })
    }

    /// Ends it so that the other side cannot take it for an orderly end: TCP
    /// sends a reset; the others close with our direction unfinished, see [`Self::is_gone`].
    pub fn abort(self) {
        if let Self::Tcp(stream) = &self {
            // Best effort: without it the other side sees an end instead of a reset.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// The machine at the other end of a virtio socket; `None` for other transports.
    pub fn peer_cid(&self) -> Option<u32> {
        match self {
            Self::Vsock(stream) => stream.peer_addr().ok().map(|address| address.cid()),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream, UnixStream},
    };

    use super::*;

    #[tokio::test]
    async fn who_closes_is_gone_and_who_stops_sending_is_not() {
        let (mine, mut other) = UnixStream::pair().unwrap();
        let mut mine = Stream::Unix(mine);
        other.shutdown().await.unwrap();
        assert_eq!(mine.read(&mut [0]).await.unwrap(), 0);
        assert!(!mine.is_gone());
        drop(other);
        assert!(mine.is_gone());
    }

    #[tokio::test]
    async fn an_aborted_connection_is_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        Stream::Tcp(server).abort();
        assert_eq!(client.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
