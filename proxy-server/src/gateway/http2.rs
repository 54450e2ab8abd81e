use std::{
    future::{pending, poll_fn},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use countersign_protocol::wire;
use countersign_telemetry::{Span, TraceContext};
use h2::{
    Ping, PingPong, Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use http::{Method, Request, Response, StatusCode, header};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::{
    Shared,
    handshake::HttpVersion,
    identity::Stranger,
    open::{Opened, open},
    refusal::{Refusal, RequestId},
    stream::{ResetSwitch, TlsStream},
    tunnel::{Flow, Record, StreamTunnel},
    tunnel_span::asked,
};
use crate::session::{Session, SessionWatch};

/// Answers CONNECTs on an HTTP/2 connection, each stream in a task of its own.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: TlsStream, who: Result<Arc<Session>, Stranger>) {
    let reset = stream.reset_switch();
    let handshake = builder(&shared).handshake::<_, Bytes>(stream);
    let Ok(Ok(mut connection)) = timeout(shared.config.head_timeout, handshake).await else {
        return;
    };
    // A connection that does not learn of its session's end carries no tunnel of it.
    let (who, watch) = match who {
        Ok(session) => match session.watch() {
            Ok(watch) => (Ok(session), Some(watch)),
            Err(error) => (Err(Stranger::Full(error)), None),
        },
        Err(stranger) => (Err(stranger), None),
    };
    let mut life = Life { ping: connection.ping_pong(), reset, watch, who: Arc::new(who) };
    live(&shared, &mut connection, &mut life).await;
    // In this order: bytes of ended streams may stand in the connection's buffers, and
    // as long as the watch is held the session's end is not over.
    drop(connection);
    drop(life);
}

/// What a connection has beside its streams.
struct Life {
    ping: Option<PingPong>,
    reset: ResetSwitch,
    watch: Option<SessionWatch>,
    /// Shared with each stream's task, so that its count tells how many there are.
    who: Arc<Result<Arc<Session>, Stranger>>,
}

async fn live(shared: &Arc<Shared>, connection: &mut Connection<TlsStream, Bytes>, life: &mut Life) {
    let keepalive = shared.config.keepalive;
    let mut tick = interval_at(Instant::now() + keepalive, keepalive);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut busy = Instant::now();
    let mut awaited = Pong::Here;
    let mut stopping = Stopping::No;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    if life.who.is_err() && stopping == Stopping::No {
                        // Its answer tells it what to do, which is done on another connection.
                        connection.graceful_shutdown();
                        stopping = Stopping::Announced;
                    }
                    busy = Instant::now();
                    let (shared, who) = (Arc::clone(shared), Arc::clone(&life.who));
                    shared.tasks.clone().spawn(async move { stream(&shared, &who, request, respond).await });
                }
                Some(Err(_)) | None => return,
            },
            () = ended(&mut life.watch) => {
                // Every stream here is the session's: one GOAWAY ends them all and throws away
                // what they had yet to send. A reset of each would cost a thousand tunnels a
                // thousand frames, and the client the same.
                connection.abrupt_shutdown(Reason::CANCEL);
                let _ = timeout(RESET_GRACE, poll_fn(|cx| connection.poll_closed(cx))).await;
                life.reset.set();
                return;
            }
            () = shared.stopping.cancelled(), if stopping == Stopping::No => {
                connection.graceful_shutdown();
                stopping = Stopping::Announced;
            }
            () = pong(&mut life.ping), if awaited == Pong::Awaited => awaited = Pong::Here,
            _ = tick.tick() => {
                if Arc::strong_count(&life.who) > 1 {
                    busy = Instant::now();
                }
                if awaited == Pong::Awaited {
                    life.reset.set();
                    return;
                }
                let lonely = Arc::strong_count(&life.who) == 1;
                match stopping {
                    Stopping::No => {}
                    // A whole tick without a stream, and the client has not hung up.
                    Stopping::Overdue if lonely => return,
                    Stopping::Announced | Stopping::Overdue => {
                        stopping = if lonely { Stopping::Overdue } else { Stopping::Announced };
                        continue;
                    }
                }
                if busy.elapsed() >= shared.config.idle_timeout {
                    connection.graceful_shutdown();
                    stopping = Stopping::Announced;
                    continue;
                }
                let sent = life.ping.as_mut().is_some_and(|ping| ping.send_ping(Ping::opaque()).is_ok());
                awaited = if sent { Pong::Awaited } else { Pong::Here };
            }
        }
    }
}

/// One stream from request to end.
async fn stream(
    shared: &Shared,
    who: &Result<Arc<Session>, Stranger>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let id = RequestId::next();
    let mut span = Span::none();
    let opening = Box::pin(async {
        let target = connect_target(&request)?;
        span = asked(&shared.tracer, trace(&request).as_ref(), HttpVersion::Two);
        let session = who.as_ref().map_err(|stranger| Refusal::from(*stranger))?;
        open(shared, session, target, &mut span).await
    });
    let opened = tokio::select! {
        opened = opening => opened,
        // The client lost interest.
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    match opened {
        Ok(Opened { upstream, permit, destination, meters }) => {
            let Ok(to_client) = respond.send_response(Response::new(()), false) else { return };
            let metrics = Arc::clone(&shared.metrics);
            let record = Record::opened(id, permit.session().id(), destination, metrics, span);
            // In a block of its own, so that the wait behind it does not make each stream's task larger.
            let (end, traffic) = {
                let flow = Flow::new(Arc::clone(&shared.metrics));
                let mut tunnel =
                    StreamTunnel::new(request.into_body(), to_client, upstream, permit, meters, flow);
                let end = (&mut tunnel).await;
                (end, tunnel.traffic())
            };
            record.ended(&end, traffic).await;
        }
        Err(refusal) => {
            shared.refused(id, who.as_ref().ok(), &refusal, span);
            answer(respond, &refusal, id);
        }
    }
}

/// RFC 9113 section 8.5: ":method" is CONNECT, ":authority" the target, and
/// neither ":scheme" nor ":path" is there.
fn connect_target(request: &Request<RecvStream>) -> Result<&str, Refusal> {
    if request.method() != Method::CONNECT {
        return Err(Refusal::Method);
    }
    let uri = request.uri();
    let extended = request.extensions().get::<h2::ext::Protocol>().is_some();
    if extended || uri.scheme().is_some() || uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
        return Err(Refusal::Request("CONNECT has neither scheme nor path nor protocol"));
    }
    if request.headers().contains_key(header::CONTENT_LENGTH) {
        return Err(Refusal::Request("CONNECT has no body"));
    }
    uri.authority().map(|authority| authority.as_str()).ok_or(Refusal::Request("request has no target"))
}

/// The trace that the client says it is part of. Nothing is decided by it.
fn trace(request: &Request<RecvStream>) -> Option<TraceContext> {
    let values = request.headers().get_all(TraceContext::HEADER);
    TraceContext::of_headers(values.iter().map(header::HeaderValue::as_bytes))
}

fn answer(mut respond: SendResponse<Bytes>, refusal: &Refusal, id: RequestId) {
    let problem = refusal.problem(id);
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media = header::HeaderValue::from_static(wire::PROBLEM_JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    // Either fails only when the stream is gone; then nobody waits for the answer.
    if let Ok(mut send) = respond.send_response(response, false) {
        let _ = send.send_data(body.into(), true);
    }
    // h2 sends "RST_STREAM with NO_ERROR" behind it when the client has not ended
    // its side (section 8.1); a reset by hand would overtake the answer.
}

async fn ended(watch: &mut Option<SessionWatch>) {
    match watch {
        Some(watch) => drop(watch.ended().await),
        None => pending().await,
    }
}

async fn pong(ping: &mut Option<PingPong>) {
    match ping {
        // An error is the connection's end, which accept reports.
        Some(ping) => match poll_fn(|cx| ping.poll_pong(cx)).await {
            Ok(_) => {}
            Err(_) => sleep(RESET_GRACE).await,
        },
        None => pending().await,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pong {
    Here,
    Awaited,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    Announced,
    Overdue,
}

fn builder(shared: &Shared) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(shared.config.max_streams)
        .max_header_list_size(super::head::MAX_HEAD as u32)
        .max_send_buffer_size(SEND_BUFFER)
        // CVE-2023-44487: streams opened to be reset cost the client its connection.
        .max_pending_accept_reset_streams(20)
        .max_concurrent_reset_streams(256)
        // CVE-2025-8671: counted over the connection's whole life, and honest data
        // that crosses our reset counts too. What a stream may cost is bounded
        // elsewhere: its task holds one of the session's tunnels until it ends.
        .max_local_error_reset_streams(Some(16_384));
    builder
}

/// What one client may send to a slow destination before it waits.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all streams of a connection: the memory one connection can hold here.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// What one stream keeps for a slow client.
const SEND_BUFFER: usize = 128 * 1024;

/// How long a client has to take the last frames before its connection is reset.
const RESET_GRACE: Duration = Duration::from_millis(50);
