use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, http::HeaderValue, response::Response};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::{
    admission::Admitter,
    connection::Connection,
    http1_io::Http1Io,
    router::{RequestId, router},
    stream::SharedTls,
    tls,
};
use crate::{
    accept::back_off,
    config::ServerIdentity,
    credentials::Desk,
    handshakes::Handshakes,
    log::{Sample, Sampler},
    proxy_protocol::LoadBalancers,
    refusal,
};

/// The attestation port, ready to listen.
pub struct AttestationPort {
    acceptor: TlsAcceptor,
    router: Router,
    limits: PortLimits,
}

/// How much the port takes on at once.
#[derive(Clone, Debug)]
pub struct PortLimits {
    /// Open connections; more wait in the kernel's queue.
    pub connections: u32,
    /// Handshakes under way; one more throws out the oldest.
    pub handshakes: u32,
    /// Whose headers of the PROXY protocol are believed, and demanded.
    pub load_balancers: LoadBalancers,
}

impl AttestationPort {
    /// A port that shows this identity, asks this admitter, and has credentials from this desk, where there is one.
    ///
    /// # Errors
    /// What rustls says of the identity.
    pub fn new(
        identity: &ServerIdentity,
        admitter: Admitter,
        desk: Option<Desk>,
        limits: PortLimits,
    ) -> Result<Self, rustls::Error> {
        let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(identity)?));
        Ok(Self { acceptor, router: router(Arc::new(admitter), desk), limits })
    }

    /// Serves until told to stop; then lets the requests under way finish.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let Self { acceptor, router, limits } = self;
        let connections = Arc::new(Semaphore::new(limits.connections as usize));
        let handshakes = Handshakes::new(limits.handshakes as usize);
        let load_balancers = Arc::new(limits.load_balancers);
        let lines = Arc::new(Sampler::new(LINES_PER_SECOND));
        let tasks = TaskTracker::new();
        let accept = async {
            loop {
                let Ok(place) = Arc::clone(&connections).acquire_owned().await else { break };
                match listener.accept().await {
                    Ok((tcp, peer)) => {
                        let knock = Knock {
                            acceptor: acceptor.clone(),
                            router: router.clone(),
                            handshakes: Arc::clone(&handshakes),
                            load_balancers: Arc::clone(&load_balancers),
                            lines: Arc::clone(&lines),
                            shutdown: shutdown.clone(),
                            peer,
                        };
                        tasks.spawn(knock.answer(tcp, place));
                    }
                    Err(error) => back_off(&error, "attestation").await,
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
    load_balancers: Arc<LoadBalancers>,
    lines: Arc<Sampler>,
    shutdown: CancellationToken,
    peer: SocketAddr,
}

impl Knock {
    /// `place` is this connection's share of the port; it is given back at the end.
    async fn answer(mut self, tcp: TcpStream, place: OwnedSemaphorePermit) {
        match self.handshake(tcp).await {
            Ok(connection) => self.serve(connection).await,
            Err((code, error)) => {
                if let Sample::Write { suppressed } = self.lines.take(code) {
                    tracing::info!(code, suppressed, peer = %self.peer, reason = %error, "no TLS connection");
                }
            }
        }
        drop(place);
    }

    async fn handshake(&mut self, mut tcp: TcpStream) -> Result<(Connection, Http), NoConnection> {
        let Self { acceptor, load_balancers, peer, .. } = self;
        let place = self.handshakes.enter();
        let shake = async {
            tcp.set_nodelay(true).map_err(failed)?;
            let named = load_balancers.client(&mut tcp, *peer).await;
            *peer = named.map_err(|error| (error.code(), io::Error::other(error.to_string())))?;
            acceptor.accept(tcp).await.map_err(failed)
        };
        let tls = tokio::select! {
            done = timeout(HANDSHAKE_TIME, shake) => done.map_err(|_| failed(io::ErrorKind::TimedOut.into()))??,
            () = place.evicted() => return Err(failed(io::Error::other("given up for a younger handshake"))),
        };
        let (_, session) = tls.get_ref();
        let http = if session.alpn_protocol() == Some(tls::H2) { Http::Two } else { Http::One };
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        // The TLS verifier took no certificate without such a key.
        let key = certificate.and_then(|certificate| tls::client_key(certificate).ok());
        Ok((Connection::new(self.peer, key, SharedTls::new(tls)), http))
    }

    async fn serve(&self, (connection, http): (Connection, Http)) {
        let tls = connection.tls.clone();
        match http {
            Http::One => self.drive(http, Http1Io::new(tls, Arc::clone(&self.lines)), connection).await,
            Http::Two => self.drive(http, tls, connection).await,
        }
    }

    async fn drive(
        &self,
        http: Http,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connection: Connection,
    ) {
        let connection = Arc::new(connection);
        let service = service_fn(|request| answer(self.router.clone(), Arc::clone(&connection), request));
        let builder = http.builder();
        let mut serving = Box::pin(builder.serve_connection(TokioIo::new(io), service));
        let mut closing = false;
        loop {
            let closes_at = connection.closes_at();
            tokio::select! {
                // Whatever ended it, the client knows: there is nothing to answer any more.
                _ = &mut serving => return,
                () = sleep_until(closes_at) => {
                    if connection.closes_at() <= closes_at {
                        return;
                    }
                }
                () = self.shutdown.cancelled(), if !closing => {
                    closing = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Why there is no connection: the stable word in the log, and the reason.
type NoConnection = (&'static str, io::Error);

fn failed(error: io::Error) -> NoConnection {
    ("handshake-failed", error)
}

/// One request: what the handlers need goes in, the request id goes out.
async fn answer(
    mut router: Router,
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    connection.active();
    let id = refusal::request_id();
    let header = HeaderValue::from_str(&id);
    request.extensions_mut().insert(Arc::clone(&connection));
    request.extensions_mut().insert(RequestId(id));
    let mut response = router.call(request).await?;
    if let Ok(header) = header {
        response.headers_mut().insert(refusal::REQUEST_ID, header);
    }
    connection.active();
    Ok(response)
}

/// What ALPN agreed on: no guessing from the first bytes.
#[derive(Clone, Copy)]
enum Http {
    One,
    Two,
}

impl Http {
    fn builder(self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        match self {
            Self::One => {
                // Heads have no deadline of their own: the connection's covers them.
                builder.http1().header_read_timeout(None).max_headers(32).max_buf_size(32 * 1024);
                builder.http1_only()
            }
            Self::Two => {
                builder
                    .http2()
                    .max_concurrent_streams(16)
                    .max_header_list_size(8 * 1024)
                    .max_send_buf_size(32 * 1024);
                builder.http2_only()
            }
        }
    }
}

/// A handshake takes a round trip and a few milliseconds.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// How long requests under way may take once the port closes.
const GOODBYE: Duration = Duration::from_secs(5);

const LINES_PER_SECOND: u32 = 20;
