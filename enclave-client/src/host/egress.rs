use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use countersign_protocol::{Destination, Host as Target, Problem, ProblemCode};
use countersign_telemetry::{Span, TraceContext, names::NETWORK_PEER_ADDRESS};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    door::Place,
    limit::{Beyond, OuterLimit},
    names::{self, Names, ResolveError},
    refusals::Refusals,
    wire::{Accepted, Addresses, Answer, HostCode, MAX_HEAD, Request, RequestError},
};
use crate::{
    random::request_id,
    relay::{Early, Report, Side, relay},
    telemetry::{self, Counted, Telemetry, trace_id},
    transport::{DialError, Stream, connect_first},
};

/// Answers the enclave's requests and carries its connections.
pub(super) struct EgressDesk {
    pub(super) names: Names,
    pub(super) limit: watch::Receiver<Arc<OuterLimit>>,
    /// What is refused, in the log.
    pub(super) refusals: Refusals,
    /// From then on nothing more is asked: who waits with a connection opened ahead is sent away.
    pub(super) stop: CancellationToken,
    /// Ends every connection that is left after the time to drain.
    pub(super) cut: CancellationToken,
    pub(super) telemetry: Telemetry,
}

impl EgressDesk {
    /// One connection of the enclave, or a lane of one: resolve requests, then one `CONNECT`. A connection that is to
    /// be a trunk is given back, with what was read of it.
    pub(super) async fn serve(&self, mut stream: Stream, place: Place) -> Option<(Stream, Bytes)> {
        let mut buffer = BytesMut::new();
        for _ in 0..MAX_REQUESTS {
            let request = match self.stop.run_until_cancelled(read(&mut stream, &mut buffer)).await {
                Some(Ok(Some(request))) => request,
                Some(Ok(None)) | None => return None,
                Some(Err(problem)) => {
                    self.refuse(stream, None, None, problem).await;
                    return None;
                }
            };
            match request {
                Request::Trunk if matches!(stream, Stream::Lane(_)) => {
                    let problem = problem(ProblemCode::BadRequest, "a lane of a trunk is no trunk");
                    self.refuse(stream, None, None, problem).await;
                    return None;
                }
                Request::Trunk => return Some((stream, buffer.freeze())),
                Request::Resolve(destination) => match self.resolve(&destination).await {
                    Ok(answer) => {
                        let answer = answer.encode();
                        let written = timeout(WRITE_DEADLINE, stream.write_all(&answer)).await;
                        let Ok(Ok(())) = written else { return None };
                    }
                    Err(problem) => {
                        self.refuse(stream, None, Some(&destination), problem).await;
                        return None;
                    }
                },
                Request::Connect { destination, accepted, trace } => {
                    let mut span = self.telemetry.dial_span(&destination, trace.as_ref());
                    // Taken before the judgement: a limit that changes from here on is noticed.
                    let limit = self.limit.clone();
                    match self.connect(&destination, &accepted).await {
                        Ok((upstream, address)) => {
                            span.set_with(NETWORK_PEER_ADDRESS, || address.to_string().into());
                            let way = Way { destination, address, limit, span };
                            let early = Early { up: buffer.freeze(), ..Early::default() };
                            self.carry(stream, upstream, way, early).await;
                            drop(place);
                        }
                        Err(problem) => {
                            let trace = span.context();
                            span.fail(telemetry::word(&problem));
                            self.refuse(stream, trace, Some(&destination), problem).await;
                        }
                    }
                    return None;
                }
            }
        }
        let problem = problem(ProblemCode::BadRequest, "too many requests on one connection");
        self.refuse(stream, None, None, problem).await;
        None
    }

    async fn resolve(&self, destination: &Destination) -> Result<Answer, Problem> {
        let limit = self.limit.borrow().clone();
        limit.judge(destination).map_err(beyond)?;
        let Target::Name(name) = destination.host() else {
            return Err(problem(ProblemCode::BadDestination, "an address is not resolved"));
        };
        let (addresses, lifetime) = self.names.resolve(name).await.map_err(unresolved)?;
        let within = within(&limit, destination, &addresses)?;
        Ok(Answer::Resolved(names::answer(&within, lifetime)))
    }

    async fn connect(&self, to: &Destination, accepted: &Accepted) -> Result<(Stream, IpAddr), Problem> {
        let limit = self.limit.borrow().clone();
        limit.judge(to).map_err(beyond)?;
        let addresses = match (to.host(), accepted) {
            (Target::Address(address), Accepted::Itself) => vec![*address],
            (Target::Name(_), Accepted::Itself) => vec![Ipv4Addr::LOCALHOST.into()],
            (Target::Name(name), Accepted::These(accepted)) => {
                let shared = self.names.shared(name, accepted).await.map_err(unresolved)?;
                let shared = shared.ok_or_else(|| {
                    HostCode::AddressesDiffer.problem(format!("{name} has none of the addresses {accepted}"))
                })?;
                within(&limit, to, &shared)?.as_slice().to_vec()
            }
            (Target::Address(_), Accepted::These(_)) => {
                return Err(problem(ProblemCode::BadRequest, "an address takes no list of addresses"));
            }
        };
        let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, to.port())).collect();
        let (stream, address) = connect_first(addresses).await.map_err(|why| unreachable(to, why))?;
        Ok((stream, address.ip()))
    }

    async fn carry(&self, mut enclave: Stream, upstream: Stream, way: Way, early: Early) {
        let Way { destination, address, mut limit, span } = way;
        let trace_id = trace_id(span.context());
        let answer = Answer::Connected(address).encode();
        if !matches!(timeout(WRITE_DEADLINE, enclave.write_all(&answer)).await, Ok(Ok(()))) {
            enclave.abort();
            return upstream.abort();
        }
        debug!(%destination, %address, trace_id, code = "egress-opened", "connected");
        let upstream = Counted::new(upstream, self.telemetry.figures());
        let cut = self.cut.child_token();
        let beyond = async {
            // From the limit that this connection was judged by to the one that is in force now.
            while limit.borrow_and_update().holds(&destination, address) {
                if limit.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
            warn!(%destination, %address, trace_id, code = "egress-cut", "cut: no egress rule set allows it any more");
            cut.cancel();
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = beyond => {}
            report = relay(enclave, upstream, early, Some(&cut)) => {
                let Report { end, up, down } = &report;
                debug!(%destination, trace_id, code = "egress-ended", up, down, "{end}");
                telemetry::end(span, &report);
            }
        }
    }

    /// Answers, and waits a moment for the enclave to read: closing on unread bytes
    /// would take the answer with it.
    pub(super) async fn refuse(
        &self,
        mut stream: Stream,
        trace: Option<TraceContext>,
        to: Option<&Destination>,
        problem: Problem,
    ) {
        self.refusals.tell(trace, to, &problem);
        if let Some(figures) = self.telemetry.figures() {
            figures.tunnels.refused.add(telemetry::word(&problem));
        }
        let farewell = async {
            stream.write_all(&Answer::Refused(problem).encode()).await?;
            stream.shutdown().await?;
            let mut unread = (&mut stream).take(MAX_UNREAD);
            tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
        };
        // It may be gone already; then nobody misses the answer.
        let _ = timeout(WRITE_DEADLINE, farewell).await;
    }
}

/// A connection that was let pass.
struct Way {
    destination: Destination,
    address: IpAddr,
    limit: watch::Receiver<Arc<OuterLimit>>,
    span: Span,
}

/// Those of the addresses that the limit lets pass; why not, if it is none.
fn within(limit: &OuterLimit, to: &Destination, addresses: &Addresses) -> Result<Addresses, Problem> {
    let mut denied = None;
    let passing =
        addresses.as_slice().iter().copied().filter(|&address| match limit.judge_address(to, address) {
            Ok(()) => true,
            Err(why) => {
                denied = Some(why);
                false
            }
        });
    let passing = Addresses::first_of(passing.collect::<Vec<_>>());
    passing.ok_or_else(|| match denied {
        Some(why) => problem(
            ProblemCode::AddressDenied,
            format!("{to} leads to no address that may be dialled: {why}"),
        ),
        None => problem(ProblemCode::ResolveFailed, format!("{to} has no address")),
    })
}

/// The next request; `None` when the enclave left without one. The first byte
/// may take long, since connections are opened ahead; the rest may not.
async fn read(stream: &mut Stream, buffer: &mut BytesMut) -> Result<Option<Request>, Problem> {
    let idle = Instant::now() + IDLE;
    let mut deadline = if buffer.is_empty() { idle } else { Instant::now() + HEAD_DEADLINE };
    loop {
        if let Some((request, len)) = Request::parse(buffer).map_err(|why| bad_request(&why))? {
            let _head = buffer.split_to(len);
            return Ok(Some(request));
        }
        buffer.reserve(READ);
        match timeout_at(deadline, stream.read_buf(buffer)).await {
            Ok(Ok(0) | Err(_)) => return Ok(None),
            Ok(Ok(_)) if deadline == idle => deadline = Instant::now() + HEAD_DEADLINE,
            Ok(Ok(_)) => {}
            Err(_) if buffer.is_empty() => return Ok(None),
            Err(_) => {
                return Err(problem(ProblemCode::RequestTimeout, "the request's head did not come in time"));
            }
        }
    }
}

fn bad_request(why: &RequestError) -> Problem {
    let code = match why {
        RequestError::TooLong => ProblemCode::TooLarge,
        RequestError::Method => ProblemCode::MethodNotAllowed,
        RequestError::NoSuchPath => ProblemCode::NotFound,
        RequestError::Destination(_) => ProblemCode::BadDestination,
        _ => ProblemCode::BadRequest,
    };
    problem(code, why.to_string())
}

fn beyond(why: Beyond) -> Problem {
    match &why {
        Beyond::RuleSets(_) => HostCode::EgressRuleSet.problem(why.to_string()),
        Beyond::Special(_) => problem(ProblemCode::AddressDenied, why.to_string()),
    }
}

fn unresolved(why: ResolveError) -> Problem {
    problem(ProblemCode::ResolveFailed, why.to_string())
}

/// No address took the connection: why the last one did not.
fn unreachable(to: &Destination, why: DialError) -> Problem {
    match why {
        DialError::Connect { why, .. } if why.kind() == io::ErrorKind::TimedOut => {
            problem(ProblemCode::ConnectTimeout, format!("{to} did not answer in time"))
        }
        DialError::Connect { why, .. } | DialError::Resolve { why, .. } => {
            problem(ProblemCode::Unreachable, format!("{to} takes no connection: {why}"))
        }
    }
}

/// Tells that there is no place, without reading what was asked.
pub(super) fn overloaded(most: usize, what: &str) -> Problem {
    problem(ProblemCode::Overloaded, format!("the host half carries {most} {what} already, its limit"))
}

fn problem(code: ProblemCode, detail: impl Into<String>) -> Problem {
    Problem::new(code, detail, request_id())
}

/// Of which all but the last are resolve requests.
const MAX_REQUESTS: usize = 16;

/// How long a connection may wait for its first byte.
const IDLE: Duration = Duration::from_secs(60);

/// For a head, from its first byte.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// For an answer, and for the enclave to read a refusal.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// Bytes of it that are read meanwhile.
const MAX_UNREAD: u64 = 64 * 1024;

/// A head is seldom longer. Never more than [`MAX_HEAD`] of it are kept unparsed.
const READ: usize = 512;

const _: () = assert!(READ <= MAX_HEAD);
