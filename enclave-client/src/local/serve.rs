use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    answer::{self, With},
    caller::{Caller, refuse},
};
use crate::{
    egress::Egress,
    transport::{Setbacks, set_local},
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
        let v4 = listen((Ipv4Addr::LOCALHOST, port).into()).await?;
        let address = v4.local_addr()?;
        let mut listeners = vec![v4];
        match listen((Ipv6Addr::LOCALHOST, address.port()).into()).await {
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

async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    set_local(&listener)?;
    Ok(listener)
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
        let mut setbacks = Setbacks::default();
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    setbacks.over();
                    self.admit(stream, &stop);
                }
                Err(why) => {
                    stop.run_until_cancelled(setbacks.wait("local proxy", &why)).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, stop: &CancellationToken) {
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            return self.turn_away(stream);
        };
        let head_deadline = self.limits.head_deadline;
        let caller = Caller { egress: self.egress.clone(), head_deadline, _permit: permit };
        let stop = stop.clone();
        // A future that is handed to a function stands twice in that one's: so no run_until_cancelled.
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = caller.serve(stream) => {}
            }
        });
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
            refuse(stream, None, None, &problem, With::Content).await;
            drop(permit);
        });
    }
}

/// Connections over the limit that are told so at a time.
const FAREWELLS: usize = 64;
