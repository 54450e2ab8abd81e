//! Attestations over kept connections: challenge, document, answer; every certificate known; the audit row written, as
//! the proxy always does.
//!
//! A document is bound to its challenge and its connection, so none can be made beforehand: the load signs each (a P-384
//! signature, 64 µs of the other core).

use countersign_protocol::Lease;
use tokio::{task::JoinSet, time::Instant};

use crate::enclave::{Enclave, granted};
use crate::failure::{Context, Failure};
use crate::proxy::Proxy;
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::{Latencies, Turn, Turns};
use crate::upstream::Upstream;

/// Runs the part.
///
/// # Errors
/// A refusal, or no proxy.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(settings, "attest", upstream.address).await?;
    let mut enclaves = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut enclave = proxy.enclave().await?;
        enclave.attest(Lease::MAX).await?;
        enclaves.push(enclave);
    }
    let mut turns = Turns::default();
    let mut latencies = Latencies::default();
    for round in 1..=settings.rounds() {
        println!("round {round} of {}", settings.rounds());
        turns.push(saturate(&proxy, &mut enclaves, settings).await?);
        let first = enclaves.first_mut().context("no enclave")?;
        latencies.append(one_by_one(first, settings).await?);
    }
    let (rate, unit) = turns.per_second_core();
    let unit = format!("{unit}, challenge and audit row included");
    report.judge("attest-per-second-core", rate, unit, Goal::AtLeast(4_500.0));
    report.add("attest-per-wall-second", turns.per_wall_second(), "1/s");
    report.add("attest-cpu-us", 1e6 / turns.per_cpu_second(), "µs of server CPU, challenge included");
    println!("attest-audited-per-second-core is the same figure: no attestation goes without its audit row");
    let unit = format!("µs, one connection, {} requests", latencies.len());
    report.add("attest-p50-us", latencies.percentile(50.0), unit.clone());
    report.judge("attest-p99-us", latencies.percentile(99.0), unit, Goal::AtMost(400.0));
    Ok(())
}

/// All connections at once, as fast as they are answered.
///
/// # Errors
/// A refusal.
pub(crate) async fn saturate(
    proxy: &Proxy,
    enclaves: &mut Vec<Enclave>,
    settings: &Settings,
) -> Result<Turn, Failure> {
    let (began, cpu) = (Instant::now(), proxy.server.cpu()?);
    let deadline = began + settings.turn();
    let mut tasks = JoinSet::new();
    for mut enclave in enclaves.drain(..) {
        tasks.spawn(async move {
            let mut count = 0_u32;
            while Instant::now() < deadline {
                enclave.attest(Lease::MAX).await?;
                count += 1;
            }
            Ok::<_, Failure>((enclave, count))
        });
    }
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        let (enclave, some) = ended.context("task")??;
        enclaves.push(enclave);
        count += some;
    }
    let (wall, cpu) = (began.elapsed(), proxy.server.cpu()?.saturating_sub(cpu));
    Ok(Turn { count: count.into(), wall, cpu })
}

/// One request at a time: how long the proxy takes to answer the attestation itself.
async fn one_by_one(enclave: &mut Enclave, settings: &Settings) -> Result<Latencies, Failure> {
    let deadline = Instant::now() + settings.turn();
    let mut latencies = Latencies::default();
    while Instant::now() < deadline {
        let request = enclave.prepare(Lease::MAX).await?;
        let asked = Instant::now();
        let answer = enclave.http().exchange(&request).await?;
        latencies.push(asked.elapsed());
        granted(&answer)?;
    }
    Ok(latencies)
}

/// Enough that the proxy always has a request to work on.
pub(crate) const CONNECTIONS: usize = 64;
