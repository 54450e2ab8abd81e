use smoltcp::{
    iface::{Interface, SocketHandle, SocketSet},
    socket::tcp::{ListenError, Socket, SocketBuffer, State},
    time::{Duration, Instant},
    wire::IpListenEndpoint,
};

use super::{Tun, interface::interface_for, packet::Flow, port::Port};

/// The TCP of one connection.
pub(super) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Stack {
    /// Ready for the first packet of a flow, which must come next.
    pub(super) fn new(flow: &Flow, tun: &Tun) -> Result<Self, ListenError> {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.listen(IpListenEndpoint::from(flow.to))?;
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket.set_keep_alive(Some(SILENCE));
        socket.set_timeout(Some(PATIENCE));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let socket = sockets.add(socket);
        Ok(Self { interface: interface_for(flow.to.ip(), tun), sockets, socket })
    }

    pub(super) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    /// Takes a packet, if one came, and sends everything that is due.
    pub(super) fn drive(&mut self, incoming: Option<&[u8]>, tun: &Tun) {
        self.interface.poll(tun.now(), &mut Port { incoming, tun }, &mut self.sockets);
    }

    /// When something will be due by itself.
    pub(super) fn next(&mut self, tun: &Tun) -> Option<Instant> {
        self.interface.poll_at(tun.now(), &self.sockets)
    }

    /// Whether no packet matters any more. A connection that was given up before it was complete is back
    /// where it began; one in TIME-WAIT has said and heard everything.
    pub(super) fn is_over(&mut self) -> bool {
        matches!(self.socket().state(), State::Closed | State::Listen | State::TimeWait)
    }
}

/// Bytes for each direction of a connection: they bound what TCP lets the other end send.
const BUFFER: usize = 64 * 1024;

/// Silence after which the other end is asked whether it still lives.
const SILENCE: Duration = Duration::from_secs(15);

/// Silence after which it does not: the kernel answers for every program that lives.
const PATIENCE: Duration = Duration::from_secs(60);
