use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_protocol::Destination;
use countersign_telemetry::Span;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    attest::chain,
    egress::{Connection, Egress},
    relay::{Early, End, Report, Side, relay},
    telemetry,
    throttle::Throttle,
    transport::{Setbacks, Stream, set_local},
};

/// What all listeners share.
pub(super) struct House {
    egress: Arc<Egress>,
    room: Arc<Semaphore>,
    throttle: Throttle,
    /// Ends the connections too.
    stop: CancellationToken,
}

/// Stands at one address and port, and knows which destination is meant.
pub(super) struct Doorman {
    listener: TcpListener,
    destination: Destination,
    visits: Visits,
    house: Arc<House>,
}

/// Connections that are open to one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Visits(Arc<AtomicUsize>);

impl House {
    pub(super) fn new(egress: Arc<Egress>, connections: usize, stop: CancellationToken) -> Self {
        Self { egress, room: Arc::new(Semaphore::new(connections)), throttle: Throttle::default(), stop }
    }

    pub(super) fn egress(&self) -> &Egress {
        &self.egress
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Doorman {
    /// Listens at an address of a local route. The port is the destination's.
    pub(super) fn new(
        address: IpAddr,
        destination: Destination,
        visits: Visits,
        house: Arc<House>,
    ) -> io::Result<Self> {
        let listener = listen(SocketAddr::new(address, destination.port()))?;
        Ok(Self { listener, destination, visits, house })
    }

    /// Lets connections in until `close`; those that are in stay.
    pub(super) async fn accept_until(self, close: CancellationToken) {
        let mut setbacks = Setbacks::default();
        while let Some(accepted) = close.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((application, _)) => {
                    setbacks.over();
                    self.admit(application);
                }
                Err(why) => {
                    close.run_until_cancelled(setbacks.wait(&self.destination, &why)).await;
                }
            }
        }
    }

    fn admit(&self, application: TcpStream) {
        let application = Stream::Tcp(application);
        let Some(permit) = self.house.room_for(&self.destination) else {
            return application.abort();
        };
        let visitor = Visitor {
            application,
            destination: self.destination.clone(),
            house: self.house.clone(),
            _visit: Visit::new(&self.visits),
            _permit: permit,
        };
        let stop = self.house.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(visitor.serve()).await });
    }
}

struct Visitor {
    application: Stream,
    destination: Destination,
    house: Arc<House>,
    _visit: Visit,
    _permit: OwnedSemaphorePermit,
}

impl Visitor {
    async fn serve(self) {
        let Self { application, destination, house, _visit, _permit } = self;
        match house.open(&destination).await {
            Some(opened) => house.carry(application, opened, &destination).await,
            None => application.abort(),
        }
    }
}

/// A way out that is open.
pub(super) struct Opened {
    connection: Connection,
    span: Span,
}

impl House {
    /// Opens the way out, at the beginning of a trace. `None`: the log says why not.
    pub(super) async fn open(&self, destination: &Destination) -> Option<Opened> {
        let mut span = self.egress.telemetry().connect_span(destination, None);
        let opening = self.egress.open_under(destination, &mut span);
        let (why, word) = match timeout(OPEN_DEADLINE, opening).await {
            Ok(Ok(connection)) => return Some(Opened { connection, span }),
            Ok(Err(why)) => (chain(&why), why.word()),
            Err(_) => ("not opened in time".to_owned(), "not-opened"),
        };
        self.warn(destination, "not-opened", &why);
        span.fail(word);
        None
    }

    /// Carries bytes both ways until both sides are done, or one broke, or the lease lapsed.
    pub(super) async fn carry<S: Side>(
        &self,
        application: S,
        Opened { connection, span }: Opened,
        destination: &Destination,
    ) {
        let cut = connection.cut().cloned();
        let report = relay(application, connection, Early::default(), cut.as_ref()).await;
        let Report { end, up, down } = &report;
        match end {
            End::Cut => self.warn(destination, "tunnel-cut", "cut: the session's lease lapsed"),
            other => debug!(%destination, up, down, "transparent connection ended: {other}"),
        }
        telemetry::end(span, &report);
    }

    /// Room for one more connection. `None`: the log says so.
    pub(super) fn room_for(&self, destination: &Destination) -> Option<OwnedSemaphorePermit> {
        let permit = self.room.clone().try_acquire_owned().ok();
        if permit.is_none() {
            self.warn(destination, "overloaded", "too many connections are open");
        }
        permit
    }

    /// A line of bounded rate: a program that connects in a loop must not fill the log.
    pub(super) fn warn(&self, destination: &Destination, code: &str, why: &str) {
        if let Some(held_back) = self.throttle.pass(Instant::now()) {
            warn!(%destination, code, held_back, "transparent connection: {why}");
        }
    }
}

impl Visits {
    /// Whether one is open.
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Counts itself while it lives.
pub(super) struct Visit(Visits);

impl Visit {
    pub(super) fn new(visits: &Visits) -> Self {
        visits.0.fetch_add(1, Ordering::Relaxed);
        Self(visits.clone())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A listener at an address that the machine has by route only: IPv4 takes it as it is,
/// IPv6 wants to be told (ip(7), `IP_FREEBIND`).
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port that was just left may be listened at again; never two listeners at one time.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    }
    set_local(&socket)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Over every part of opening, each of which has its own.
const OPEN_DEADLINE: Duration = Duration::from_secs(60);

const BACKLOG: i32 = 1024;
