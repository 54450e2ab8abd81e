//! The gateway port as an attacker or an honest client uses it.

use std::net::SocketAddr;

use bytes::Bytes;
use countersign_protocol::{Problem, message::Grant};
use h2::client::SendRequest;
use http::{Method, Request};
use rustls_pki_types::CertificateDer;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;

use crate::{Answer, Dialer, Identity, PATIENCE, Wire};

/// A connection to the gateway port that speaks HTTP/1.1.
pub type GatewayWire = Wire<TlsStream<TcpStream>>;

/// An open tunnel: what the destination sent right away, and the rest.
pub type Tunnel = TlsStream<TcpStream>;

/// The chain that a grant brought.
pub fn chain(grant: &Grant) -> Vec<CertificateDer<'static>> {
    grant.certificates.iter().cloned().map(CertificateDer::from).collect()
}

/// How to dial the gateway with a session.
pub fn session_dialer(anchor: &CertificateDer<'static>, key: &Identity, grant: &Grant) -> Dialer {
    Dialer::new(anchor, Some(key.under(chain(grant))))
}

/// Opens a tunnel, or says how the gateway refused.
///
/// # Errors
/// The refusal, as an answer.
///
/// # Panics
/// The gateway closed without an answer.
pub async fn open(gateway: SocketAddr, dialer: &Dialer, destination: &str) -> Result<Tunnel, Answer> {
    let mut wire = Wire::new(dialer.dial(gateway).await.unwrap());
    let answer = wire.connect(destination).await.expect("an answer of the gateway");
    if answer.status != 200 {
        return Err(answer);
    }
    let (stream, spare) = wire.into_inner();
    assert!(spare.is_empty(), "{} bytes came before they were asked for", spare.len());
    Ok(stream)
}

/// The same through HTTP/2; the refusal's status and code.
///
/// # Errors
/// The handshake's, or the connection's.
pub async fn refusal_over_h2(
    gateway: SocketAddr,
    dialer: &Dialer,
    destination: &str,
) -> Result<(u16, String), Box<dyn std::error::Error>> {
    let mut send = open_h2(gateway, dialer).await?;
    let request = Request::builder().method(Method::CONNECT).uri(destination).body(()).unwrap();
    let (answer, _) = send.send_request(request, true)?;
    let answer = timeout(PATIENCE, answer).await??;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(chunk) = timeout(PATIENCE, body.data()).await? {
        bytes.extend_from_slice(&chunk?);
    }
    let problem: Problem = serde_json::from_slice(&bytes)?;
    Ok((status, problem.code.into_owned()))
}

/// An HTTP/2 connection to the gateway, driven by a task of its own.
///
/// # Errors
/// The handshake's.
pub async fn open_h2(
    gateway: SocketAddr,
    dialer: &Dialer,
) -> Result<SendRequest<Bytes>, Box<dyn std::error::Error>> {
    let stream = dialer.clone().h2().dial(gateway).await?;
    let (send, connection) = timeout(PATIENCE, h2::client::handshake(stream)).await??;
    tokio::spawn(async move { drop(connection.await) });
    Ok(timeout(PATIENCE, send.ready()).await??)
}
