//! Sessions and tunnels of our proxy, in numbers.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use countersign_protocol::Lease;
use h2::{RecvStream, SendStream, client::SendRequest};
use http::{Method, Request};
use rustls::{ClientConfig, sign::CertifiedKey};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::client::TlsStream;

use crate::enclave::{granted, refused};
use crate::failure::{Context, Failure};
use crate::http1::Http1;
use crate::proxy::Proxy;
use crate::tls::{self, PATIENCE};
use crate::upstream::ECHO;

/// A session: its key and certificate. The attestation connection is closed; the lease goes on.
pub(crate) struct Session {
    identity: Arc<CertifiedKey>,
    /// No later than the lease's end: counted from when the attestation was sent.
    pub(crate) lapses: Instant,
}

/// A standing HTTP/2 connection to the gateway, as `countersign-enclave` keeps some. It ends with the value and its tunnels.
#[derive(Clone)]
pub(crate) struct Standing {
    requests: SendRequest<Bytes>,
    connect: Request<()>,
}

/// A tunnel that is a stream of a standing connection.
pub(crate) struct StreamTunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
}

impl Session {
    /// Attests with a fresh key.
    ///
    /// # Errors
    /// A refusal.
    pub(crate) async fn open(proxy: &Proxy, lease: Lease) -> Result<Self, Failure> {
        let mut enclave = proxy.enclave().await?;
        let request = enclave.prepare(lease).await?;
        let sent = Instant::now();
        let answer = enclave.http().exchange(&request).await?;
        let grant = granted(&answer)?;
        let lapses = sent + grant.lease.duration();
        Ok(Self { identity: enclave.into_session(grant)?, lapses })
    }

    /// A client of the gateway that shows this session's certificate.
    ///
    /// # Errors
    /// None to be expected.
    pub(crate) fn client(&self, proxy: &Proxy, alpn: &[u8]) -> Result<Arc<ClientConfig>, Failure> {
        tls::client(&proxy.anchor, Arc::clone(&self.identity), &[alpn])
    }
}

impl Standing {
    /// Connects to the gateway.
    ///
    /// # Errors
    /// No connection.
    pub(crate) async fn connect(proxy: &Proxy, session: &Session, to: SocketAddr) -> Result<Self, Failure> {
        let stream = tls::connect(proxy.gateway, &session.client(proxy, b"h2")?).await?;
        let (requests, connection) = h2::client::handshake(stream).await.context("HTTP/2")?;
        // Ends when the last handle and stream are gone, or the gateway closes.
        tokio::spawn(connection);
        let connect =
            Request::builder().method(Method::CONNECT).uri(to.to_string()).body(()).context("CONNECT")?;
        Ok(Self { requests, connect })
    }

    /// Opens a tunnel and has one byte echoed.
    ///
    /// # Errors
    /// A refusal, or no connection.
    pub(crate) async fn open(&self) -> Result<StreamTunnel, Failure> {
        timeout(PATIENCE, self.open_now()).await.context("CONNECT")?
    }

    async fn open_now(&self) -> Result<StreamTunnel, Failure> {
        let mut requests = self.requests.clone().ready().await.context("CONNECT")?;
        let (response, mut send) = requests.send_request(self.connect.clone(), false).context("CONNECT")?;
        let response = response.await.context("CONNECT")?;
        let status = response.status();
        let mut receive = response.into_body();
        if !status.is_success() {
            let body = receive.data().await.and_then(Result::ok).unwrap_or_default();
            return Err(Failure::new(format!("CONNECT: {status}: {}", String::from_utf8_lossy(&body))));
        }
        send.send_data(Bytes::from_static(&[ECHO]), false).context("first byte")?;
        let echo = receive.data().await.context("no echo")?.context("echo")?;
        receive.flow_control().release_capacity(echo.len()).context("echo")?;
        if *echo == [ECHO] {
            Ok(StreamTunnel { send, receive })
        } else {
            Err(Failure::new("another byte came back"))
        }
    }
}

impl StreamTunnel {
    /// Ends our side and waits for the end of the other.
    pub(crate) async fn close(mut self) {
        if self.send.send_data(Bytes::new(), true).is_ok() {
            self.ended().await;
        }
    }

    /// Waits until the gateway ends or resets the stream.
    pub(crate) async fn ended(&mut self) {
        while let Some(Ok(_)) = self.receive.data().await {}
    }
}

/// Opens a tunnel on a connection of its own, HTTP/1.1, and has `first` echoed.
///
/// # Errors
/// A refusal, or no connection.
pub(crate) async fn own_connection(
    gateway: SocketAddr,
    client: &Arc<ClientConfig>,
    to: SocketAddr,
    first: u8,
) -> Result<TlsStream<TcpStream>, Failure> {
    let mut stream = connect_request(tls::connect(gateway, client).await?, to).await?;
    echo(&mut stream, first).await?;
    Ok(stream)
}

/// Asks for a tunnel with CONNECT.
///
/// # Errors
/// A refusal, or the connection's.
pub(crate) async fn connect_request<S>(stream: S, to: SocketAddr) -> Result<S, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut http = Http1::new(stream);
    let answer = http.exchange(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await?;
    if answer.status != 200 {
        return Err(refused("CONNECT", &answer));
    }
    http.into_stream()
}

/// Opens a tunnel of a proxy that needs no request: one handshake, and `first` echoed.
///
/// # Errors
/// No connection.
pub(crate) async fn handshake_only(
    address: SocketAddr,
    client: &Arc<ClientConfig>,
    first: u8,
) -> Result<TlsStream<TcpStream>, Failure> {
    let mut stream = tls::connect(address, client).await?;
    echo(&mut stream, first).await?;
    Ok(stream)
}

/// Sends a byte and waits for it.
///
/// # Errors
/// It does not come back.
pub(crate) async fn echo(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    first: u8,
) -> Result<(), Failure> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(&[first]).await.context("first byte")?;
    stream.flush().await.context("first byte")?;
    let mut back = [0];
    timeout(PATIENCE, stream.read_exact(&mut back)).await.context("echo")?.context("echo")?;
    if back == [first] { Ok(()) } else { Err(Failure::new("another byte came back")) }
}
