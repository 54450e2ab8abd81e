use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd,
    path::Path,
    sync::Arc,
    time::Duration,
};

use countersign_protocol::{Epoch, SessionId};
use countersign_proxy::{
    ca::make_session_root,
    config::Hints,
    store::{
        Actor, AuditWriter, Change, ChangeRequest, Missing, PolicyStore, ReplicaRow, ReplicaStore, SqlStore,
        StoreConfig, UnixMs,
    },
};
use countersign_simulator::SimulatedRoot;
use countersign_test_support::{Durability, PostgresServer};
use rustix::io::{FdFlags, fcntl_setfd};
use time::OffsetDateTime;
use tokio::{
    process::{Child, Command},
    task::block_in_place,
    time::{sleep, timeout},
};

use crate::{Identity, PATIENCE, Proxy, SERVER_NAME, Scratch, Setup, installation::Installation, now_ms};

/// Real proxies, each a process of its own, on one PostgreSQL server that can be stopped.
///
/// Enclaves cannot tell them apart: one certificate, one session root, one deployment.
pub struct Replicas {
    /// The proxies.
    pub proxies: Vec<Proxy>,
    server: PostgresServer,
    url: String,
    scratch: Scratch,
}

impl Replicas {
    /// Starts `count` of this program; `None` where PostgreSQL may be missing and is.
    pub async fn start(setup: &Setup, count: usize, program: &'static str) -> Option<Self> {
        let server = block_in_place(|| PostgresServer::start(Durability::Test))?;
        let url = block_in_place(|| server.database());
        let scratch = Scratch::new("replicas");
        let session_root = scratch.path().join("session-root.pem");
        make_session_root(&session_root, OffsetDateTime::now_utc()).unwrap();
        let root = SimulatedRoot::generate(now_ms()).unwrap();
        let identity = Arc::new(Identity::server(SERVER_NAME));
        let mut proxies = Vec::new();
        for number in 0..count {
            let mut setup = setup.clone();
            write!(
                setup.tables,
                "\n[store]\nurl = {url:?}\n[session_ca]\nfile = {session_root:?}\n[replica]\nname = \"replica-{number}\"\n"
            )
            .unwrap();
            let installation = Installation::sharing(&setup, root.clone(), Arc::clone(&identity));
            proxies.push(Proxy::installed(installation, program).await);
        }
        Some(Self { proxies, server, url, scratch })
    }

    /// HAProxy before all of them.
    pub fn balancer(&self) -> Balancer {
        Balancer::start(&self.proxies, self.scratch.path())
    }

    /// Commits a change in the database, past every proxy; its epoch.
    pub async fn commit(&self, change: Change) -> Epoch {
        let actor = Actor { subject: "local:test".into(), request_id: "test".into() };
        let request = ChangeRequest::at_once(change, actor, UnixMs::now());
        self.store().await.change(request).await.unwrap().committed.epoch
    }

    /// Revokes a measurement of the workload `payments`.
    pub async fn revoke(&self, measurement: &str) -> Epoch {
        let workload = "payments".parse().unwrap();
        let reason = Some("a test".to_owned());
        self.commit(Change::RevokeMeasurement { workload, name: measurement.to_owned(), reason }).await
    }

    /// Ends a session on every replica.
    pub async fn end(&self, session: SessionId) -> Epoch {
        self.commit(Change::EndSession { session, reason: Some("a test".to_owned()) }).await
    }

    /// Returns when every proxy has said that it enforces this epoch.
    pub async fn enforced(&self, epoch: Epoch) {
        let store = self.store().await;
        let enforced = async {
            while self.rows(&store).await.iter().any(|row| row.epoch < epoch) {
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(PATIENCE, enforced).await.expect("an acknowledgement of each replica in time");
    }

    /// What the proxies said last of themselves.
    pub async fn said(&self) -> Vec<ReplicaRow> {
        self.rows(&self.store().await).await
    }

    /// Stops the database as a power failure would.
    pub fn stop_database(&self) {
        block_in_place(|| self.server.kill());
    }

    /// Starts it again.
    pub fn resume_database(&self) {
        block_in_place(|| self.server.resume());
    }

    async fn rows(&self, store: &SqlStore) -> Vec<ReplicaRow> {
        store.replicas(UnixMs::now()).await.unwrap()
    }

    /// The database itself, past every proxy.
    pub async fn store(&self) -> SqlStore {
        let config = StoreConfig::Postgres { url: self.url.clone(), hints: Hints::Off };
        SqlStore::open(&config, AuditWriter::unnamed(), Missing::Fail).await.unwrap()
    }
}

/// HAProxy in TCP mode before the two ports of several proxies. It ends with the value.
#[derive(Debug)]
pub struct Balancer {
    /// Where enclaves attest.
    pub attestation: SocketAddr,
    /// Where they open tunnels.
    pub gateway: SocketAddr,
    _process: Child,
}

impl Balancer {
    fn start(proxies: &[Proxy], directory: &Path) -> Self {
        let mut text = "global\n  maxconn 500\ndefaults\n  mode tcp\n  balance roundrobin\n  retries 3\n  \
                        option redispatch 1\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n"
            .to_owned();
        let ports: [fn(&Proxy) -> SocketAddr; 2] = [|proxy| proxy.attestation, |proxy| proxy.gateway];
        // It is given sockets that listen already: no port is guessed, and nobody waits for it.
        let listeners = ports.map(|port| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            fcntl_setfd(&listener, FdFlags::empty()).unwrap();
            let fd = listener.as_raw_fd();
            write!(text, "listen port{fd}\n  bind fd@{fd}\n").unwrap();
            for (number, proxy) in proxies.iter().enumerate() {
                writeln!(text, "  server replica{number} {} check inter 100ms fall 1 rise 1", port(proxy))
                    .unwrap();
            }
            listener
        });
        let file = directory.join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let program = if Path::new("/usr/sbin/haproxy").exists() { "/usr/sbin/haproxy" } else { "haproxy" };
        let process = Command::new(program).args(["-db", "-f"]).arg(&file).kill_on_drop(true).spawn();
        let process = process.expect("HAProxy, which `make setup-test` installs");
        let [attestation, gateway] = listeners.map(|listener| listener.local_addr().unwrap());
        Self { attestation, gateway, _process: process }
    }
}

/// Between two looks at something that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
