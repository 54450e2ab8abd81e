//! What peers cost: a first connection, which makes and verifies both documents, and a later one, beside mutual TLS with
//! ordinary certificates.
//!
//! ```text
//!   ordinary   load ──TLS──► a relay ──► application     certificates under authorities that each side trusts
//!   peers      load ─► Egress::open ──TLS──► Inbound ──► application     self-signed keys that were proved
//! ```
//!
//! All in this process on two cores, over loopback TCP, TLS 1.3 with the same provider and without resumption. The
//! module that signs is software: what a document costs there is not what the NSM takes.

mod application;
mod enclaves;
mod ordinary;

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::failure::{Context, Failure};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::{Latencies, median};

use application::Application;
use enclaves::{Callee, Caller, World};
use ordinary::Ordinary;

/// Runs the part.
///
/// # Errors
/// A connection that fails.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let plan = Plan {
        firsts: settings.pick(100, 3),
        opens: settings.pick(3000, 30),
        bytes: settings.pick(2 << 30, 16 << 20),
        rounds: settings.rounds(),
    };
    let Figures { mut first, mut later, mut ordinary, up, down } =
        crate::cores::on_two(move || measure(plan)).await?;
    for (name, latencies) in [("first", &mut first), ("later", &mut later), ("mtls", &mut ordinary)] {
        for percent in [50.0, 99.0] {
            let value = latencies.percentile(percent);
            report.add(&format!("peers-{name}-p{percent}-us"), value, "µs to the first byte back");
        }
    }
    let times =
        |percent: f64, a: &mut Latencies, b: &mut Latencies| a.percentile(percent) / b.percentile(percent);
    let unit = "times the time of ordinary mutual TLS";
    report.judge("peers-later-vs-mtls-p50", times(50.0, &mut later, &mut ordinary), unit, Goal::AtMost(1.10));
    report.judge("peers-later-vs-mtls-p99", times(99.0, &mut later, &mut ordinary), unit, Goal::AtMost(1.10));
    for (name, Rates { ours, ordinary }) in [("up", up), ("down", down)] {
        report.add(&format!("peers-gbit-{name}"), ours, "Gbit/s");
        report.add(&format!("peers-gbit-{name}-mtls"), ordinary, "Gbit/s");
        let ratio = ours / ordinary;
        report.judge(
            &format!("peers-bytes-{name}-vs-mtls"),
            ratio,
            "of ordinary mutual TLS",
            Goal::AtLeast(0.95),
        );
    }
    Ok(())
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Plan {
    firsts: usize,
    opens: usize,
    bytes: u64,
    rounds: usize,
}

struct Figures {
    first: Latencies,
    later: Latencies,
    ordinary: Latencies,
    up: Rates,
    down: Rates,
}

/// Gbit/s, medians.
struct Rates {
    ours: f64,
    ordinary: f64,
}

/// Bytes both ways, whatever carries them.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

enum Way {
    Ordinary(Ordinary),
    Peers(Caller),
}

impl Way {
    async fn open(&self) -> Result<Box<dyn Bytes>, Failure> {
        match self {
            Self::Ordinary(ordinary) => Ok(Box::new(ordinary.open().await?)),
            Self::Peers(caller) => Ok(Box::new(caller.open().await?)),
        }
    }
}

async fn measure(plan: Plan) -> Result<Figures, Failure> {
    let Plan { firsts, opens, bytes, rounds } = plan;
    let application = Application::start().await?;
    let world = World::new()?;
    let callee = Callee::start(&world, application.port()).await?;
    let mut first = Latencies::default();
    for _ in 0..firsts {
        // A key that nobody knows yet.
        let caller = Way::Peers(Caller::start(&world, &callee).await?);
        first.push(open(&caller).await?);
        // Strangers are given a document ten times a second.
        tokio::time::sleep(STRANGERS).await;
    }
    let ways = [
        Way::Peers(Caller::start(&world, &callee).await?),
        Way::Ordinary(Ordinary::start(application.address()).await?),
    ];
    let mut latencies = [Latencies::default(), Latencies::default()];
    let mut rates = [const { [Vec::new(), Vec::new()] }; 2];
    for way in &ways {
        open(way).await?;
    }
    // In turns, so that whatever else this machine does falls on both.
    for _ in 0..rounds {
        for (way, latencies) in ways.iter().zip(&mut latencies) {
            for _ in 0..opens / rounds {
                latencies.push(open(way).await?);
            }
        }
        for (way, [up, down]) in ways.iter().zip(&mut rates) {
            up.push(gbit(bytes / rounds as u64, send(way, bytes / rounds as u64).await?));
            down.push(gbit(bytes / rounds as u64, fetch(way, bytes / rounds as u64).await?));
        }
    }
    let [later, ordinary] = latencies;
    let [[ours_up, ours_down], [ordinary_up, ordinary_down]] = rates.map(|ways| ways.map(median));
    Ok(Figures {
        first,
        later,
        ordinary,
        up: Rates { ours: ours_up, ordinary: ordinary_up },
        down: Rates { ours: ours_down, ordinary: ordinary_down },
    })
}

/// From nothing to the first byte that comes back.
async fn open(way: &Way) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut stream = way.open().await?;
    stream.write_all(application::ECHO).await.context("a byte")?;
    stream.flush().await.context("a byte")?;
    let mut back = [0; 1];
    stream.read_exact(&mut back).await.context("a byte back")?;
    Ok(began.elapsed())
}

async fn send(way: &Way, bytes: u64) -> Result<Duration, Failure> {
    let mut stream = way.open().await?;
    let chunk = vec![0; CHUNK];
    let began = Instant::now();
    stream.write_all(application::SINK).await.context("the word")?;
    let mut left = bytes;
    while left > 0 {
        let now = chunk.get(..usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)).unwrap_or_default();
        stream.write_all(now).await.context("bytes up")?;
        left -= now.len() as u64;
    }
    stream.shutdown().await.context("the end")?;
    let mut taken = Vec::new();
    stream.read_to_end(&mut taken).await.context("the count")?;
    if taken != bytes.to_be_bytes() {
        return Err(Failure::new(format!("of {bytes} bytes up, not all arrived: {taken:?}")));
    }
    Ok(began.elapsed())
}

async fn fetch(way: &Way, bytes: u64) -> Result<Duration, Failure> {
    let mut stream = way.open().await?;
    let mut chunk = vec![0; CHUNK];
    let began = Instant::now();
    stream.write_all(&[application::SOURCE, &bytes.to_be_bytes()].concat()).await.context("the word")?;
    stream.flush().await.context("the word")?;
    let mut taken = 0;
    loop {
        match stream.read(&mut chunk).await.context("bytes down")? {
            0 => break,
            some => taken += some as u64,
        }
    }
    if taken != bytes {
        return Err(Failure::new(format!("of {bytes} bytes down, {taken} arrived")));
    }
    Ok(began.elapsed())
}

fn gbit(bytes: u64, took: Duration) -> f64 {
    bytes as f64 * 8.0 / 1e9 / took.as_secs_f64()
}

const STRANGERS: Duration = Duration::from_millis(110);

const CHUNK: usize = 256 * 1024;
