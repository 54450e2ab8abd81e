//! What telemetry costs: one proxy that sends every trace, log line and figure to a collector, and one that sends
//! nothing, in turns.
//!
//! Both count and log as always; the collector is a thread of the load's core that reads and says yes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use countersign_protocol::Lease;

use crate::attest;
use crate::enclave::Enclave;
use crate::failure::{Context, Failure};
use crate::fleet::{Session, Standing};
use crate::proxy::{Plan, Proxy};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::Turns;
use crate::tunnel::{
    bytes::{self, Direction},
    opens,
    way::Way,
};
use crate::upstream::Upstream;

/// Runs the part.
///
/// # Errors
/// A refusal, a tunnel that does not carry, or a collector that heard nothing.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let upstream = Upstream::start().await?;
    let collector = Collector::start()?;
    let plan = Plan::new(vec!["release-1".to_owned()])?;
    let tables = format!("[telemetry]\nendpoint = \"http://{}\"\ninterval_seconds = 5\n", collector.address);
    let off = Proxy::planned(settings, "telemetry-off", &[upstream.address], &plan, "").await?;
    let on = Proxy::planned(settings, "telemetry-on", &[upstream.address], &plan, &tables).await?;

    attestations(&off, &on, settings, report).await?;
    tunnels(&off, &on, &upstream, settings, report).await?;

    let heard = collector.heard.load(Ordering::Relaxed);
    report.add("telemetry-collected", heard as f64, "bytes that the collector took");
    if heard == 0 { Err(Failure::new("the collector heard nothing: nothing was measured")) } else { Ok(()) }
}

async fn attestations(
    off: &Proxy,
    on: &Proxy,
    settings: &Settings,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut fleets = Vec::new();
    for proxy in [off, on] {
        fleets.push((proxy, fleet(proxy).await?, Turns::default()));
    }
    for round in 1..=settings.rounds() {
        println!("attestations, round {round} of {}", settings.rounds());
        for (proxy, enclaves, turns) in &mut fleets {
            turns.push(attest::saturate(proxy, enclaves, settings).await?);
        }
    }
    let turns: Vec<_> = fleets.iter().map(|(_, _, turns)| turns).collect();
    report.judge("telemetry-cost-attestations", cost(&turns), COST, Goal::AtMost(5.0));
    Ok(())
}

async fn tunnels(
    off: &Proxy,
    on: &Proxy,
    upstream: &Upstream,
    settings: &Settings,
    report: &mut Report,
) -> Result<(), Failure> {
    let (mut opening, mut moving) = (Vec::new(), Vec::new());
    for (name, proxy) in [("off", off), ("on", on)] {
        let session = Session::open(proxy, Lease::MAX).await?;
        let standing = Standing::connect(proxy, &session, upstream.address).await?;
        let server = slice::from_ref(&proxy.server);
        opening.push(opens::Contestant::new(name, Way::Standing(vec![standing]), server));
        let way = Way::own(proxy, session.client(proxy, b"http/1.1")?, upstream.address);
        moving.push(bytes::Contestant::new(name, way, server));
    }
    opens::measure(&mut opening, settings).await?;
    let turns: Vec<_> = opening.iter().map(|contestant| &contestant.turns).collect();
    report.add("telemetry-cost-opens", cost(&turns), COST);
    upstream.settle(0, crate::tls::PATIENCE).await?;
    for direction in [Direction::Up, Direction::Down] {
        let turns = bytes::measure(&moving, direction, upstream, settings).await?;
        let name = format!("telemetry-cost-bytes-{}", direction.word());
        report.judge(&name, cost(&turns.iter().collect::<Vec<_>>()), COST, Goal::AtMost(3.0));
    }
    Ok(())
}

async fn fleet(proxy: &Proxy) -> Result<Vec<Enclave>, Failure> {
    let mut enclaves = Vec::new();
    for _ in 0..attest::CONNECTIONS {
        let mut enclave = proxy.enclave().await?;
        enclave.attest(Lease::MAX).await?;
        enclaves.push(enclave);
    }
    Ok(enclaves)
}

/// How much less is done in a second of the server's CPU with telemetry than without, in percent.
fn cost(turns: &[&Turns]) -> f64 {
    match turns {
        [off, on] => 100.0 * (1.0 - on.per_cpu_second() / off.per_cpu_second()),
        _ => f64::NAN,
    }
}

/// Takes whatever is sent to it, and counts it.
struct Collector {
    address: SocketAddr,
    heard: Arc<AtomicU64>,
}

impl Collector {
    fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("collector")?;
        let address = listener.local_addr().context("collector")?;
        let heard = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&heard);
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                thread::spawn(move || serve(&stream, &count));
            }
        });
        Ok(Self { address, heard })
    }
}

/// Answers requests with a length until the connection ends.
fn serve(mut stream: &TcpStream, heard: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0_u64;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().to_ascii_lowercase().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().ok()?,
                Some(_) => {}
                // The request's first line has a colon in no place, and neither has the last.
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let read = std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        heard.fetch_add(read, Ordering::Relaxed);
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n",
            )
            .ok()?;
    }
}

const COST: &str = "% less in a CPU-second of the server";
