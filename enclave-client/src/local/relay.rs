use std::{io, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional_with_sizes},
    net::TcpStream,
};

use crate::pool::Tunnel;

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
pub(super) async fn relay(mut application: TcpStream, mut tunnel: Tunnel, early: &[u8]) -> End {
    let cut = tunnel.cut().clone();
    let end = tokio::select! {
        // Checked first: a lapsed lease moves no further byte.
        biased;
        () = cut.cancelled() => End::Cut,
        copied = copy(&mut application, &mut tunnel, early) => match copied {
            Ok((up, down)) => End::Finished { up, down },
            Err(why) => End::Broke(why),
        },
    };
    if !matches!(end, End::Finished { .. }) {
        // Best effort: without it the application sees an end instead of a reset.
        let _ = SockRef::from(&application).set_linger(Some(Duration::ZERO));
    }
    end
}

async fn copy(application: &mut TcpStream, tunnel: &mut Tunnel, early: &[u8]) -> io::Result<(u64, u64)> {
    tunnel.write_all(early).await?;
    tunnel.flush().await?;
    let size = tunnel.buffer_len();
    let (up, down) = copy_bidirectional_with_sizes(application, tunnel, size, size).await?;
    Ok((up + early.len() as u64, down))
}
