use std::{io, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::TcpStream,
};

use crate::egress::Connection;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both sides finished.
    Finished { up: u64, down: u64 },
    /// One side broke.
    Broke(io::Error),
    /// The lease lapsed.
    Cut,
}

/// Carries bytes both ways until both ends are done. Half-close passes through; any
/// other end than an orderly one reaches the application as a reset.
pub(super) async fn carry(mut application: TcpStream, connection: Connection) -> End {
    let end = match connection {
        Connection::Plain(mut stream) => copy(&mut application, &mut stream, BUFFER).await,
        Connection::Tunnel(mut tunnel) => {
            let (cut, size) = (tunnel.cut().clone(), tunnel.buffer_len());
            tokio::select! {
                // Checked first: a lapsed lease moves no further byte.
                biased;
                () = cut.cancelled() => End::Cut,
                end = copy(&mut application, &mut tunnel, size) => end,
            }
        }
    };
    if !matches!(end, End::Finished { .. }) {
        reset(application);
    }
    end
}

/// Closes with a reset instead of an end: what the application was told is not whole.
pub(super) fn reset(application: TcpStream) {
    // Best effort: without it the application sees an end.
    let _ = SockRef::from(&application).set_linger(Some(Duration::ZERO));
}

async fn copy<W>(application: &mut TcpStream, way: &mut W, size: usize) -> End
where
    W: AsyncRead + AsyncWrite + Unpin,
{
    match copy_bidirectional_with_sizes(application, way, size, size).await {
        Ok((up, down)) => End::Finished { up, down },
        Err(why) => End::Broke(why),
    }
}

/// 64 KiB moves twice as much as 8 KiB.
const BUFFER: usize = 64 * 1024;
