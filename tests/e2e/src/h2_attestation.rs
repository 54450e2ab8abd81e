use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use countersign_protocol::{BootId, message::Challenge, wire};
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, header};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::{Answer, Claim, Dialer, Identity, PATIENCE};

/// A connection to the attestation port that speaks HTTP/2: many requests at once.
pub struct H2Attester {
    send: SendRequest<Bytes>,
    tls: Shared,
    key_spki: Vec<u8>,
}

impl H2Attester {
    /// Connects with this key.
    pub async fn connect(proxy: SocketAddr, dialer: &Dialer, key: &Identity) -> Self {
        let tls = Shared(Arc::new(Mutex::new(dialer.clone().h2().dial(proxy).await.unwrap())));
        let (send, connection) =
            timeout(PATIENCE, h2::client::handshake(tls.clone())).await.unwrap().unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self { send: send.ready().await.unwrap(), tls, key_spki: key.spki() }
    }

    /// Asks for a challenge.
    pub async fn challenge(&mut self) -> Challenge {
        let answer = self.post(wire::CHALLENGE_PATH, Vec::new());
        Challenge::decode(&read(answer).await.body).unwrap()
    }

    /// What an honest enclave would say to this challenge.
    pub fn honest(&self, challenge: &Challenge, boot: BootId, sequence: u64) -> Claim {
        let stream = self.tls.0.lock().unwrap();
        let (_, tls) = stream.get_ref();
        Claim::honest(tls, &self.key_spki, challenge, boot, sequence)
    }

    /// Sends two bodies to the attestation path before either is answered.
    pub async fn answer_both(&mut self, first: Vec<u8>, second: Vec<u8>) -> (Answer, Answer) {
        let first = self.post(wire::ATTEST_PATH, first);
        let second = self.post(wire::ATTEST_PATH, second);
        tokio::join!(read(first), read(second))
    }

    fn post(&mut self, path: &str, body: Vec<u8>) -> ResponseFuture {
        let uri = format!("https://{}{path}", crate::SERVER_NAME);
        let (answer, mut stream) =
            self.send.send_request(Request::post(uri).body(()).unwrap(), false).unwrap();
        stream.send_data(body.into(), true).unwrap();
        answer
    }
}

async fn read(answer: ResponseFuture) -> Answer {
    let answer = timeout(PATIENCE, answer).await.expect("an answer in time").unwrap();
    let content_type = answer.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let (status, mut stream) = (answer.status().as_u16(), answer.into_body());
    let mut body = Vec::new();
    while let Some(chunk) = timeout(PATIENCE, stream.data()).await.expect("a body in time") {
        body.extend_from_slice(&chunk.unwrap());
    }
    Answer { status, content_type, body }
}

/// The exporter's context is the nonce, which comes when h2 has the stream
/// already: both ends hold it.
#[derive(Clone)]
struct Shared(Arc<Mutex<TlsStream<TcpStream>>>);

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_shutdown(cx)
    }
}
