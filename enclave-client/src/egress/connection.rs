use tokio_util::sync::CancellationToken;

use crate::{pool::Tunnel, transport::Stream};

/// An open way to a destination.
#[derive(Debug)]
pub enum Connection {
    /// Through the public proxy; ends with the lease.
    Tunnel(Tunnel),
    /// A plain byte stream, direct or through the host half.
    Plain(Stream),
}

impl Connection {
    /// Cancelled when the connection must end whatever its ends say.
    pub fn cut(&self) -> Option<&CancellationToken> {
        match self {
            Self::Tunnel(tunnel) => Some(tunnel.cut()),
            Self::Plain(_) => None,
        }
    }
}
