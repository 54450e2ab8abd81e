use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::PATIENCE;

/// A destination on loopback that hands every connection to the test.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    accepted: mpsc::Receiver<TcpStream>,
}

impl Upstream {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (send, accepted) = mpsc::channel(1024);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if send.send(stream).await.is_err() {
                    return;
                }
            }
        });
        Self { address, accepted }
    }

    /// Listens on a free port and sends everything back, half-close included.
    pub async fn echo() -> SocketAddr {
        let mut upstream = Self::start().await;
        let address = upstream.address;
        tokio::spawn(async move {
            while let Some(stream) = upstream.accepted.recv().await {
                tokio::spawn(echo(stream));
            }
        });
        address
    }

    /// The next connection.
    pub async fn accept(&mut self) -> TcpStream {
        timeout(PATIENCE, self.accepted.recv()).await.expect("a connection in time").unwrap()
    }

    /// Whether nobody has come so far.
    pub fn is_untouched(&mut self) -> bool {
        self.accepted.try_recv().is_err()
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await
}

/// Sends a word through a tunnel and expects it back.
///
/// # Panics
/// The tunnel is dead.
pub async fn round_trip(tunnel: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), word: &[u8]) {
    let trip = async {
        tunnel.write_all(word).await.unwrap();
        tunnel.flush().await.unwrap();
        let mut back = vec![0; word.len()];
        tunnel.read_exact(&mut back).await.unwrap();
        assert_eq!(back, word);
    };
    timeout(PATIENCE, trip).await.expect("an echo in time");
}

/// Reads until the tunnel ends; how it did.
///
/// # Errors
/// It was reset, or cut in the middle of TLS.
pub async fn read_to_end(tunnel: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    timeout(PATIENCE, tunnel.read_to_end(&mut all)).await.expect("an end in time").map(|_| all)
}
