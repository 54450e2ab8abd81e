//! From the end of a session to the end of its tunnels, as the clients see it.

use std::time::Duration;

use countersign_protocol::Lease;
use tokio::{
    process::Command,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::failure::{Context, Failure};
use crate::fleet::{Session, Standing, StreamTunnel};
use crate::proxy::Proxy;
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::median;
use crate::tls::PATIENCE;
use crate::upstream::Upstream;

/// Runs the part.
///
/// # Errors
/// Tunnels that stay open, or no proxy.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let rounds = settings.pick(3, 1);
    let mut cuts = Vec::new();
    for round in 1..=rounds {
        println!("revocation, round {round} of {rounds}");
        cuts.push(revoke(settings).await?);
    }
    let tunnels = settings.pick(SESSIONS, 4) * settings.pick(TUNNELS_EACH, 5);
    let all = |pick: fn(&Cut) -> Duration| median(cuts.iter().map(|cut| pick(cut).as_secs_f64() * 1e3));
    let unit =
        format!("ms, {tunnels} tunnels, from the start of the command that commits to the last tunnel cut");
    report.judge("revocation-cut-10k-tunnels-ms", all(|cut| cut.since_start), unit, Goal::AtMost(500.0));
    report.add(
        "revocation-cut-after-command-ms",
        all(|cut| cut.since_end),
        "ms, from the end of the command",
    );
    report.add(
        "revocation-cut-first-to-last-ms",
        all(|cut| cut.first_to_last),
        "ms, from the first tunnel to the last",
    );
    lapse(settings, report).await
}

struct Cut {
    since_start: Duration,
    since_end: Duration,
    first_to_last: Duration,
}

/// Many tunnels of many sessions, and one command that revokes their measurement.
async fn revoke(settings: &Settings) -> Result<Cut, Failure> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(settings, "revocation", upstream.address).await?;
    let (sessions, each) = (settings.pick(SESSIONS, 4), settings.pick(TUNNELS_EACH, 5));
    let mut cuts = JoinSet::new();
    for _ in 0..sessions {
        let session = Session::open(&proxy, Lease::MAX).await?;
        let standing = Standing::connect(&proxy, &session, upstream.address).await?;
        for _ in 0..each {
            cuts.spawn(cut(standing.open().await?));
        }
    }
    upstream.settle(sessions * each, PATIENCE).await?;
    println!("{} tunnels stand", upstream.open());

    let start = Instant::now();
    let output = Command::from(proxy.revocation()).output().await.context("measurement revoke")?;
    let end = Instant::now();
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("measurement revoke: {}: {words}", output.status)));
    }
    let mut times = Vec::new();
    while let Some(time) = timeout(PATIENCE, cuts.join_next()).await.context("tunnels stay open")? {
        times.push(time.context("task")?);
    }
    upstream.settle(0, PATIENCE).await?;
    let (first, last) = times.iter().min().zip(times.iter().max()).context("no tunnel")?;
    if *first < start {
        return Err(Failure::new("a tunnel ended before anything was revoked"));
    }
    Ok(Cut {
        since_start: *last - start,
        since_end: last.saturating_duration_since(end),
        first_to_last: *last - *first,
    })
}

/// A few sessions whose leases run out one after the other.
async fn lapse(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(settings, "lapse", upstream.address).await?;
    let count = settings.pick(20, 2);
    println!("lapse: {count} sessions, waiting for the end of their leases ({} s)", Lease::MIN.as_secs());
    let mut cuts = JoinSet::new();
    for _ in 0..count {
        let session = Session::open(&proxy, Lease::MIN).await?;
        let tunnel = Standing::connect(&proxy, &session, upstream.address).await?.open().await?;
        cuts.spawn(async move { (session.lapses, cut(tunnel).await) });
        // Apart, so that each lapse is its own.
        tokio::time::sleep(Duration::from_millis(53)).await;
    }
    let mut late = Vec::new();
    let patience = Lease::MIN.duration() + PATIENCE;
    while let Some(ended) = timeout(patience, cuts.join_next()).await.context("tunnels stay open")? {
        let (lapses, cut) = ended.context("task")?;
        let early = lapses.saturating_duration_since(cut);
        if early > Duration::from_millis(50) {
            return Err(Failure::new(format!("a tunnel was cut {early:?} before its lease ended")));
        }
        late.push(cut.saturating_duration_since(lapses).as_secs_f64() * 1e3);
    }
    let unit = format!("ms, slowest of {count}, from the lease's end to the cut at the client");
    report.judge("lease-lapse-cut-ms", late.iter().copied().fold(0.0, f64::max), unit, Goal::AtMost(250.0));
    report.add("lease-lapse-cut-median-ms", median(late), "ms");
    Ok(())
}

async fn cut(mut tunnel: StreamTunnel) -> Instant {
    tunnel.ended().await;
    Instant::now()
}

/// Each with a connection to itself.
const SESSIONS: usize = 100;
const TUNNELS_EACH: usize = 100;
