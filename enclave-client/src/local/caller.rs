use std::{io::ErrorKind, sync::Arc, time::Duration};

use bytes::BytesMut;
use countersign_protocol::{Destination, Problem};
use countersign_telemetry::{Span, TraceContext};
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tracing::{debug, info, warn};

use super::{
    HeadError, Request,
    answer::{self, With},
    forward::{Forwarder, Next},
    head,
};
use crate::{
    egress::{Connection as Way, Egress},
    relay::{Early, End, Report, Side, relay},
    telemetry::{self, trace_id},
    transport::Stream,
};

/// One caller's connection.
pub(super) struct Caller {
    pub(super) egress: Arc<Egress>,
    pub(super) head_deadline: Duration,
    /// Its place among the connections there may be.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Caller {
    /// Answers until the caller or a tunnel ends.
    pub(super) async fn serve(self, stream: TcpStream) {
        // Boxed: a tunnel, which may be idle for days, must not hold room for what came before.
        if let Some(tunnel) = Box::pin(self.until_tunnel(stream)).await {
            tunnel.carry().await;
        }
    }

    /// Answers requests until one becomes a tunnel, or there are no more.
    async fn until_tunnel(&self, mut stream: TcpStream) -> Option<Tunnel> {
        let mut buffer = BytesMut::new();
        let mut kept = None;
        loop {
            let head = timeout(self.head_deadline, read_head(&mut stream, &mut buffer)).await;
            let request = match head {
                Ok(Ok(Some(request))) => request,
                Ok(Ok(None)) => return None,
                Ok(Err(error)) => {
                    refuse(stream, None, None, &answer::bad_head(&error), With::Content).await;
                    return None;
                }
                Err(_) => {
                    refuse(stream, None, None, &answer::slow_head(), With::Content).await;
                    return None;
                }
            };
            let request = match request {
                Request::Connect { destination, trace } => {
                    drop(kept);
                    return self.tunnel(stream, buffer, destination, trace).await;
                }
                Request::Forward(request) => *request,
            };
            let destination = request.target.destination.clone();
            let with = if request.method == Method::HEAD { With::HeadOnly } else { With::Content };
            debug!(%destination, method = %request.method, code = "request", "request");
            let forwarder = Forwarder { egress: &self.egress };
            match forwarder.exchange(&mut stream, &mut buffer, request, &mut kept).await {
                Next::Again => {}
                Next::Close => {
                    farewell(stream).await;
                    return None;
                }
                Next::Refused(problem, span) => {
                    let trace = span.context();
                    span.fail(telemetry::word(&problem));
                    refuse(stream, trace, Some(&destination), &problem, with).await;
                    return None;
                }
                Next::Abort => {
                    Stream::Tcp(stream).abort();
                    return None;
                }
                Next::Upgraded(way, early, span) => {
                    let early = Early { up: buffer.freeze(), ..early };
                    return Some(Tunnel { stream, way, early, destination, span });
                }
            }
            // The wait for the next request to begin; from then on its head has the time that any has.
            // Whoever asks nothing more is not told off.
            if buffer.is_empty() {
                timeout(IDLE, read_some(&mut stream, &mut buffer)).await.ok()??;
            }
        }
    }

    async fn tunnel(
        &self,
        mut stream: TcpStream,
        buffer: BytesMut,
        destination: Destination,
        trace: Option<TraceContext>,
    ) -> Option<Tunnel> {
        let mut span = self.egress.telemetry().connect_span(&destination, trace.as_ref());
        let way = match self.egress.open_under(&destination, &mut span).await {
            Ok(way) => way,
            Err(error) => {
                let (problem, trace) = (answer::not_opened(&error), span.context());
                span.fail(error.word());
                refuse(stream, trace, Some(&destination), &problem, With::Content).await;
                return None;
            }
        };
        debug!(%destination, trace_id = trace_id(span.context()), code = "tunnel-opened", "tunnel {way:?}");
        stream.write_all(answer::ESTABLISHED).await.ok()?;
        let early = Early { up: buffer.freeze(), ..Early::default() };
        Some(Tunnel { stream, way, early, destination, span })
    }
}

/// What is open on both sides.
struct Tunnel {
    stream: TcpStream,
    way: Way,
    early: Early,
    destination: Destination,
    span: Span,
}

impl Tunnel {
    async fn carry(self) {
        let Self { stream, way, early, destination, span } = self;
        let cut = way.cut().cloned();
        let report = relay(Stream::Tcp(stream), way, early, cut.as_ref()).await;
        let (Report { end, up, down }, trace_id) = (&report, trace_id(span.context()));
        match end {
            End::Finished => debug!(%destination, trace_id, code = "tunnel-ended", up, down, "tunnel ended"),
            // The application drops its own connections as it likes, and knows that it did.
            End::Near(_) => {
                debug!(%destination, trace_id, code = "tunnel-dropped", up, down, "tunnel dropped: {end}");
            }
            End::Far(_) => {
                info!(%destination, trace_id, code = "tunnel-broke", up, down, "tunnel broke: {end}")
            }
            End::Cut => {
                warn!(%destination, trace_id, code = "tunnel-cut", up, down, "tunnel cut: the session's lease lapsed")
            }
        }
        telemetry::end(span, &report);
    }
}

/// The request, with its head taken off the buffer; `None` when the other end left
/// before it had said anything whole.
async fn read_head(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<Option<Request>, HeadError> {
    loop {
        if let Some(head) = head::parse(buffer)? {
            let _head = buffer.split_to(head.head_len);
            if buffer.is_empty() {
                // The rest of a buffer would hold the whole of it.
                *buffer = BytesMut::new();
            }
            return Ok(Some(head.request));
        }
        if read_some(stream, buffer).await.is_none() {
            return Ok(None);
        }
    }
}

/// Reads what has come; `None` when nothing more will. Nothing is held for a caller that says nothing.
async fn read_some(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<()> {
    loop {
        stream.readable().await.ok()?;
        buffer.reserve(READ);
        match stream.try_read_buf(buffer) {
            Ok(1..) => return Some(()),
            Err(why) if why.kind() == ErrorKind::WouldBlock => {
                if buffer.is_empty() {
                    *buffer = BytesMut::new();
                }
            }
            _ => return None,
        }
    }
}

/// Answers, and waits a moment for the other end to read.
pub(super) async fn refuse(
    mut stream: TcpStream,
    trace: Option<TraceContext>,
    destination: Option<&Destination>,
    problem: &Problem,
    with: With,
) {
    log_refusal(trace, destination, problem);
    let answer = answer::encode(problem, with);
    if let Ok(Ok(())) = timeout(FAREWELL, stream.write_all(&answer)).await {
        farewell(stream).await;
    }
}

/// Closing on unread bytes would reset the connection and take the answer with it:
/// so we say that no more comes, and read for a moment.
async fn farewell(mut stream: TcpStream) {
    let farewell = async {
        stream.shutdown().await?;
        let mut unread = (&mut stream).take(MAX_UNREAD);
        tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
    };
    // The other end may be gone already; then nobody misses the answer.
    let _ = timeout(FAREWELL, farewell).await;
}

fn log_refusal(trace: Option<TraceContext>, destination: Option<&Destination>, problem: &Problem) {
    let Problem { status, code, detail, request_id } = problem;
    let destination = destination.map(Destination::to_string).unwrap_or_default();
    warn!(%destination, trace_id = trace_id(trace), status, %code, %request_id, "refused: {detail}");
}

/// How long a caller that was answered may think about its next request.
const IDLE: Duration = Duration::from_secs(90);

/// Bytes of a head read at once: most heads.
const READ: usize = 2 * 1024;

/// For the other end to read a refusal.
const FAREWELL: Duration = Duration::from_secs(2);

/// Bytes of it that are read meanwhile.
const MAX_UNREAD: u64 = 64 * 1024;
