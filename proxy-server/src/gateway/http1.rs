use std::{future::poll_fn, io, sync::Arc};

use countersign_protocol::{Problem, wire};
use countersign_telemetry::Span;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    Shared,
    handshake::HttpVersion,
    head::{Connect, MAX_HEAD, connect, end_of_head},
    identity::Stranger,
    open::{Opened, open},
    refusal::{Refusal, RequestId},
    stream::TlsStream,
    tunnel::{Flow, OwnTunnel, Record},
    tunnel_span::asked,
};
use crate::session::Session;

/// Answers CONNECTs on a connection until one opens: then the connection is the tunnel's.
///
/// After a refusal the client may try again, some times; after a request that
/// is not well-formed, or behind which bytes came already, the connection ends,
/// because nobody can tell what those bytes are.
pub(super) async fn serve(shared: &Shared, mut stream: TlsStream, who: Result<Arc<Session>, Stranger>) {
    let mut head = Vec::new();
    for _ in 0..MAX_REQUESTS {
        let request = RequestId::next();
        let attempt = Box::pin(attempt(shared, &mut stream, &mut head, &who)).await;
        let (refusal, again, span) = match attempt {
            Attempt::Opened {
                opened: Opened { upstream, permit, destination, meters },
                head: length,
                span,
            } => {
                let record = {
                    let metrics = Arc::clone(&shared.metrics);
                    Record::opened(request, permit.session().id(), destination, metrics, span)
                };
                let flow = Flow::new(Arc::clone(&shared.metrics));
                let early = head.get(length..).unwrap_or_default();
                let mut tunnel = Box::new(OwnTunnel::new(stream, upstream, permit, meters, flow, early));
                drop(head);
                let end = (&mut tunnel).await;
                let traffic = tunnel.traffic();
                drop(tunnel);
                record.ended(&end, traffic).await;
                return;
            }
            Attempt::Refused { refusal, head: length, span } => {
                let again = head.len() == length && !stream.has_plain();
                head.clear();
                (refusal, again, span)
            }
            Attempt::Malformed(refusal) => (refusal, false, Span::none()),
            Attempt::Stranger(refusal, span) => (refusal, false, span),
            Attempt::Over => {
                // No answer is under way that a reset could take along.
                let _ = timeout(ANSWER_TIMEOUT, poll_fn(|cx| stream.poll_close(cx))).await;
                return;
            }
        };
        shared.refused(request, who.as_ref().ok(), &refusal, span);
        let answered = answer(&mut stream, &refusal.problem(request), again).await;
        if answered.is_err() || !again {
            break;
        }
    }
    // The answer must arrive before the connection goes; the deadline is for a client that does not read it.
    let _ = timeout(shared.config.head_timeout, stream.shutdown()).await;
}

enum Attempt {
    /// A way is open, and the client was told so.
    Opened { opened: Opened, head: usize, span: Span },
    /// A request that was understood and refused.
    Refused { refusal: Refusal, head: usize, span: Span },
    /// A request that was not understood.
    Malformed(Refusal),
    /// A request of somebody without a session.
    Stranger(Refusal, Span),
    /// The client is gone, or has nothing to say, or the session or the proxy ends.
    Over,
}

async fn attempt(
    shared: &Shared,
    stream: &mut TlsStream,
    head: &mut Vec<u8>,
    who: &Result<Arc<Session>, Stranger>,
) -> Attempt {
    if !wait_for_request(shared, stream, head, who).await {
        return Attempt::Over;
    }
    let length = match timeout(shared.config.head_timeout, read_head(stream, head)).await {
        Ok(Ok(Some(length))) => length,
        Ok(Ok(None)) => return Attempt::Malformed(Refusal::HeadTooLong { limit: MAX_HEAD }),
        Ok(Err(_)) => return Attempt::Over,
        Err(_) => return Attempt::Malformed(Refusal::HeadTimeout),
    };
    let Connect { target, trace } = match connect(head.get(..length).unwrap_or_default()) {
        Ok(connect) => connect,
        Err(refusal) => return Attempt::Malformed(refusal),
    };
    let mut span = asked(&shared.tracer, trace.as_ref(), HttpVersion::One);
    let session = match who {
        Ok(session) => session,
        Err(stranger) => return Attempt::Stranger((*stranger).into(), span),
    };
    let mut opened = match open(shared, session, target, &mut span).await {
        Ok(opened) => opened,
        Err(refusal) => return Attempt::Refused { refusal, head: length, span },
    };
    // RFC 9110 section 9.3.6: a 2xx answer to CONNECT has neither Content-Length nor Transfer-Encoding.
    let told = async {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        stream.flush().await
    };
    // A client that does not take its answer must not put off the end of its session.
    let told = tokio::select! {
        told = timeout(shared.config.head_timeout, told) => matches!(told, Ok(Ok(()))),
        _ = opened.permit.cut() => false,
    };
    if told { Attempt::Opened { opened, head: length, span } } else { Attempt::Over }
}

/// Waits for the first byte of a request; whether one came.
async fn wait_for_request(
    shared: &Shared,
    stream: &mut TlsStream,
    head: &mut Vec<u8>,
    who: &Result<Arc<Session>, Stranger>,
) -> bool {
    if !head.is_empty() || stream.has_plain() {
        return true;
    }
    // A session that takes no watcher takes no tunnel either: the request learns why.
    let mut watch = who.as_ref().ok().and_then(|session| session.watch().ok());
    let ended = async {
        match &mut watch {
            Some(watch) => drop(watch.ended().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        read = stream.read_buf(head) => matches!(read, Ok(1..)),
        () = ended => false,
        () = shared.stopping.cancelled() => false,
        () = tokio::time::sleep(shared.config.idle_timeout) => false,
    }
}

/// Reads to the end of the head; `None` when it is longer than [`MAX_HEAD`].
async fn read_head(stream: &mut TlsStream, head: &mut Vec<u8>) -> io::Result<Option<usize>> {
    loop {
        if let Some(length) = end_of_head(head) {
            return Ok((length <= MAX_HEAD).then_some(length));
        }
        if head.len() >= MAX_HEAD {
            return Ok(None);
        }
        if stream.read_buf(head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn answer(stream: &mut TlsStream, problem: &Problem, again: bool) -> io::Result<()> {
    let body = serde_json::to_string(problem)?;
    let reason = http::StatusCode::from_u16(problem.status).ok().and_then(|status| status.canonical_reason());
    let answer = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}\r\n{body}",
        problem.status,
        reason.unwrap_or_default(),
        wire::PROBLEM_JSON,
        body.len(),
        if again { "" } else { "Connection: close\r\n" },
    );
    let send = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await
    };
    // A client that does not read its answer does not get to hold the connection.
    timeout(ANSWER_TIMEOUT, send).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Requests on one connection: a refusal can be followed by another try.
const MAX_REQUESTS: usize = 32;

const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
