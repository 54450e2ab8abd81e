use std::{
    fmt,
    pin::Pin,
    task::{Context, Waker},
};

use bytes::{Bytes, BytesMut};
use countersign_protocol::Destination;
use countersign_telemetry::TraceContext;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::Instant,
};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{Gateway, OpenError, Tunnel, limits};
use crate::{attest::Attested, transport::Stream};

/// A connection whose handshake is done and that nobody uses yet.
pub(super) struct Idle {
    stream: TlsStream<Stream>,
    since: Instant,
}

impl Idle {
    /// Connects; `trace` is that of whoever waits for it.
    pub(super) async fn connect(
        gateway: &Gateway,
        attested: &Attested,
        trace: Option<TraceContext>,
    ) -> Result<Self, OpenError> {
        let stream = gateway.connect(attested, &attested.http1, trace).await?;
        Ok(Self { stream, since: Instant::now() })
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Young enough, and the gateway has neither closed it nor spoken unasked.
    pub(super) fn is_alive(&mut self, now: Instant) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(Waker::noop());
        let silent = Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer).is_pending();
        silent && now.duration_since(self.since) < limits::IDLE_AGE
    }

    /// `CONNECT` (RFC 9110 section 9.3.6), built anew from the parsed destination and trace context:
    /// nothing that the application wrote goes to the gateway's parser.
    pub(super) async fn open(
        mut self,
        destination: &Destination,
        cut: &CancellationToken,
        trace: Option<TraceContext>,
    ) -> Result<Tunnel, OpenError> {
        let head = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n{}\r\n", Line(trace));
        let broke = |why| OpenError::broke("CONNECT", &why);
        self.stream.write_all(head.as_bytes()).await.map_err(broke)?;
        self.stream.flush().await.map_err(broke)?;
        let mut buffer = BytesMut::with_capacity(4096);
        let answer = self.read_head(&mut buffer).await?;
        if (200..300).contains(&answer.status) {
            return Ok(Tunnel::own(self.stream, buffer.freeze(), cut.clone()));
        }
        let body = self.read_body(buffer, answer.content_length).await;
        Err(OpenError::refusal(answer.status, &body))
    }

    async fn read_head(&mut self, buffer: &mut BytesMut) -> Result<Answer, OpenError> {
        loop {
            if let Some(answer) = parse(buffer)? {
                return Ok(answer);
            }
            if buffer.len() >= limits::MAX_HEAD {
                return Err(OpenError::Gateway("its answer's head is too long".to_owned()));
            }
            let read = self.stream.read_buf(buffer).await.map_err(|why| OpenError::broke("CONNECT", &why))?;
            if read == 0 {
                return Err(OpenError::Gateway("it closed the connection before an answer".to_owned()));
            }
        }
    }

    /// As much of the problem document as comes; a refusal without one is still a refusal.
    async fn read_body(&mut self, mut body: BytesMut, length: usize) -> Bytes {
        let length = length.min(limits::MAX_PROBLEM);
        while body.len() < length {
            match self.stream.read_buf(&mut body).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        body.truncate(length);
        body.freeze()
    }
}

/// The field of a trace context, or nothing.
struct Line(Option<TraceContext>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |trace| write!(f, "{}: {trace}\r\n", TraceContext::HEADER))
    }
}

struct Answer {
    status: u16,
    content_length: usize,
}

/// The head, taken off the buffer; `None` while it is incomplete.
fn parse(buffer: &mut BytesMut) -> Result<Option<Answer>, OpenError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(buffer).map_err(|why| OpenError::broke("its answer is no HTTP", &why))?;
    let httparse::Status::Complete(end) = parsed else {
        return Ok(None);
    };
    let content_length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok())
        .unwrap_or(0);
    let answer = Answer { status: response.code.unwrap_or(0), content_length };
    let _head = buffer.split_to(end);
    Ok(Some(answer))
}

const MAX_HEADERS: usize = 64;
