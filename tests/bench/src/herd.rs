//! All enclaves at once: the proxy is killed, comes back, and everyone attests again as the real client does: a new
//! connection, its deadline for each step, its backoff with jitter after a failure.
//!
//! Documents, TLS and backoff are those of 10,000 enclaves, but one core plays all of them: what it needs is in the time.

use std::{sync::Arc, time::Duration};

use countersign_enclave::{attest::Backoff, random::Fraction};
use countersign_protocol::Lease;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use crate::enclave::{Attester, granted};
use crate::failure::{Context, Failure};
use crate::proxy::Proxy;
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::upstream::Upstream;

/// Runs the part.
///
/// # Errors
/// Enclaves that are not admitted in the end, or no proxy.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let upstream = Upstream::start().await?;
    let proxy = Arc::new(Proxy::start(settings, "herd", upstream.address).await?);
    let count = settings.pick(10_000, 200);
    println!("{count} enclaves attest for the first time");
    let attesters = admit(&proxy, count).await?;
    let mut proxy = Arc::into_inner(proxy).context("a task holds the proxy")?;
    proxy.kill()?;
    println!("killed; it comes back, and all of them attest again");
    proxy.start_again().await?;
    sleep(SETTLE).await;

    let proxy = Arc::new(proxy);
    let (before, cpu) = (proxy.server.anonymous_bytes()?, proxy.server.cpu()?);
    let start = Instant::now();
    let mut herd = JoinSet::new();
    for attester in attesters {
        herd.spawn(return_of(Arc::clone(&proxy), attester));
    }
    let (mut admitted, mut refused, mut failures, mut peak) = (0, 0, 0, before);
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !herd.is_empty() {
        tokio::select! {
            Some(one) = herd.join_next() => {
                let one = one.context("task")??;
                admitted += u32::from(one.admitted);
                refused += one.refusals.len();
                failures += one.failures;
                if let Some(words) = one.refusals.first().filter(|_| refused < 10) {
                    println!("{words}");
                }
            }
            _ = ticks.tick() => peak = peak.max(proxy.server.anonymous_bytes()?),
        }
    }
    let (wall, cpu) = (start.elapsed(), proxy.server.cpu()? - cpu);
    let seconds = format!("s, {admitted} of {count} admitted, one core for all of them");
    report.judge("herd-10k-seconds", wall.as_secs_f64(), seconds, Goal::AtMost(60.0));
    report.add("herd-10k-server-cpu-seconds", cpu.as_secs_f64(), "s of the proxy's core");
    report.judge("herd-refused", refused as f64, "answers that are no grant", Goal::AtMost(0.0));
    report.add("herd-retries", f64::from(failures), "connections that failed and were tried again");
    let grown = peak.saturating_sub(before) as f64 / count as f64;
    report.add("herd-memory-bytes-per-enclave", grown, "bytes, the proxy's growth at its highest");
    if admitted as usize == count { Ok(()) } else { Err(Failure::new("not all of them were admitted")) }
}

/// How it went for one of them.
#[derive(Default)]
struct Return {
    admitted: bool,
    refusals: Vec<String>,
    failures: u32,
}

/// Some at a time, and their connections end: what comes back later is new to the proxy's sockets, not to its store.
async fn admit(proxy: &Arc<Proxy>, count: usize) -> Result<Vec<Attester>, Failure> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (proxy, turns) = (Arc::clone(proxy), Arc::clone(&turns));
        tasks.spawn(async move {
            let _turn = turns.acquire().await.context("turn")?;
            let mut enclave = proxy.enclave().await?;
            enclave.attest(Lease::MAX).await?;
            Ok::<_, Failure>(enclave.into_attester())
        });
    }
    let mut attesters = Vec::with_capacity(count);
    while let Some(attester) = tasks.join_next().await {
        attesters.push(attester.context("task")??);
    }
    Ok(attesters)
}

/// Tries until it is admitted, or for too long.
async fn return_of(proxy: Arc<Proxy>, attester: Attester) -> Result<Return, Failure> {
    let (mut outcome, mut backoff) = (Return::default(), Backoff::default());
    let deadline = Instant::now() + LONGEST;
    while Instant::now() < deadline {
        match once(&proxy, attester.clone()).await {
            Ok(Attempt::Granted) => {
                outcome.admitted = true;
                return Ok(outcome);
            }
            Ok(Attempt::Refused(words)) => outcome.refusals.push(words),
            // The connection, or a deadline.
            Err(_) => outcome.failures += 1,
        }
        sleep(backoff.fail(Fraction::random())).await;
    }
    Ok(outcome)
}

enum Attempt {
    Granted,
    Refused(String),
}

async fn once(proxy: &Proxy, attester: Attester) -> Result<Attempt, Failure> {
    let mut enclave = timeout(CONNECTION, proxy.reconnect(attester)).await.context("connection")??;
    let request = timeout(ANSWER, enclave.prepare(Lease::MAX)).await.context("challenge")??;
    let answer = timeout(ANSWER, enclave.http().exchange(&request)).await.context("answer")??;
    Ok(match granted(&answer) {
        Ok(_) => Attempt::Granted,
        Err(refusal) => Attempt::Refused(refusal.to_string()),
    })
}

/// The real client's deadlines: for the TCP connection and the handshake together, and for each answer.
const CONNECTION: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(10);
/// Being admitted at a time before the outage.
const AT_ONCE: usize = 32;
const SETTLE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(100);
/// Twice the goal: who is not admitted by then never is.
const LONGEST: Duration = Duration::from_secs(120);
