use std::{os::fd::AsFd, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{pool::Tunnel, transport::Stream};

/// One end of a relay.
pub trait Side: AsyncRead + AsyncWrite + Unpin {
    /// From now on a path that went silent ends the connection.
    fn keep_alive(&self) {}

    /// What is unsent is thrown away, and whoever is at the other end sees a reset
    /// when this is dropped.
    fn abort(&self) {}

    /// Whether nobody is at the other end any more, which is more than that it has
    /// nothing left to say. Asked only while this side may still be written to.
    fn is_gone(&self) -> bool {
        false
    }
}

/// TCP has resets. UNIX sockets and vsock have none: there a side that is closed
/// without a half-close before it is one that broke, since a relay, which is what
/// stands at the other end of them, half-closes first.
impl Side for Stream {
    fn keep_alive(&self) {
        let Self::Tcp(stream) = self else { return };
        let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE).with_retries(PROBES);
        // Best effort: without it a dead path is found by the next byte only.
        let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    }

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
            Self::Vsock(stream) => hung_up(stream),
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

/// Silence after which TCP asks whether the other end still lives, and between questions.
const SILENCE: Duration = Duration::from_secs(15);

/// Unanswered questions after which it does not.
const PROBES: u32 = 3;
