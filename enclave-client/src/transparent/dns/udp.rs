use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::{Names, answer};
use crate::transport::Setbacks;

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

/// No query of one question is longer; what is cut off here is a format error.
const MAX_QUERY: usize = 4096;
