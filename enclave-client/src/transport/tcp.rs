//! What TCP sockets are set to. Linux gives an accepted socket the settings of its listener, so a
//! listener is set once and its connections cost no system call.

use std::{io, net::SocketAddr, os::fd::AsFd, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Connects, to somebody else.
///
/// Where nobody listens at a port of this machine, the kernel may choose that very port for the caller, and TCP then
/// connects the socket to itself (RFC 9293 section 3.5: both ends open at once). Whoever may try often enough would
/// hear an echo, and keep the program that is about to listen there from its port. So it is a refusal.
///
/// # Errors
/// What the system says.
pub(crate) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    not_itself(TcpStream::connect(to).await?, to)
}

fn not_itself(stream: TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    let from = stream.local_addr()?;
    if (from.ip(), from.port()) != (to.ip(), to.port()) {
        return Ok(stream);
    }
    // Reset: an orderly end would hold the port for a minute more.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Err(io::ErrorKind::ConnectionRefused.into())
}

/// For sockets to other machines: what is written leaves at once, and a path that went silent ends
/// the connection instead of keeping it for ever.
///
/// # Errors
/// What the system says.
pub(crate) fn set_remote<S: AsFd>(socket: &S) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE).with_retries(PROBES),
    )
}

/// For sockets within this machine: what is written leaves at once. Nobody there goes silent: the
/// kernel that ends a process ends its connections.
///
/// # Errors
/// What the system says.
pub(crate) fn set_local<S: AsFd>(socket: &S) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)
}

/// Silence after which TCP asks whether the other end still lives, and between questions.
const SILENCE: Duration = Duration::from_secs(15);

/// Unanswered questions after which it does not.
const PROBES: u32 = 3;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use tokio::net::TcpSocket;

    use super::*;

    fn accepted(set: fn(&TcpListener) -> io::Result<()>) -> TcpStream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        set(&listener).unwrap();
        let _caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap().0
    }

    #[tokio::test]
    async fn nobody_is_connected_to_himself() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let itself = socket.local_addr().unwrap();
        let stream = socket.connect(itself).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), itself, "the kernel allows it");
        let refused = not_itself(stream, itself).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let listener = TcpListener::bind(itself).expect("the port is free at once");
        connect(listener.local_addr().unwrap()).await.unwrap();
    }

    #[test]
    fn what_is_accepted_is_set_as_its_listener() {
        let remote = accepted(set_remote);
        let remote = SockRef::from(&remote);
        assert!(remote.tcp_nodelay().unwrap() && remote.keepalive().unwrap());
        assert_eq!(remote.tcp_keepalive_time().unwrap(), SILENCE);
        assert_eq!(remote.tcp_keepalive_interval().unwrap(), SILENCE);
        assert_eq!(remote.tcp_keepalive_retries().unwrap(), PROBES);
        let local = accepted(set_local);
        let local = SockRef::from(&local);
        assert!(local.tcp_nodelay().unwrap() && !local.keepalive().unwrap());
    }
}
