use std::{net::SocketAddr, num::NonZeroU16};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::failure::{Context, Failure};

/// A plain TCP program on loopback: the first byte says what it does.
pub(super) struct Application(SocketAddr);

/// Sends the byte back.
pub(super) const ECHO: &[u8] = b"e";

/// Takes bytes to their end, and says how many in eight bytes.
pub(super) const SINK: &[u8] = b"s";

/// Sends as many bytes as the next eight say.
pub(super) const SOURCE: &[u8] = b"d";

impl Application {
    pub(super) async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("application")?;
        let address = listener.local_addr().context("application")?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A caller that fails says so itself.
                tokio::spawn(async move { serve(stream).await.ok() });
            }
        });
        Ok(Self(address))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0
    }

    pub(super) fn port(&self) -> NonZeroU16 {
        NonZeroU16::new(self.0.port()).unwrap_or(NonZeroU16::MIN)
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut word = [0; 1];
    stream.read_exact(&mut word).await?;
    let mut buffer = vec![0; super::CHUNK];
    if word == SINK {
        let mut taken = 0_u64;
        loop {
            match stream.read(&mut buffer).await? {
                0 => break,
                some => taken += some as u64,
            }
        }
        return stream.write_all(&taken.to_be_bytes()).await;
    }
    if word == SOURCE {
        let mut left = stream.read_u64().await?;
        while left > 0 {
            let now = left.min(buffer.len() as u64);
            stream.write_all(buffer.get(..now as usize).unwrap_or_default()).await?;
            left -= now;
        }
        return stream.shutdown().await;
    }
    stream.write_all(&word).await
}
