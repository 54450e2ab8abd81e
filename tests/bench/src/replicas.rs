//! One revocation on three replicas: from the start of the transaction to the last tunnel cut, as the clients see it, and
//! to the acknowledgement of all three, which says that the sockets to the destinations are gone too.
//!
//! All three run on both cores, wherever there is room beside the clients, the far ends and PostgreSQL, which share
//! core 1: what is asked for is a time, of three machines, and not what one core can do.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use countersign_protocol::{Epoch, Lease};
use countersign_proxy::{
    config::Hints,
    store::{
        Actor, AuditWriter, Change, ChangeRequest, Missing, PolicyStore, ReplicaStore, SqlStore, StoreConfig,
        UnixMs,
    },
};
use countersign_test_support::{Durability, PostgresServer};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::failure::{Context, Failure};
use crate::far::FarEnd;
use crate::fleet::{Session, Standing, StreamTunnel};
use crate::proxy::{Plan, Proxy, WORKLOAD, fresh};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::{Latencies, median};
use crate::tls::PATIENCE;

/// Runs the part.
///
/// # Errors
/// Tunnels that stay open, a database or a proxy that does not start.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    for (hints, suffix) in [("listen", ""), ("off", "-no-notify")] {
        let Some(mut installation) = Installation::start(settings, hints).await? else { return Ok(()) };
        let mut cuts = Latencies::default();
        let (mut lasts, mut commits) = (Vec::new(), Vec::new());
        let (mut acknowledged, mut costs) = (Vec::new(), Vec::new());
        let rounds = settings.pick(ROUNDS, 2);
        for round in 0..rounds {
            let Round { mut all, commit, acknowledgement, cpu } = installation.round(settings, round).await?;
            let last = all.percentile(100.0) / 1e3;
            let acknowledgement = acknowledgement.as_secs_f64() * 1e3;
            println!(
                "hints {hints}, round {} of {rounds}: last cut after {last:.0} ms, acknowledged after {acknowledgement:.0} ms",
                round + 1
            );
            lasts.push(last);
            commits.push(commit.as_secs_f64() * 1e3);
            acknowledged.push(acknowledgement);
            costs.push(cpu.as_secs_f64() * 1e6 / all.len() as f64);
            cuts.append(all);
        }
        let name = |what: &str| format!("revocation-3-replicas-{what}{suffix}");
        let unit = format!("ms, from the start of the transaction, {} cuts in {rounds} rounds", cuts.len());
        report.judge(&name("p99-ms"), cuts.percentile(99.0) / 1e3, &*unit, Goal::AtMost(500.0));
        report.judge(&name("max-ms"), cuts.percentile(100.0) / 1e3, &*unit, Goal::AtMost(1000.0));
        report.add(&name("last-median-ms"), median(lasts), "ms, last cut of a round");
        let slowest = acknowledged.iter().copied().fold(0.0, f64::max);
        report.judge(&name("acknowledged-max-ms"), slowest, "ms, slowest round", Goal::AtMost(1000.0));
        report.add(&name("acknowledged-median-ms"), median(acknowledged), "ms, all replicas, median");
        report.add(
            &name("cut-cpu-us"),
            median(costs),
            "µs of the replicas' CPU for a tunnel, its line in the log included",
        );
        report.add(&name("commit-ms"), median(commits), "ms, the transaction, median");
    }
    Ok(())
}

/// Three proxies with one database, a far end each.
struct Installation {
    proxies: Vec<(Proxy, FarEnd)>,
    store: SqlStore,
    // Last: proxies that stop write to it.
    _server: PostgresServer,
}

/// How long after the start of the transaction each tunnel was cut, the transaction was over, and every replica had said
/// that nothing moves any more.
struct Round {
    all: Latencies,
    commit: Duration,
    acknowledgement: Duration,
    /// Of all replicas.
    cpu: Duration,
}

impl Installation {
    async fn start(settings: &Settings, hints: &str) -> Result<Option<Self>, Failure> {
        let Some(server) = PostgresServer::start(Durability::Disk) else { return Ok(None) };
        let url = server.database();
        let session_root = fresh(settings, "replicas")?.join("session-root.pem");
        make_session_root(&settings.proxy, &session_root)?;
        let plan = Plan::new((0..ROUNDS).map(image).collect())?.with(&format!(
            "[store]\nurl = {url:?}\nhints = {hints:?}\n[session_ca]\nfile = {session_root:?}\n"
        ));
        let far_ends = (0..REPLICAS).map(|_| FarEnd::start()).collect::<Result<Vec<_>, _>>()?;
        // One list for all: the policy is theirs together.
        let destinations: Vec<_> = far_ends.iter().map(|far| far.address).collect();
        let mut proxies = Vec::new();
        for (number, far) in far_ends.into_iter().enumerate() {
            let name = format!("replica-{number}");
            let own = format!("[replica]\nname = {name:?}\n");
            let proxy = Proxy::planned(settings, &name, &destinations, &plan, &own).await?;
            proxy.server.use_both_cores()?;
            proxies.push((proxy, far));
        }
        let config = StoreConfig::Postgres { url, hints: Hints::Off };
        let store = SqlStore::open(&config, AuditWriter::unnamed(), Missing::Fail).await.context("store")?;
        Ok(Some(Self { proxies, store, _server: server }))
    }

    /// Opens all tunnels, revokes their measurement, and times each cut.
    async fn round(&mut self, settings: &Settings, round: usize) -> Result<Round, Failure> {
        let (sessions, each) = (settings.pick(SESSIONS, 4), settings.pick(TUNNELS_EACH, 50));
        let mut cuts = JoinSet::new();
        for (proxy, far) in &mut self.proxies {
            proxy.image(&image(round));
            for _ in 0..sessions {
                let session = Session::open(proxy, Lease::MAX).await?;
                let standing = Standing::connect(proxy, &session, far.address).await?;
                for _ in 0..each {
                    cuts.spawn(cut(standing.open().await?));
                }
            }
        }
        let tunnels = cuts.len();
        // Every task has run up to its wait: the cut finds all of them waiting.
        tokio::time::sleep(SETTLE).await;
        if let Some(ended) = cuts.try_join_next() {
            return Err(Failure::new(format!("a tunnel ended before anything was revoked: {ended:?}")));
        }
        println!("{tunnels} tunnels stand on {REPLICAS} replicas");

        let before = self.cpu()?;
        let start = Instant::now();
        let epoch = self.revoke(&image(round)).await?;
        let commit = start.elapsed();
        let mut all = Latencies::default();
        while let Some(time) = timeout(PATIENCE, cuts.join_next()).await.context("tunnels stay open")? {
            all.push(time.context("task")?.saturating_duration_since(start));
        }
        timeout(PATIENCE, self.acknowledged(epoch)).await.context("a replica does not acknowledge")??;
        let acknowledgement = start.elapsed();
        // The lines of the log come behind the cuts.
        tokio::time::sleep(SETTLE).await;
        let cpu = self.cpu()?.saturating_sub(before);
        Ok(Round { all, commit, acknowledgement, cpu })
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        self.proxies.iter().map(|(proxy, _)| proxy.server.cpu()).sum()
    }

    async fn acknowledged(&self, epoch: Epoch) -> Result<(), Failure> {
        loop {
            let replicas = self.store.replicas(UnixMs::now()).await.context("replicas")?;
            if replicas.len() == REPLICAS && replicas.iter().all(|replica| replica.epoch >= epoch) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn revoke(&self, image: &str) -> Result<Epoch, Failure> {
        let workload = WORKLOAD.parse().context("name")?;
        let change = Change::RevokeMeasurement { workload, name: image.to_owned(), reason: None };
        let actor = Actor { subject: "local:bench".to_owned(), request_id: "bench".to_owned() };
        let request = ChangeRequest::at_once(change, actor, UnixMs::now());
        let changed = self.store.change(request).await.context("revocation")?;
        Ok(changed.committed.epoch)
    }
}

async fn cut(mut tunnel: StreamTunnel) -> Instant {
    tunnel.ended().await;
    Instant::now()
}

fn make_session_root(program: &Path, file: &Path) -> Result<(), Failure> {
    let mut command = Command::new(program);
    let status = command.args(["session-ca", "make", "--out"]).arg(file).stdout(Stdio::null()).status();
    let status = status.context("session-ca make")?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("session-ca make: {status}"))) }
}

/// Each round has a measurement of its own: a revoked one stays revoked.
fn image(round: usize) -> String {
    format!("release-{}", round + 1)
}

const REPLICAS: usize = 3;
const ROUNDS: usize = 5;
/// On each replica, each with a connection to itself.
const SESSIONS: usize = 100;
const TUNNELS_EACH: usize = 100;
const SETTLE: Duration = Duration::from_millis(500);
