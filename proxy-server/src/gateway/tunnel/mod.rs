//! Tunnels: bytes both ways until both sides are done, or until the session ends.
//!
//! A tunnel is one future that polls both directions and the cut. It holds no
//! buffer while it waits: bytes stand in the thread's scratch while they move,
//! and only what a slow reader did not take is kept, during which the other
//! side is not read.
//!
//! When the session ends, both sockets are reset: what is unsent is thrown
//! away, and a tunnel blocked in a write ends like any other.

mod own;
mod rate;
mod stream;

use std::{fmt, io, sync::Arc, time::Duration};

use countersign_protocol::{Destination, SessionId};
use countersign_telemetry::Span;
use tokio::{task::yield_now, time::Instant};

pub(super) use own::OwnTunnel;
pub(crate) use rate::Meters;
pub(super) use rate::Rates;
pub(super) use stream::StreamTunnel;

use super::{refusal::RequestId, stream::StreamError, tunnel_span};
use crate::{
    session::EndReason,
    telemetry::{GatewayMetrics, trace},
};

/// How a tunnel ended.
#[derive(Debug)]
pub(crate) enum TunnelEnd {
    /// Both directions came to their end.
    Closed,
    /// The session ended.
    Cut(EndReason),
    /// The client's side failed.
    Client(StreamError),
    /// The client's HTTP/2 stream was reset or failed.
    Stream(h2::Error),
    /// The destination's side failed.
    Upstream(io::Error),
}

/// Bytes of plaintext that went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// From the client to the destination.
    pub(crate) up: u64,
    /// From the destination to the client.
    pub(crate) down: u64,
}

/// What a tunnel has moved, and how much of it was counted for all tunnels: once for
/// each turn of the tunnel, however many bytes that was.
pub(crate) struct Flow {
    so_far: Traffic,
    told: Traffic,
    metrics: Arc<GatewayMetrics>,
}

impl Flow {
    /// Nothing yet.
    pub(crate) fn new(metrics: Arc<GatewayMetrics>) -> Self {
        Self { so_far: Traffic::default(), told: Traffic::default(), metrics }
    }

    fn tell(&mut self) {
        let Self { so_far, told, metrics } = self;
        if so_far != told {
            metrics.moved(so_far.up - told.up, so_far.down - told.down);
            *told = *so_far;
        }
    }
}

/// One direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// Bytes may come.
    Open,
    /// The source ended; what is left is on its way.
    Ending,
    /// The sink was told of the end.
    Done,
}

/// What the log and the trace say of a tunnel at its end.
pub(super) struct Record {
    pub(super) request: RequestId,
    pub(super) session: SessionId,
    pub(super) destination: Destination,
    opened: Instant,
    metrics: Arc<GatewayMetrics>,
    span: Span,
}

impl Record {
    /// Says in the log that a tunnel was opened; keep it for its end.
    pub(super) fn opened(
        request: RequestId,
        session: SessionId,
        destination: Destination,
        metrics: Arc<GatewayMetrics>,
        span: Span,
    ) -> Self {
        let (trace_id, span_id) = trace::fields(&span);
        tracing::info!(
            code = "tunnel-opened", %request, %session, %destination, trace_id, span_id, "tunnel opened"
        );
        Self { request, session, destination, opened: Instant::now(), metrics, span }
    }

    /// Says in the log how it ended. To be called when the tunnel is dropped: of many that
    /// are cut at once, all that can go first do, and none waits for the lines of others.
    pub(super) async fn ended(self, end: &TunnelEnd, traffic: Traffic) {
        self.metrics.ended(end.word());
        yield_now().await;
        let Self { request, session, destination, opened, metrics: _, span } = self;
        let (trace_id, span_id) = trace::fields(&span);
        let Traffic { up, down } = traffic;
        let ms = Duration::as_millis(&opened.elapsed()) as u64;
        match end {
            TunnelEnd::Cut(reason) => tracing::info!(
                code = "tunnel-cut", reason = reason.as_str(), %request, %session, %destination, up, down, ms,
                trace_id, span_id, "tunnel cut"
            ),
            TunnelEnd::Closed => tracing::debug!(
                code = "tunnel-closed", %request, %session, %destination, up, down, ms, trace_id, span_id,
                "tunnel closed"
            ),
            TunnelEnd::Client(_) | TunnelEnd::Stream(_) | TunnelEnd::Upstream(_) => tracing::debug!(
                code = "tunnel-failed", %end, %request, %session, %destination, up, down, ms,
                trace_id, span_id, "tunnel failed"
            ),
        }
        tunnel_span::ended(span, end, traffic);
    }
}

impl TunnelEnd {
    /// The stable word, for figures.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Cut(reason) => reason.as_str(),
            Self::Client(_) | Self::Stream(_) => "client-failed",
            Self::Upstream(_) => "destination-failed",
        }
    }
}

impl fmt::Display for TunnelEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("both sides are done"),
            Self::Cut(reason) => write!(f, "session ended: {reason}"),
            Self::Client(StreamError::Truncated) => f.write_str("client: ended without close_notify"),
            Self::Client(StreamError::Record(error)) => write!(f, "client: {error}"),
            Self::Client(StreamError::Io(error)) => write!(f, "client: {error}"),
            Self::Stream(error) => write!(f, "client's stream: {error}"),
            Self::Upstream(error) => write!(f, "destination: {error}"),
        }
    }
}

/// Reads of one direction before the other directions and tunnels get their turn.
const ROUNDS: usize = 8;
