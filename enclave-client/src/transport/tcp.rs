//! What TCP sockets are set to. Linux gives an accepted socket the settings of its listener, so a
//! listener is set once and its connections cost no system call.

use std::{io, os::fd::AsFd, time::Duration};

use socket2::{SockRef, TcpKeepalive};

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

    use super::*;

    fn accepted(set: fn(&TcpListener) -> io::Result<()>) -> TcpStream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        set(&listener).unwrap();
        let _caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap().0
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
