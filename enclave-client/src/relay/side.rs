use std::{io::ErrorKind, os::fd::AsFd, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{pool::Tunnel, transport::Stream};

/// One end of a relay.
pub trait Side: AsyncRead + AsyncWrite + Unpin {
    /// What is unsent is thrown away, and whoever is at the other end sees a reset
    /// when this is dropped.
    fn abort(&self) {}

    /// Whether nobody is at the other end any more, which is more than that it has
    /// nothing left to say. Asked only while this side may still be written to.
    fn is_gone(&self) -> bool {
        false
    }
}

/// TCP has resets, and so have lanes: one that is dropped before its end is reset. UNIX sockets and
/// vsock have none: there a side that is closed without a half-close before it is one that broke,
/// since a relay, which is what stands at the other end of them, half-closes first.
impl Side for Stream {
    fn abort(&self) {
        if let Self::Tcp(stream) = self {
            // It can only fail on a socket that is gone already.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Tcp(stream) => hung_up(stream),
            Self::Unix(stream) => hung_up(stream),
            Self::Vsock(stream) => takes_nothing(stream),
            Self::Lane(lane) => lane.is_gone(),
        }
    }
}

/// Dropped early a tunnel is no orderly end by itself; its connection's pings and
/// its lease find out whether anybody is there.
impl Side for Tunnel {}

/// poll(2): POLLHUP comes when both directions are closed, POLLERR after a reset.
pub(crate) fn hung_up(socket: impl AsFd) -> bool {
    let mut asked = [PollFd::new(&socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let answered = poll(&mut asked, Some(&now)).is_ok_and(|count| count > 0);
    answered && asked.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR))
}

/// A vsock whose peer closed both directions is not hung up to poll(2); but nothing can be
/// sent to it any more, which a message of no bytes finds out (`EPIPE`).
fn takes_nothing(socket: &impl AsFd) -> bool {
    let sent = SockRef::from(socket).send(&[]);
    sent.is_err_and(|why| matches!(why.kind(), ErrorKind::BrokenPipe | ErrorKind::NotConnected))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    use super::*;

    /// Both ways to find out, on the one transport that has no resets and that tests can use.
    #[tokio::test]
    async fn who_closes_is_gone_and_who_stops_sending_is_not() {
        let (mut mine, mut other) = UnixStream::pair().unwrap();
        other.shutdown().await.unwrap();
        assert_eq!(mine.read(&mut [0]).await.unwrap(), 0);
        assert!(!hung_up(&mine) && !takes_nothing(&mine));
        drop(other);
        assert!(hung_up(&mine) && takes_nothing(&mine));
    }
}
