use std::sync::Arc;

use tokio::{task::JoinSet, time::Instant};

use super::way::Way;
use crate::child::{Server, cpu_of};
use crate::failure::{Context, Failure};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::{Latencies, Turn, Turns, median};

/// One way to open tunnels, and what was seen of it.
pub(crate) struct Contestant<'a> {
    /// For the report.
    pub(crate) name: &'static str,
    /// Many at once.
    pub(crate) turns: Turns,
    way: Arc<Way>,
    servers: &'a [Server],
    p50: Vec<f64>,
    p99: Vec<f64>,
    busy_p50: Vec<f64>,
    busy_p99: Vec<f64>,
}

impl<'a> Contestant<'a> {
    /// The servers on the way, none of them for a direct connection.
    pub(crate) fn new(name: &'static str, way: Way, servers: &'a [Server]) -> Self {
        let [p50, p99, busy_p50, busy_p99] = Default::default();
        Self { name, way: Arc::new(way), servers, turns: Turns::default(), p50, p99, busy_p50, busy_p99 }
    }

    /// Median over the rounds of the median, one at a time, in microseconds.
    pub(crate) fn p50(&self) -> f64 {
        median(self.p50.iter().copied())
    }

    /// The same of the 99th percentile.
    pub(crate) fn p99(&self) -> f64 {
        median(self.p99.iter().copied())
    }

    /// Median over the rounds of the median, [`AT_ONCE`] at a time, in microseconds.
    pub(crate) fn busy_p50(&self) -> f64 {
        median(self.busy_p50.iter().copied())
    }

    /// The same of the 99th percentile.
    pub(crate) fn busy_p99(&self) -> f64 {
        median(self.busy_p99.iter().copied())
    }
}

/// Measures, and reports beside the goals of the gate; the first is ours.
///
/// # Errors
/// A tunnel that does not open.
pub(super) async fn run(
    contestants: &mut [Contestant<'_>],
    settings: &Settings,
    report: &mut Report,
) -> Result<(), Failure> {
    measure(contestants, settings).await?;
    summarise(contestants, report);
    Ok(())
}

/// Opens tunnels, one at a time for the latency and many at once for the rate, in turns.
///
/// # Errors
/// A tunnel that does not open.
pub(crate) async fn measure(contestants: &mut [Contestant<'_>], settings: &Settings) -> Result<(), Failure> {
    for round in 1..=settings.rounds() {
        for contestant in &mut *contestants {
            println!("opens, round {round} of {}: {}", settings.rounds(), contestant.name);
            let (_, mut latencies) = turn(contestant, 1, settings).await?;
            contestant.p50.push(latencies.percentile(50.0));
            contestant.p99.push(latencies.percentile(99.0));
            let (many, mut latencies) = turn(contestant, AT_ONCE, settings).await?;
            contestant.busy_p50.push(latencies.percentile(50.0));
            contestant.busy_p99.push(latencies.percentile(99.0));
            contestant.turns.push(many);
        }
    }
    Ok(())
}

async fn turn(
    contestant: &Contestant<'_>,
    at_once: usize,
    settings: &Settings,
) -> Result<(Turn, Latencies), Failure> {
    let cpu = || cpu_of(contestant.servers);
    let (began, before) = (Instant::now(), cpu()?);
    let deadline = began + settings.turn();
    let mut tasks = JoinSet::new();
    for index in 0..at_once {
        let way = Arc::clone(&contestant.way);
        tasks.spawn(async move {
            let mut latencies = Latencies::default();
            while Instant::now() < deadline {
                let asked = Instant::now();
                let tunnel = way.open(index).await?;
                latencies.push(asked.elapsed());
                tunnel.close().await;
            }
            Ok::<_, Failure>(latencies)
        });
    }
    let mut latencies = Latencies::default();
    while let Some(some) = tasks.join_next().await {
        latencies.append(some.context("task")?.context(contestant.name)?);
    }
    let turn =
        Turn { count: latencies.len() as f64, wall: began.elapsed(), cpu: cpu()?.saturating_sub(before) };
    Ok((turn, latencies))
}

fn summarise(contestants: &[Contestant<'_>], report: &mut Report) {
    let Some((ours, others)) = contestants.split_first() else { return };
    report.judge("tunnel-open-p50-us", ours.p50(), "µs, one at a time", Goal::AtMost(170.0));
    report.add("tunnel-open-p99-us", ours.p99(), "µs, one at a time");
    let (rate, unit) = ours.turns.per_second_core();
    report.judge("tunnel-opens-per-second-core", rate, unit, Goal::AtLeast(20_000.0));
    report.add("tunnel-opens-per-wall-second", ours.turns.per_wall_second(), "1/s");
    for other in others {
        let name = other.name;
        report.add(&format!("tunnel-open-p50-{name}-us"), other.p50(), "µs, one at a time");
        if other.servers.is_empty() {
            let ratio = ours.turns.per_wall_second() / other.turns.per_wall_second();
            report.add(&format!("tunnel-opens-{name}-per-wall-second"), other.turns.per_wall_second(), "1/s");
            report.add(&format!("tunnel-open-vs-{name}"), ratio, "times its opens, wall");
            continue;
        }
        let (rate, unit) = other.turns.per_second_core();
        match name {
            "ours-fresh-mtls" => {
                report.judge("tunnel-opens-fresh-mtls-per-second-core", rate, unit, Goal::AtLeast(4_500.0));
                continue;
            }
            _ => report.add(&format!("tunnel-opens-{name}-per-second-core"), rate, unit),
        }
        let ratio = ours.turns.per_cpu_second() / other.turns.per_cpu_second();
        let (name, unit) = (format!("tunnel-open-vs-{name}"), "times its opens a CPU-second");
        match name.as_str() {
            "tunnel-open-vs-haproxy-mtls" => report.judge(&name, ratio, unit, Goal::AtLeast(13.0)),
            _ => report.add(&name, ratio, unit),
        }
    }
}

/// Tunnels being opened at a time.
const AT_ONCE: usize = 32;
