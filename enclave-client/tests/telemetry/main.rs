//! What the client and its host half tell a collector: real programs, real sockets (a UNIX socket stands for vsock),
//! and OTLP read with OpenTelemetry's own messages. The way through the public proxy as well is in `tests/e2e`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chain;
mod hostile;
mod silent;
mod told;

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const ENCLAVE: &str = env!("CARGO_BIN_EXE_countersign-enclave");

/// A destination that sends everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

/// Sends a word through a tunnel and expects it back.
async fn echoed(tunnel: &mut TcpStream, word: &[u8]) {
    tunnel.write_all(word).await.unwrap();
    let mut back = vec![0; word.len()];
    tunnel.read_exact(&mut back).await.unwrap();
    assert_eq!(back, word);
}
