use std::{io::Write, mem::MaybeUninit, net::Shutdown, time::Duration};

use rustls::ClientConnection;
use socket2::Socket;
use tokio::time::{Instant, sleep};

use super::way::Way;
use crate::child::{Server, cpu_of};
use crate::failure::{Context, Failure};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::{Turn, Turns};
use crate::upstream::{SINK, SOURCE, Upstream};

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the upstream.
    Up,
    /// From it.
    Down,
}

/// One way to move bytes, and what was seen of it.
pub(crate) struct Contestant<'a> {
    /// For the report.
    pub(crate) name: &'static str,
    way: Way,
    servers: &'a [Server],
}

impl<'a> Contestant<'a> {
    /// The servers on the way, none of them for a direct connection.
    pub(crate) fn new(name: &'static str, way: Way, servers: &'a [Server]) -> Self {
        Self { name, way, servers }
    }
}

/// Measures, and reports beside the goals of the gate; the first is ours.
///
/// # Errors
/// A tunnel that does not carry.
pub(super) async fn run(
    contestants: &[Contestant<'_>],
    direction: Direction,
    upstream: &Upstream,
    settings: &Settings,
    report: &mut Report,
) -> Result<(), Failure> {
    let turns = measure(contestants, direction, upstream, settings).await?;
    summarise(contestants, &turns, direction, report);
    Ok(())
}

/// Moves bytes one way through one tunnel that has its connection to itself, in turns: those of each contestant.
///
/// # Errors
/// A tunnel that does not carry.
pub(crate) async fn measure(
    contestants: &[Contestant<'_>],
    direction: Direction,
    upstream: &Upstream,
    settings: &Settings,
) -> Result<Vec<Turns>, Failure> {
    let mut turns = vec![Turns::default(); contestants.len()];
    for round in 1..=settings.rounds() {
        for (contestant, turns) in contestants.iter().zip(&mut turns) {
            println!("bytes {direction:?}, round {round} of {}: {}", settings.rounds(), contestant.name);
            turns.push(turn(contestant, direction, upstream, settings).await.context(contestant.name)?);
        }
    }
    Ok(turns)
}

async fn turn(
    contestant: &Contestant<'_>,
    direction: Direction,
    upstream: &Upstream,
    settings: &Settings,
) -> Result<Turn, Failure> {
    let (stream, tls) = contestant.way.open_own(direction.order()).await?;
    let socket = Socket::from(stream.into_std().context("socket")?);
    socket.set_nonblocking(false).context("socket")?;
    let stop = socket.try_clone().context("socket")?;
    let load = tokio::task::spawn_blocking(move || match direction {
        Direction::Up => send(&socket, tls),
        Direction::Down => receive(&socket),
    });
    sleep(SETTLE).await;
    let cpu = || cpu_of(contestant.servers);
    let (began, bytes, before) = (Instant::now(), upstream.bytes(), cpu()?);
    sleep(settings.turn()).await;
    let (wall, bytes, cpu) = (began.elapsed(), upstream.bytes() - bytes, cpu()?.saturating_sub(before));
    if load.is_finished() {
        return Err(Failure::new("the tunnel ended while bytes moved"));
    }
    stop.shutdown(Shutdown::Both).context("socket")?;
    load.await.context("load")?;
    upstream.settle(0, crate::tls::PATIENCE).await?;
    Ok(Turn { count: bytes as f64 * 8.0 / 1e9, wall, cpu })
}

/// Sends until the connection is shut down.
fn send(mut socket: &Socket, tls: Option<ClientConnection>) {
    let bytes = vec![0x5a; BULK];
    let Some(mut tls) = tls else {
        while socket.write_all(&bytes).is_ok() {}
        return;
    };
    tls.set_buffer_limit(Some(2 * BULK));
    while tls.writer().write_all(&bytes).is_ok() {
        while tls.wants_write() {
            if tls.write_tls(&mut socket).is_err() {
                return;
            }
        }
    }
}

/// Takes bytes until the connection is shut down. They are not decrypted: that would make the load the limit, and the
/// upstream counts what it gave.
fn receive(socket: &Socket) {
    let mut room = vec![MaybeUninit::uninit(); BULK];
    while matches!(socket.recv_with_flags(&mut room, libc::MSG_TRUNC), Ok(1..)) {}
}

fn summarise(contestants: &[Contestant<'_>], turns: &[Turns], direction: Direction, report: &mut Report) {
    let word = direction.word();
    let mut all = contestants.iter().zip(turns);
    let Some((_, ours)) = all.next() else { return };
    let rate = |turns: &Turns| {
        let (rate, unit) = turns.per_second_core();
        (rate, unit.replacen("1/s", "Gbit/s", 1))
    };
    let (gbit, unit) = rate(ours);
    report.judge(&format!("tunnel-gbit-{word}"), gbit, unit, Goal::AtLeast(18.0));
    report.add(&format!("tunnel-gbit-{word}-wall"), ours.per_wall_second(), "Gbit/s");
    for (contestant, theirs) in all {
        let name = contestant.name;
        let served = !contestant.servers.is_empty();
        let (gbit, unit) =
            if served { rate(theirs) } else { (theirs.per_wall_second(), "Gbit/s".to_owned()) };
        report.add(&format!("tunnel-gbit-{word}-{name}"), gbit, unit);
        let (ratio, unit) = if served {
            (ours.per_cpu_second() / theirs.per_cpu_second(), "times its bytes a CPU-second")
        } else {
            (ours.per_wall_second() / theirs.per_wall_second(), "times its bytes, wall")
        };
        let name = format!("tunnel-bytes-{word}-vs-{name}");
        match name.as_str() {
            "tunnel-bytes-up-vs-haproxy-mtls" => report.judge(&name, ratio, unit, Goal::AtLeast(1.8)),
            "tunnel-bytes-down-vs-haproxy-mtls" => report.judge(&name, ratio, unit, Goal::AtLeast(2.2)),
            _ => report.add(&name, ratio, unit),
        }
    }
}

impl Direction {
    fn order(self) -> u8 {
        match self {
            Self::Up => SINK,
            Self::Down => SOURCE,
        }
    }

    /// For the report.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Until buffers have grown to their size.
const SETTLE: Duration = Duration::from_millis(300);
/// Bytes of one system call.
const BULK: usize = 256 * 1024;
