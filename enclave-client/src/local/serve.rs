use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use countersign_protocol::{Destination, Problem};
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
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
    transport::Stream,
};

/// Listeners on loopback, and only there.
pub struct LocalProxy {
    listeners: Vec<TcpListener>,
    address: SocketAddr,
    limits: LocalProxyLimits,
}

/// The bounds of a local proxy.
#[derive(Clone, Copy, Debug)]
pub struct LocalProxyLimits {
    /// Connections at a time; the next one is answered 503 and closed.
    pub connections: usize,
    /// For a request's head to come whole.
    pub head_deadline: Duration,
}

impl Default for LocalProxyLimits {
    fn default() -> Self {
        Self { connections: 16_384, head_deadline: Duration::from_secs(10) }
    }
}

impl LocalProxy {
    /// Listens on `127.0.0.1:port`, and on `[::1]` at the same port if the system
    /// has IPv6. Port 0: any free one.
    ///
    /// # Errors
    /// When `127.0.0.1:port` cannot be listened on.
    pub async fn bind(port: u16, limits: LocalProxyLimits) -> io::Result<Self> {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = v4.local_addr()?;
        let mut listeners = vec![v4];
        match TcpListener::bind((Ipv6Addr::LOCALHOST, address.port())).await {
            Ok(v6) => listeners.push(v6),
            Err(why) => debug!("no listener on [::1]:{}: {why}", address.port()),
        }
        Ok(Self { listeners, address, limits })
    }

    /// The IPv4 address, with the port that was found.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`.
    pub async fn serve(self, egress: Arc<Egress>, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.limits.connections));
        let farewells = Arc::new(Semaphore::new(FAREWELLS));
        let serving: Vec<_> = self
            .listeners
            .into_iter()
            .map(|listener| {
                let doorman = Doorman {
                    listener,
                    egress: egress.clone(),
                    room: room.clone(),
                    farewells: farewells.clone(),
                    limits: self.limits,
                };
                tokio::spawn(doorman.accept_until(stop.clone()))
            })
            .collect();
        for one in serving {
            // A listener's task has no way to fail; a join error means the runtime stops.
            let _ = one.await;
        }
    }
}

struct Doorman {
    listener: TcpListener,
    egress: Arc<Egress>,
    room: Arc<Semaphore>,
    farewells: Arc<Semaphore>,
    limits: LocalProxyLimits,
}

impl Doorman {
    async fn accept_until(self, stop: CancellationToken) {
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) => self.admit(stream, &stop),
                Err(why) => {
                    // Out of descriptors, most likely: they come back when connections end.
                    warn!("accept failed: {why}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, stop: &CancellationToken) {
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            return self.turn_away(stream);
        };
        let connection = Connection { egress: self.egress.clone(), limits: self.limits, _permit: permit };
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(connection.serve(stream)).await });
    }
}

impl Doorman {
    /// Tells a few at a time why; whoever comes while they are being told is dropped.
    fn turn_away(&self, stream: TcpStream) {
        let Ok(permit) = self.farewells.clone().try_acquire_owned() else {
            return;
        };
        let problem = answer::overloaded(self.limits.connections);
        tokio::spawn(async move {
            refuse(stream, None, &problem, With::Content).await;
            drop(permit);
        });
    }
}

struct Connection {
    egress: Arc<Egress>,
    limits: LocalProxyLimits,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut buffer = BytesMut::new();
        let mut kept = None;
        let mut patience = self.limits.head_deadline;
        loop {
            let head = timeout(patience, read_head(&mut stream, &mut buffer)).await;
            let request = match head {
                Ok(Ok(Some(request))) => request,
                Ok(Ok(None)) => return,
                Ok(Err(error)) => {
                    return refuse(stream, None, &answer::bad_head(&error), With::Content).await;
                }
                // Whoever was answered before and asks nothing more is not told off.
                Err(_) if buffer.is_empty() && patience == IDLE => return,
                Err(_) => return refuse(stream, None, &answer::slow_head(), With::Content).await,
            };
            let request = match request {
                Request::Connect(destination) => {
                    drop(kept);
                    return self.tunnel(stream, buffer, destination).await;
                }
                Request::Forward(request) => *request,
            };
            let destination = request.target.destination.clone();
            let with = if request.method == Method::HEAD { With::HeadOnly } else { With::Content };
            debug!(%destination, method = %request.method, code = "request", "request");
            let forwarder = Forwarder { egress: &self.egress };
            // Boxed: a tunnel, which may be idle for days, must not hold room for this.
            let next = Box::pin(forwarder.exchange(&mut stream, &mut buffer, request, &mut kept)).await;
            match next {
                Next::Again => {}
                Next::Close => return farewell(stream).await,
                Next::Refused(problem) => return refuse(stream, Some(&destination), &problem, with).await,
                Next::Abort => return Stream::Tcp(stream).abort(),
                Next::Upgraded(way, early) => {
                    let early = Early { up: buffer.freeze(), ..early };
                    return carry(stream, way, early, &destination).await;
                }
            }
            patience = IDLE;
        }
    }

    async fn tunnel(&self, mut stream: TcpStream, buffer: BytesMut, destination: Destination) {
        let opened = Box::pin(self.egress.open(&destination)).await;
        let way = match opened {
            Ok(way) => way,
            Err(error) => {
                let problem = answer::not_opened(&error);
                return refuse(stream, Some(&destination), &problem, With::Content).await;
            }
        };
        debug!(%destination, code = "tunnel-opened", "tunnel {way:?}");
        if stream.write_all(answer::ESTABLISHED).await.is_err() {
            return;
        }
        let early = Early { up: buffer.freeze(), ..Early::default() };
        carry(stream, way, early, &destination).await;
    }
}

async fn carry(stream: TcpStream, way: Way, early: Early, destination: &Destination) {
    let cut = way.cut().cloned();
    let Report { end, up, down } = relay(Stream::Tcp(stream), way, early, cut.as_ref()).await;
    match end {
        End::Finished => debug!(%destination, code = "tunnel-ended", up, down, "tunnel ended"),
        End::Near(_) | End::Far(_) => {
            info!(%destination, code = "tunnel-broke", up, down, "tunnel broke: {end}")
        }
        End::Cut => {
            warn!(%destination, code = "tunnel-cut", up, down, "tunnel cut: the session's lease lapsed")
        }
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
        // Nothing is held for a caller that says nothing.
        if stream.readable().await.is_err() {
            return Ok(None);
        }
        buffer.reserve(READ);
        match stream.try_read_buf(buffer) {
            Ok(0) => return Ok(None),
            Err(why) if why.kind() != io::ErrorKind::WouldBlock => return Ok(None),
            _ => {}
        }
    }
}

/// Answers, and waits a moment for the other end to read.
async fn refuse(mut stream: TcpStream, destination: Option<&Destination>, problem: &Problem, with: With) {
    log_refusal(destination, problem);
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

fn log_refusal(destination: Option<&Destination>, problem: &Problem) {
    let Problem { status, code, detail, request_id } = problem;
    let destination = destination.map(Destination::to_string).unwrap_or_default();
    warn!(%destination, status, %code, %request_id, "refused: {detail}");
}

/// How long a caller that was answered may think about its next request.
const IDLE: Duration = Duration::from_secs(90);

/// Bytes of a head read at once: most heads.
const READ: usize = 2 * 1024;

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections over the limit that are told so at a time.
const FAREWELLS: usize = 64;

/// For the other end to read a refusal.
const FAREWELL: Duration = Duration::from_secs(2);

/// Bytes of it that are read meanwhile.
const MAX_UNREAD: u64 = 64 * 1024;
