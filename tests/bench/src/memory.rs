//! What the proxy holds for sessions and tunnels that do nothing: growth of its private anonymous memory
//! (`/proc/PID/smaps_rollup`), divided by their number. Kernel memory (socket buffers) is nobody's choice here and not in it.

use std::{slice, time::Duration};

use countersign_protocol::Lease;
use tokio::{task::JoinSet, time::sleep};

use crate::child::Server;
use crate::competitor::{Competitor, Kind};
use crate::failure::{Context, Failure};
use crate::fleet::{Session, Standing, handshake_only, own_connection};
use crate::proxy::Proxy;
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::upstream::{ECHO, Upstream};

/// Runs the part.
///
/// # Errors
/// A refusal, or no proxy.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let unit = |count: usize, before: usize| format!("bytes, over {count} after {before}");
    let tunnels = settings.pick(2_000, 50);

    let (bytes, before, count) = sessions(settings).await?;
    report.judge("idle-session-bytes", bytes, unit(count, before), Goal::AtMost(512.0));
    let (bytes, before, count) = streams(settings).await?;
    report.judge("idle-stream-bytes", bytes, unit(count, before), Goal::AtMost(3.0 * 1024.0));
    let bytes = own(settings, tunnels).await?;
    report.judge("idle-tunnel-bytes", bytes, unit(tunnels, WARM_UP), Goal::AtMost(12.0 * 1024.0));
    for (kind, name) in [(Kind::HaProxy, "haproxy-mtls"), (Kind::Nginx, "nginx-mtls")] {
        if let Some(bytes) = competitor(kind, settings, tunnels).await? {
            report.add(&format!("idle-tunnel-{name}-bytes"), bytes, unit(tunnels, WARM_UP));
        }
    }
    Ok(())
}

/// Sessions whose attestation connections are closed: what is left is the record.
async fn sessions(settings: &Settings) -> Result<(f64, usize, usize), Failure> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(settings, "memory-sessions", upstream.address).await?;
    // The store's caches are full afterwards: they are bounded, and no session's.
    let mut enclave = proxy.enclave().await?;
    for _ in 0..settings.pick(10_000, 40) {
        enclave.attest(Lease::MAX).await?;
    }
    // All that is held for sessions, their tables included: those double as they grow and are 61 % full with this many,
    // the middle between just doubled and about to double.
    let count = settings.pick(20_000, 30);
    println!("{count} sessions");
    let growth = Growth::begin(slice::from_ref(&proxy.server)).await?;
    open_sessions(&proxy, count).await?;
    Ok((growth.of(count).await?, 1, count))
}

async fn open_sessions(proxy: &Proxy, count: usize) -> Result<(), Failure> {
    for _ in 0..count {
        Session::open(proxy, Lease::MAX).await?;
    }
    Ok(())
}

/// Streams of standing connections.
async fn streams(settings: &Settings) -> Result<(f64, usize, usize), Failure> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(settings, "memory-streams", upstream.address).await?;
    let (connections, before, each) = settings.pick((20, 50, 450), (2, 10, 40));
    println!("{} streams on {connections} connections", connections * (before + each));
    let session = Session::open(&proxy, Lease::MAX).await?;
    let mut standing = Vec::new();
    let mut held = Vec::new();
    for _ in 0..connections {
        let connection = Standing::connect(&proxy, &session, upstream.address).await?;
        for _ in 0..before {
            held.push(connection.open().await?);
        }
        standing.push(connection);
    }
    let growth = Growth::begin(slice::from_ref(&proxy.server)).await?;
    for connection in &standing {
        for _ in 0..each {
            held.push(connection.open().await?);
        }
    }
    let bytes = growth.of(connections * each).await?;
    upstream.settle(held.len(), Duration::ZERO).await?;
    Ok((bytes, connections * before, connections * each))
}

/// Tunnels of ours with a connection each.
async fn own(settings: &Settings, count: usize) -> Result<f64, Failure> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(settings, "memory-tunnels", upstream.address).await?;
    println!("{count} tunnels with a connection each");
    let session = Session::open(&proxy, Lease::MAX).await?;
    let client = session.client(&proxy, b"http/1.1")?;
    let (gateway, to) = (proxy.gateway, upstream.address);
    held(slice::from_ref(&proxy.server), count, || {
        let client = client.clone();
        async move { own_connection(gateway, &client, to, ECHO).await }
    })
    .await
}

async fn competitor(kind: Kind, settings: &Settings, count: usize) -> Result<Option<f64>, Failure> {
    let upstream = Upstream::start().await?;
    let Some(Competitor { server, address, client }) =
        Competitor::start(kind, settings, upstream.address).await?
    else {
        return Ok(None);
    };
    let bytes = held(slice::from_ref(&server), count, || {
        let client = client.clone();
        async move { handshake_only(address, &client, ECHO).await }
    })
    .await?;
    Ok(Some(bytes))
}

/// Opens tunnels, keeps them, and says what each costs.
pub(crate) async fn held<T, F>(servers: &[Server], count: usize, open: impl Fn() -> F) -> Result<f64, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let mut held = Vec::with_capacity(WARM_UP + count);
    open_some(WARM_UP, &open, &mut held).await?;
    let growth = Growth::begin(servers).await?;
    open_some(count, &open, &mut held).await?;
    growth.of(count).await
}

async fn open_some<T, F>(count: usize, open: &impl Fn() -> F, held: &mut Vec<T>) -> Result<(), Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let mut opening = JoinSet::new();
    for _ in 0..count {
        if opening.len() >= AT_ONCE {
            held.extend(next(&mut opening).await?);
        }
        opening.spawn(open());
    }
    while let Some(tunnel) = next(&mut opening).await? {
        held.push(tunnel);
    }
    Ok(())
}

async fn next<T: 'static>(opening: &mut JoinSet<Result<T, Failure>>) -> Result<Option<T>, Failure> {
    opening.join_next().await.transpose().context("task")?.transpose()
}

/// Servers' memory before something was opened.
struct Growth<'a> {
    servers: &'a [Server],
    before: u64,
}

impl<'a> Growth<'a> {
    async fn begin(servers: &'a [Server]) -> Result<Self, Failure> {
        sleep(SETTLE).await;
        Ok(Self { servers, before: anonymous(servers)? })
    }

    async fn of(self, count: usize) -> Result<f64, Failure> {
        sleep(SETTLE).await;
        let grown = anonymous(self.servers)? as f64 - self.before as f64;
        Ok(grown / count as f64)
    }
}

fn anonymous(servers: &[Server]) -> Result<u64, Failure> {
    servers.iter().map(Server::anonymous_bytes).sum()
}

/// Until what was used for opening has been given back.
const SETTLE: Duration = Duration::from_secs(2);
/// Tunnels that are open before the first reading.
const WARM_UP: usize = 200;
/// Tunnels being opened at a time.
const AT_ONCE: usize = 16;
