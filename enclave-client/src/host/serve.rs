use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    HostError, HostOptions, Rules,
    door::{Door, Place},
    egress::EgressDesk,
    entrance::Entrance,
    health::HealthDesk,
    ingress,
    limit::{LimitWatch, OuterLimit},
    logs,
    names::{Names, Resolver},
    refusals::Refusals,
};
use crate::{
    telemetry::Telemetry,
    transport::{Address, Listen, Listener, Stream},
};

/// Everything listens; nothing is answered yet.
pub struct Host {
    options: HostOptions,
    resolver: Arc<dyn Resolver>,
    limit: watch::Receiver<Arc<OuterLimit>>,
    watch: Option<LimitWatch>,
    egress: Listener,
    logs: Option<Listener>,
    ingress: Vec<(Listener, Address)>,
    health: Option<Listener>,
    telemetry: Telemetry,
}

impl Host {
    /// Reads the rule sets and starts to listen. Whoever connects from now on is
    /// answered when [`Self::run`] is called.
    ///
    /// # Errors
    /// [`HostError`]: rule sets with mistakes, or something cannot be listened on.
    pub async fn bind(options: HostOptions, resolver: Arc<dyn Resolver>) -> Result<Self, HostError> {
        let (watch, limit) = match &options.rules {
            Rules::Sets(paths) => {
                let (watch, limit) = LimitWatch::start(paths.clone()).map_err(HostError::Rules)?;
                (Some(watch), limit)
            }
            // The sender may go: an unlimited host half stays unlimited.
            Rules::Unlimited => (None, watch::channel(Arc::new(OuterLimit::Unlimited)).1),
        };
        let egress = listen(&options.egress).await?;
        let logs = match &options.logs {
            Some(logs) => Some(listen(logs).await?),
            None => None,
        };
        let mut ingress = Vec::new();
        for route in &options.ingress {
            let target = route.target(options.cid).ok_or_else(|| HostError::NoCid(route.clone()))?;
            let listener =
                route.bind().await.map_err(|why| HostError::Listen(format!("ingress {route}"), why))?;
            ingress.push((listener, target));
        }
        let health = match options.health {
            Some(address) => Some(listen(&Listen::Tcp(address)).await?),
            None => None,
        };
        let telemetry = Telemetry::default();
        Ok(Self { options, resolver, limit, watch, egress, logs, ingress, health, telemetry })
    }

    /// The same, telling what it does.
    #[must_use]
    pub fn with_telemetry(self, telemetry: Telemetry) -> Self {
        Self { telemetry, ..self }
    }

    /// Carries until `stop`, then gives what is open the time to drain, then cuts
    /// it. `reload` reads the rule sets at once. Log lines go to `out`.
    pub async fn run(
        self,
        out: impl tokio::io::AsyncWrite + Unpin + Send + 'static,
        reload: watch::Receiver<()>,
        stop: CancellationToken,
    ) {
        let Self { options, resolver, limit, watch, egress, logs, ingress, health, telemetry } = self;
        announce(&options, &limit);
        let most = options.connections;
        let (egress_room, ingress_room) = (Arc::new(Semaphore::new(most)), Arc::new(Semaphore::new(most)));
        let tasks = TaskTracker::new();
        // Cancelled when the time to drain is over.
        let cut = CancellationToken::new();
        let door = |name: String, listener, room: &Arc<Semaphore>| Door {
            name,
            listener,
            room: room.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let mut doors = Doors(Vec::new());
        if let Some(watch) = watch {
            doors.start(watch.run(reload, stop.clone()));
        }

        let desk = EgressDesk {
            names: Names::new(resolver),
            limit: limit.clone(),
            refusals: Refusals::default(),
            stop: stop.clone(),
            cut: cut.clone(),
            telemetry,
        };
        let enclave = Caller { cid: options.cid };
        doors.start(serve_egress(
            door(format!("egress {}", options.egress), egress, &egress_room),
            desk,
            enclave,
            most,
        ));

        for (listener, target) in ingress {
            let door = door(format!("ingress to {target}"), listener, &ingress_room);
            doors.start(serve_ingress(door, target, cut.clone()));
        }
        // Log lines are taken as long as anything else goes on, and are nothing to wait for.
        let drained = CancellationToken::new();
        let written = logs.map(|listener| {
            let (queue, lines) = logs::queue();
            let mut door = door("logs".to_owned(), listener, &Arc::new(Semaphore::new(SMALL_ROOM)));
            door.tasks = TaskTracker::new();
            doors.start(serve_logs(door, queue, enclave, drained.clone()));
            tokio::spawn(logs::write(lines, out))
        });
        if let Some(listener) = health {
            let desk = HealthDesk {
                enclave: options.health_port(),
                limit: limit.clone(),
                egress: egress_room.clone(),
                ingress: ingress_room.clone(),
                most,
            };
            let door = door("health".to_owned(), listener, &Arc::new(Semaphore::new(SMALL_ROOM)));
            doors.start(serve_health(door, desk));
        }

        stop.cancelled().await;
        doors.closed().await;
        drain(tasks, &cut, options.drain).await;
        drained.cancel();
        if let Some(written) = written {
            // The last lines; a reader of standard output that reads no more is not waited for.
            let _ = timeout(LAST_LINES, written).await;
        }
    }
}

async fn listen(at: &Listen) -> Result<Listener, HostError> {
    at.bind().await.map_err(|why| HostError::Listen(at.to_string(), why))
}

fn announce(options: &HostOptions, limit: &watch::Receiver<Arc<OuterLimit>>) {
    let HostOptions { egress, cid, .. } = options;
    match limit.borrow().rules() {
        Some(0) => warn!(
            code = "egress-nothing-passes",
            "no EgressRuleSet is given, so nothing passes: name them with --egress-rules, or say --outer-limit none"
        ),
        Some(rules) => info!(rules, "egress rule sets are in force"),
        None => warn!(code = "egress-unlimited", "no outer limit: the enclave's own policy alone decides"),
    }
    info!(%egress, cid, ingress = options.ingress.len(), "host half serves");
}

/// The tasks that accept.
struct Doors(Vec<JoinHandle<()>>);

impl Doors {
    fn start(&mut self, door: impl Future<Output = ()> + Send + 'static) {
        self.0.push(tokio::spawn(door));
    }

    async fn closed(self) {
        for door in self.0 {
            // A door has no way to fail; a join error means that the runtime stops.
            let _ = door.await;
        }
    }
}

async fn drain(tasks: TaskTracker, cut: &CancellationToken, within: Duration) {
    tasks.close();
    if !tasks.is_empty() {
        info!(connections = tasks.len(), "waiting up to {} s for connections to end", within.as_secs());
    }
    if timeout(within, tasks.wait()).await.is_err() {
        warn!(code = "drain-over", connections = tasks.len(), "cutting what is still open");
        cut.cancel();
        let _ = timeout(CUT, tasks.wait()).await;
    }
}

/// Whom vsock connections are taken from. Any machine on this parent, and any
/// user of it, could connect otherwise.
#[derive(Clone, Copy)]
struct Caller {
    cid: Option<u32>,
}

impl Caller {
    fn is(self, stream: &Stream) -> bool {
        match (self.cid, stream) {
            (Some(expected), Stream::Vsock(_)) if stream.peer_cid() != Some(expected) => {
                let found = stream.peer_cid();
                warn!(code = "foreign-cid", expected, found, "a connection of another machine is dropped");
                false
            }
            _ => true,
        }
    }
}

async fn serve_egress(door: Door, desk: EgressDesk, caller: Caller, most: usize) {
    let desk = Arc::new(Entrance::new(desk, door.room.clone(), door.tasks.clone(), most));
    let serve = |stream: Stream, place: Place, _: &TaskTracker| {
        if caller.is(&stream) {
            desk.serve(stream, place);
        }
    };
    let turn_away = |stream: Stream, _: &TaskTracker| desk.turn_away(stream);
    door.open(serve, turn_away).await;
}

async fn serve_ingress(door: Door, target: Address, cut: CancellationToken) {
    let serve = |stream, place, tasks: &TaskTracker| {
        tasks.spawn(ingress::serve(stream, target.clone(), cut.clone(), place));
    };
    door.open(serve, |stream: Stream, _: &TaskTracker| crate::relay::Side::abort(&stream)).await;
}

async fn serve_logs(door: Door, queue: mpsc::Sender<String>, caller: Caller, end: CancellationToken) {
    let serve = |stream: Stream, place, tasks: &TaskTracker| {
        if caller.is(&stream) {
            tasks.spawn(logs::read(stream, queue.clone(), end.clone(), place));
        }
    };
    door.open(serve, |_, _: &TaskTracker| {}).await;
}

async fn serve_health(door: Door, desk: HealthDesk) {
    let desk = Arc::new(desk);
    let serve = |stream, place, tasks: &TaskTracker| {
        tasks.spawn(desk.clone().serve(stream, place));
    };
    door.open(serve, |_, _: &TaskTracker| {}).await;
}

/// Connections for logs, and for health, at a time.
const SMALL_ROOM: usize = 64;

/// For cut connections to end.
const CUT: Duration = Duration::from_secs(1);

/// For the writer of log lines.
const LAST_LINES: Duration = Duration::from_secs(1);
