use std::{io, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes},
    net::TcpStream,
};

use crate::egress::Connection;

/// How a tunnel ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both sides finished.
    Finished { up: u64, down: u64 },
    /// One side broke.
    Broke(io::Error),
    /// The lease lapsed.
    Cut,
}

/// Carries bytes both ways until both ends are done. A half-close passes
/// through; anything else than an orderly end reaches the application as a
/// reset, so that it cannot take a truncated answer for a whole one.
pub(super) async fn relay(mut application: TcpStream, way: Connection, early: &[u8]) -> End {
    let end = match way {
        Connection::Tunnel(mut tunnel) => {
            let cut = tunnel.cut().clone();
            let size = tunnel.buffer_len();
            tokio::select! {
                // Checked first: a lapsed lease moves no further byte.
                biased;
                () = cut.cancelled() => End::Cut,
                end = copy(&mut application, &mut tunnel, early, size) => end,
            }
        }
        Connection::Plain(mut stream) => copy(&mut application, &mut stream, early, PLAIN_BUFFER).await,
    };
    if !matches!(end, End::Finished { .. }) {
        // Best effort: without it the application sees an end instead of a reset.
        let _ = SockRef::from(&application).set_linger(Some(Duration::ZERO));
    }
    end
}

async fn copy<W: AsyncRead + AsyncWrite + Unpin>(
    application: &mut TcpStream,
    way: &mut W,
    early: &[u8],
    size: usize,
) -> End {
    let copied = async {
        way.write_all(early).await?;
        way.flush().await?;
        copy_bidirectional_with_sizes(application, way, size, size).await
    };
    match copied.await {
        Ok((up, down)) => End::Finished { up: up + early.len() as u64, down },
        Err(why) => End::Broke(why),
    }
}

const PLAIN_BUFFER: usize = 64 * 1024;
