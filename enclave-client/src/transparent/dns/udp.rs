use std::{io, net::SocketAddr};

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::{Names, answer};
use crate::transport::Setbacks;

/// A socket for queries, with room for a burst: a program that looks up hundreds of names at
/// once asks again for those that were dropped, but seconds later.
pub(in super::super) async fn listen_udp(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(at).await?;
    // Beyond the system's bound with CAP_NET_ADMIN, which the pool's routes need too; as far as it goes without.
    if set_socket_recv_buffer_size_force(&socket, BURST).is_err() {
        set_socket_recv_buffer_size(&socket, BURST)?;
    }
    Ok(socket)
}

/// Answers datagrams, one after the other, until `stop`: whatever floods the
/// socket costs one answer's time each and no memory; what comes too fast is
/// dropped by the system.
pub(in super::super) async fn serve_udp(socket: UdpSocket, names: &impl Names, stop: CancellationToken) {
    let mut buffer = vec![0; MAX_QUERY];
    let mut setbacks = Setbacks::default();
    while let Some(received) = stop.run_until_cancelled(socket.recv_from(&mut buffer)).await {
        let (len, from) = match received {
            Ok(received) => received,
            Err(why) => {
                stop.run_until_cancelled(setbacks.wait("resolver over UDP", &why)).await;
                continue;
            }
        };
        setbacks.over();
        if let Some(reply) = buffer.get(..len).and_then(|query| answer(query, names)) {
            // Whoever asked may be gone, or slow: it asks again.
            let _ = socket.try_send_to(&reply, from);
        }
    }
}

/// Bytes: some 10,000 queries, of which Linux counts 768 for each in twice this room. The usual 208 KiB
/// hold less than 300.
const BURST: usize = 4 << 20;

/// No query of one question is longer; what is cut off here is a format error.
const MAX_QUERY: usize = 4096;
