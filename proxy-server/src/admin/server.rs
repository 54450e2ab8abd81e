use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, response::Response};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::{
    access::Peer,
    activity::{Activity, Counted},
    config::AdminConfig,
    router::router,
    shares::{Part, Shares},
    stalling::Stalling,
    state::AdminParts,
    tls,
};
use crate::{
    accept::back_off,
    config::ServerIdentity,
    handshakes::Handshakes,
    log::{Sample, Sampler},
};

/// The admin port, ready to listen.
pub struct AdminApi {
    acceptor: TlsAcceptor,
    router: Router,
    config: AdminConfig,
}

impl AdminApi {
    /// A port that shows this identity.
    ///
    /// # Errors
    /// What rustls says of the identity.
    pub fn new(identity: &ServerIdentity, parts: AdminParts) -> Result<Self, rustls::Error> {
        let config = parts.config.clone();
        let tls = tls::server_config(identity, config.client_certificates.clone())?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(tls)), router: router(parts), config })
    }

    /// Serves until told to stop; then lets the requests under way finish.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let Self { acceptor, router, config } = self;
        let config = Arc::new(config);
        let connections = Arc::new(Semaphore::new(config.connections as usize));
        let shares = Shares::new(config.connections);
        let handshakes = Handshakes::new(config.handshakes as usize);
        let lines = Arc::new(Sampler::new(LINES_PER_SECOND));
        let tasks = TaskTracker::new();
        let accept = async {
            loop {
                let Ok(place) = Arc::clone(&connections).acquire_owned().await else { break };
                match listener.accept().await {
                    Ok((tcp, address)) => {
                        let Some(part) = shares.take(address.ip()) else {
                            refuse(&lines, address);
                            continue;
                        };
                        let knock = Knock {
                            acceptor: acceptor.clone(),
                            router: router.clone(),
                            handshakes: Arc::clone(&handshakes),
                            lines: Arc::clone(&lines),
                            shutdown: shutdown.clone(),
                            config: Arc::clone(&config),
                            address,
                        };
                        tasks.spawn(knock.answer(tcp, (place, part)));
                    }
                    Err(error) => back_off(&error, "admin").await,
                }
            }
        };
        shutdown.run_until_cancelled(accept).await;
        drop(listener);
        tasks.close();
        let _ = timeout(GOODBYE, tasks.wait()).await;
    }
}

/// One connection from its first byte on.
struct Knock {
    acceptor: TlsAcceptor,
    router: Router,
    handshakes: Arc<Handshakes>,
    lines: Arc<Sampler>,
    shutdown: CancellationToken,
    config: Arc<AdminConfig>,
    address: SocketAddr,
}

impl Knock {
    /// `place` is this connection's, of the port and of its address; it is given back at the end.
    async fn answer(self, tcp: TcpStream, place: (OwnedSemaphorePermit, Part)) {
        match self.handshake(tcp).await {
            Ok(tls) => self.serve(tls).await,
            Err(error) => {
                if let Sample::Write { suppressed } = self.lines.take("handshake-failed") {
                    tracing::info!(code = "handshake-failed", suppressed, peer = %self.address, reason = %error, "no TLS connection on the admin port");
                }
            }
        }
        drop(place);
    }

    async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let place = self.handshakes.enter();
        let shake = async {
            tcp.set_nodelay(true)?;
            tokio::select! {
                done = self.acceptor.accept(tcp) => done,
                () = place.evicted() => Err(io::Error::other("given up for a younger handshake")),
            }
        };
        timeout(HANDSHAKE_TIME, shake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn serve(&self, tls: TlsStream<TcpStream>) {
        let (_, session) = tls.get_ref();
        let two = session.alpn_protocol() == Some(tls::H2);
        let certificate =
            session.peer_certificates().and_then(<[_]>::first).map(|der| der.clone().into_owned());
        let peer = Peer { address: self.address, certificate, closing: self.shutdown.clone() };
        let AdminConfig { idle, stalled, deadline, .. } = *self.config;
        let activity = Activity::new(idle, idle + deadline);
        let service =
            service_fn(|request| answer(self.router.clone(), peer.clone(), activity.clone(), request));
        let builder = builder(two);
        let io = TokioIo::new(Stalling::new(tls, stalled));
        let mut serving = Box::pin(builder.serve_connection(io, service));
        let mut closing = false;
        loop {
            tokio::select! {
                // Whatever ended it, the client knows: there is nothing to answer any more.
                _ = &mut serving => return,
                () = activity.idle_too_long() => return,
                () = self.shutdown.cancelled(), if !closing => {
                    closing = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// One request: what the handlers need goes in.
async fn answer(
    mut router: Router,
    peer: Peer,
    activity: Activity,
    mut request: Request<Incoming>,
) -> Result<Response<Counted<axum::body::Body>>, Infallible> {
    let under_way = activity.request();
    request.extensions_mut().insert(peer);
    let response = router.call(request).await?;
    // An answer is under way until its last piece was taken.
    Ok(response.map(|body| Counted::new(body, under_way)))
}

/// The connection is closed: whoever has so many has no need of one more.
fn refuse(lines: &Sampler, address: SocketAddr) {
    if let Sample::Write { suppressed } = lines.take("too-many-connections") {
        tracing::warn!(code = "too-many-connections", suppressed, peer = %address, "the address has half of the admin port's connections");
    }
}

/// What ALPN agreed on: no guessing from the first bytes.
fn builder(two: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if two {
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(32)
            .max_header_list_size(MAX_HEAD as u32)
            .max_send_buf_size(256 * 1024)
            .keep_alive_interval(Some(HEAD_TIME))
            .keep_alive_timeout(HEAD_TIME);
        builder.http2_only()
    } else {
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_headers(64)
            .max_buf_size(MAX_HEAD);
        builder.http1_only()
    }
}

/// A handshake takes a round trip and a few milliseconds.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// From the first byte of a request's head to its last; HTTP/2 connections are
/// asked for a sign of life as often.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// A bearer token (12 KiB), and some kilobytes of other headers.
const MAX_HEAD: usize = 32 * 1024;

/// How long requests under way may take once the port closes.
const GOODBYE: Duration = Duration::from_secs(5);

const LINES_PER_SECOND: u32 = 20;
