use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use countersign_protocol::{Destination, Problem};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    answer,
    head::{self, HeadError, MAX_HEAD},
};
use crate::{
    egress::{Connection as Way, Egress},
    relay::{Early, End, Report, relay},
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
        Self { connections: 1024, head_deadline: Duration::from_secs(10) }
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
            refuse(stream, None, &problem).await;
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
        let mut buffer = BytesMut::with_capacity(1024);
        let head = timeout(self.limits.head_deadline, read_head(&mut stream, &mut buffer)).await;
        let destination = match head {
            Ok(Ok(Some(destination))) => destination,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return refuse(stream, None, &answer::bad_head(&error)).await,
            Err(_) => return refuse(stream, None, &answer::slow_head()).await,
        };
        let way = match self.egress.open(&destination).await {
            Ok(way) => way,
            Err(error) => return refuse(stream, Some(&destination), &answer::not_opened(&error)).await,
        };
        debug!(%destination, code = "tunnel-opened", "tunnel {way:?}");
        if stream.write_all(answer::ESTABLISHED).await.is_err() {
            return;
        }
        let near = Stream::Tcp(stream);
        let early = Early { up: buffer.freeze(), ..Early::default() };
        let cut = way.cut().cloned();
        let report = match way {
            Way::Tunnel(far) => relay(near, far, early, cut.as_ref()).await,
            Way::Plain(far) => relay(near, far, early, cut.as_ref()).await,
        };
        log_end(&destination, &report);
    }
}

fn log_end(destination: &Destination, report: &Report) {
    let Report { end, up, down } = report;
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

/// The destination, with the head taken off the buffer; `None` when the other
/// end left before it had said anything whole.
async fn read_head(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<Option<Destination>, HeadError> {
    loop {
        if let Some(connect) = head::parse(buffer)? {
            let _head = buffer.split_to(connect.head_len);
            return Ok(Some(connect.destination));
        }
        let room = MAX_HEAD.saturating_sub(buffer.len()) as u64;
        match (&mut *stream).take(room).read_buf(buffer).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    }
}

/// Answers, and waits a moment for the other end to read: closing on unread
/// bytes would reset the connection and take the answer with it.
async fn refuse(mut stream: TcpStream, destination: Option<&Destination>, problem: &Problem) {
    log_refusal(destination, problem);
    let farewell = async {
        stream.write_all(&answer::encode(problem)).await?;
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

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections over the limit that are told so at a time.
const FAREWELLS: usize = 64;

/// For the other end to read a refusal.
const FAREWELL: Duration = Duration::from_secs(2);

/// Bytes of it that are read meanwhile.
const MAX_UNREAD: u64 = 64 * 1024;
