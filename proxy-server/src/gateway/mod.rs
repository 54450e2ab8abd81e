//! The gateway port: who shows a session certificate and has a session gets tunnels.
//!
//! ```text
//!  TCP ─► handshake ─► identity ─► http1 ─┬─► open ─► tunnel::OwnTunnel     a connection each
//!         (own task,   (live       http2 ─┘  (register, allow, resolve,
//!          deadline)    session)             check address, dial, ask again)
//!                                         └─► tunnel::StreamTunnel  a stream each
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`config`], `tls`, `known_certificates` | what it is told, and rustls's configuration made of it |
//! | `handshake` | one handshake |
//! | `records`, `stream`, `scratch`, `backlog` | bytes of a TLS connection, without buffers of its own |
//! | `identity`, `open`, `resolve` | from certificate and target to a dialled address |
//! | `http1` with `head`, `http2` | the two ways to ask |
//! | `tunnel`, `tunnel_span` | forwarding, and the cut; what a trace says of it |
//! | `refusal` | every way to be refused, its code, its sentence |
//! | `fuzzing` | the way in for `tests/fuzz` |
//!
//! It never ends the TLS that runs inside a tunnel, and knows no way around a
//! session: there is no setting that lets anybody else through.

mod backlog;
mod config;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod head;
mod http1;
mod http2;
mod identity;
mod known_certificates;
mod open;
mod records;
mod refusal;
mod resolve;
mod scratch;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod tunnel_span;

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub use config::{GatewayConfig, GatewayTls};
use countersign_telemetry::{Span, Tracer, names};
use handshake::{Accepted, HandshakeError, HttpVersion};
use refusal::{Refusal, RequestId};
use resolve::Resolver;
use rustls::ServerConfig;
pub use tls::GatewayError;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tunnel::Rates;

use crate::{
    accept::back_off,
    handshakes::Handshakes,
    policy::PolicyHandle,
    replica::Elsewhere,
    session::{EndReason, Session, Sessions},
    telemetry::{GatewayMetrics, trace},
};

/// The gateway port, ready to serve.
pub struct Gateway {
    shared: Arc<Shared>,
}

/// What every connection and stream uses.
struct Shared {
    config: GatewayConfig,
    tls: Arc<ServerConfig>,
    sessions: Sessions,
    policy: PolicyHandle,
    elsewhere: Elsewhere,
    resolver: Resolver,
    rates: Rates,
    metrics: Arc<GatewayMetrics>,
    tracer: Tracer,
    handshakes: Arc<Handshakes>,
    connections: Arc<Semaphore>,
    /// Cancelled when nothing new is to be opened.
    stopping: CancellationToken,
    /// Every connection and stream; when it is empty, nothing is open any more.
    tasks: TaskTracker,
}

impl Gateway {
    /// A gateway that admits the sessions of `sessions`, and those that stand
    /// `elsewhere`, by the rules of `policy`.
    ///
    /// # Errors
    /// [`GatewayError`] when the certificates cannot be used.
    pub fn new(
        config: GatewayConfig,
        tls: GatewayTls,
        sessions: Sessions,
        policy: PolicyHandle,
        elsewhere: Elsewhere,
        metrics: Arc<GatewayMetrics>,
        tracer: Tracer,
    ) -> Result<Self, GatewayError> {
        let shared = Shared {
            tls: tls::server_config(tls)?,
            resolver: Resolver::new(&config),
            rates: Rates::default(),
            metrics,
            tracer,
            handshakes: Handshakes::new(config.max_handshakes),
            connections: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            config,
            sessions,
            policy,
            elsewhere,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Serves until `shutdown`; then opens nothing new, lets open tunnels go on
    /// for [`GatewayConfig::drain`], cuts the rest ([`EndReason::Draining`]) and returns.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let Self { shared } = self;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((tcp, peer)) => shared.take(tcp, peer),
                    Err(error) => back_off(&error, "gateway").await,
                },
            }
        }
        drop(listener);
        shared.drain().await;
    }
}

impl Shared {
    fn take(self: &Arc<Self>, tcp: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.connections).try_acquire_owned() else {
            tracing::warn!(code = "overloaded", "connection refused: as many as there may be");
            stream::reset(&tcp);
            return;
        };
        self.tasks.spawn(connection(Arc::clone(self), tcp, peer, place));
    }

    /// Counts a refusal, writes its one line in the log, and ends its span.
    fn refused(&self, request: RequestId, session: Option<&Arc<Session>>, refusal: &Refusal, mut span: Span) {
        let code = refusal.code();
        self.metrics.refused(code.as_str());
        let session = session.map(|session| session.id().to_string());
        let (trace_id, span_id) = trace::fields(&span);
        tracing::info!(
            code = code.as_str(), %request, session, cause = refusal.cause(), trace_id, span_id, "refused: {refusal}"
        );
        span.set(names::HTTP_RESPONSE_STATUS_CODE, code.status());
        span.fail(code.as_str());
    }

    async fn drain(&self) {
        self.stopping.cancel();
        self.tasks.close();
        if timeout(self.config.drain, self.tasks.wait()).await.is_err() {
            let ended = self.sessions.end_where(EndReason::Draining, |_| true);
            tracing::info!(
                code = "drained",
                sessions = ended.sessions,
                tunnels = ended.tunnels,
                "drain is over"
            );
            // A cut tunnel ends at its next poll.
            let _ = timeout(CUT_TIMEOUT, self.tasks.wait()).await;
        }
    }
}

/// One connection from its first byte. Each stage is boxed and dropped when it
/// is done, so that a tunnel does not pay for the handshake before it.
async fn connection(shared: Arc<Shared>, tcp: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
    let Some(Accepted { stream, leaf, protocol }) = Box::pin(shake_hands(&shared, tcp, peer)).await else {
        return;
    };
    let who = Box::pin(identity::find_session(&shared.sessions, &shared.elsewhere, &leaf)).await;
    drop(leaf);
    match protocol {
        HttpVersion::One => Box::pin(http1::serve(&shared, stream, who)).await,
        HttpVersion::Two => Box::pin(http2::serve(Arc::clone(&shared), stream, who)).await,
    }
    drop(place);
}

async fn shake_hands(shared: &Shared, mut tcp: TcpStream, mut peer: SocketAddr) -> Option<Accepted> {
    open::tune(&tcp, shared).ok()?;
    let place = shared.handshakes.enter();
    let shake = async {
        peer = shared.config.load_balancers.client(&mut tcp, peer).await?;
        handshake::accept(tcp, Arc::clone(&shared.tls)).await
    };
    let (code, error) = tokio::select! {
        done = timeout(shared.config.handshake_timeout, shake) => match done {
            Ok(Ok(accepted)) => return Some(accepted),
            Ok(Err(error)) => (HandshakeError::code(&error), Some(error)),
            Err(_) => ("handshake-timeout", None),
        },
        () = place.evicted() => ("handshake-evicted", None),
    };
    let error = error.map(|error| error.to_string());
    shared.metrics.handshake_failed(code);
    tracing::info!(code, %peer, error, "handshake failed");
    None
}

/// How long cut tunnels have to notice.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);
