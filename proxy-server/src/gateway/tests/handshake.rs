//! Handshakes as hostile clients make them.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::rig::{Rig, destination};
use crate::{gateway::GatewayConfig, policy::Limits};

#[tokio::test]
async fn a_changed_byte_anywhere_in_a_handshake_ends_it_and_nothing_else() {
    let (listener, target) = destination().await;
    // Some changes make the gateway wait for more: that ends soon here.
    let config = GatewayConfig { handshake_timeout: Duration::from_millis(50), ..GatewayConfig::default() };
    let rig = Rig::with(&[&target], config, Limits::default()).await;
    let enclave = rig.enclave(600);
    let config = rig.client_config(&enclave, b"http/1.1");
    let mut at = 0;
    let sent = loop {
        let tcp = TcpStream::connect(rig.address).await.unwrap();
        let changing = Changing { tcp, sent: 0, at };
        let name = ServerName::try_from("gateway.test").unwrap();
        let client = TlsConnector::from(Arc::clone(&config)).connect(name, changing).await;
        // A changed byte of the client's last flight shows at the first read.
        if let Ok(mut client) = client {
            let sent = client.get_ref().0.sent;
            if at >= sent {
                break sent;
            }
            assert!(client.read_u8().await.is_err(), "byte {at} of {sent} changed nothing");
        }
        // Every byte of the first header, then one in eleven: a handshake each.
        at += match at {
            // Byte 2 is the record's minor version, which "MUST be ignored for all purposes".
            1 => 2,
            ..12 => 1,
            12.. => 11,
        };
    };
    assert!(sent > 500, "the certificate was among the {sent} bytes");
    let _works = rig.tunnel(&enclave, &target).await;
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_handshake_in_small_records_and_pieces_is_made() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let enclave = rig.enclave(60);
    let mut config = Arc::unwrap_or_clone(rig.client_config(&enclave, b"http/1.1"));
    config.max_fragment_size = Some(64);
    let tcp = TcpStream::connect(rig.address).await.unwrap();
    let name = ServerName::try_from("gateway.test").unwrap();
    let mut client = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    assert_eq!(super::rig::connect(&mut client, &target).await.unwrap().code(), "open");
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_handshake_without_end_is_bounded() {
    let rig = Rig::new(&["a.test:1"]).await;
    let mut tcp = TcpStream::connect(rig.address).await.unwrap();
    // A ClientHello that announces 16 MB, in well-formed records.
    let first = [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x3ffc]].concat();
    let mut sent = 0;
    let more = [&[22, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    let mut flood = &first;
    while tokio::io::AsyncWriteExt::write_all(&mut tcp, flood).await.is_ok() {
        sent += flood.len();
        flood = &more;
        assert!(sent < 64 << 20, "nobody stopped it");
    }
}

/// Sends with one byte changed.
struct Changing {
    tcp: TcpStream,
    sent: usize,
    at: usize,
}

impl AsyncRead for Changing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Changing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut data = data.to_vec();
        if let Some(byte) = self.at.checked_sub(self.sent).and_then(|at| data.get_mut(at)) {
            *byte ^= 0x15;
        }
        let written = std::task::ready!(Pin::new(&mut self.tcp).poll_write(cx, &data))?;
        self.sent += written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
