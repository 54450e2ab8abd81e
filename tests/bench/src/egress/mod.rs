//! The way out of an enclave: connections opened, bytes moved and memory held by client and host half together, beside
//! what people put in their place today.
//!
//! ```text
//!   load ──CONNECT──► countersign-enclave run ──UNIX socket──► countersign-enclave host ──► upstream
//!   load ───────────► socat | HAProxy         ──UNIX socket──► socat | HAProxy          ──► upstream
//!   load ──CONNECT──► HAProxy                 ──UNIX socket──► HAProxy ──► tinyproxy    ──► upstream
//!   load ──CONNECT──► tinyproxy | squid                                                 ──► upstream
//! ```
//!
//! A UNIX socket stands for vsock, which this kernel does not loop back. All processes of a chain share the one core of
//! the servers, so tinyproxy and squid, which are one process, have half the way to go: beside a vsock they need a pair in
//! front of them.

mod chain;

use self::chain::{Chain, Kind};
use crate::failure::Failure;
use crate::memory::held;
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::Turns;
use crate::tunnel::bytes::{self, Direction};
use crate::tunnel::opens;
use crate::tunnel::way::Way;
use crate::upstream::{ECHO, Upstream};

/// Runs the part.
///
/// # Errors
/// A connection that does not open or carry, or ours does not start.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let upstream = Upstream::start().await?;
    let mut chains = Vec::new();
    for kind in Kind::ALL {
        chains.extend(Chain::start(kind, settings, upstream.address).await?);
    }
    let direct = Way::Direct { upstream: upstream.address };

    let mut opening: Vec<_> = chains
        .iter()
        .map(|chain| opens::Contestant::new(chain.name, chain.way.clone(), &chain.servers))
        .collect();
    opening.push(opens::Contestant::new(DIRECT, direct.clone(), &[]));
    opens::measure(&mut opening, settings).await?;
    report_opens(&opening, report);
    drop(opening);
    upstream.settle(0, crate::tls::PATIENCE).await?;

    let mut moving: Vec<_> = chains
        .iter()
        .map(|chain| bytes::Contestant::new(chain.name, chain.way.clone(), &chain.servers))
        .collect();
    moving.push(bytes::Contestant::new(DIRECT, direct, &[]));
    for direction in [Direction::Up, Direction::Down] {
        let turns = bytes::measure(&moving, direction, &upstream, settings).await?;
        report_bytes(&moving, &turns, direction, report);
    }
    drop(moving);

    let count = settings.pick(2_000, 50);
    for chain in &chains {
        println!("idle: {count} connections through {}", chain.name);
        let bytes = held(&chain.servers, count, || {
            let way = chain.way.clone();
            async move { way.open_own(ECHO).await }
        })
        .await?;
        report.add(&format!("egress-idle-{}-bytes", chain.name), bytes, "bytes of all its processes");
        upstream.settle(0, crate::tls::PATIENCE).await?;
    }
    Ok(())
}

fn report_opens(contestants: &[opens::Contestant<'_>], report: &mut Report) {
    let Some((direct, through)) = contestants.split_last() else { return };
    let Some((ours, others)) = through.split_first() else { return };
    let added = |one: &opens::Contestant<'_>| (one.p50() - direct.p50(), one.p99() - direct.p99());
    let busy = |one: &opens::Contestant<'_>| {
        (one.busy_p50() - direct.busy_p50(), one.busy_p99() - direct.busy_p99())
    };
    for one in contestants {
        let name = one.name;
        report.add(&format!("egress-opens-{name}-per-second"), one.turns.per_wall_second(), "1/s, wall");
        let (p50, p99) = if name == DIRECT { (one.p50(), one.p99()) } else { added(one) };
        let what = if name == DIRECT { "µs" } else { "µs more than direct" };
        report.add(&format!("egress-open-{name}-p50-us"), p50, what);
        report.add(&format!("egress-open-{name}-p99-us"), p99, what);
        let (p50, p99) = if name == DIRECT { (one.busy_p50(), one.busy_p99()) } else { busy(one) };
        report.add(&format!("egress-open-{name}-busy-p50-us"), p50, what);
        report.add(&format!("egress-open-{name}-busy-p99-us"), p99, what);
    }
    for other in others {
        let name = other.name;
        let opens = ours.turns.per_wall_second() / other.turns.per_wall_second();
        report.judge(&format!("egress-opens-vs-{name}"), opens, "times its opens, wall", Goal::AtLeast(1.0));
        for (when, (ours50, ours99), (its50, its99)) in
            [("", added(ours), added(other)), ("busy-", busy(ours), busy(other))]
        {
            let times = "times less added";
            let (p50, p99) = (its50 / ours50, its99 / ours99);
            report.judge(&format!("egress-open-{when}p50-vs-{name}"), p50, times, Goal::AtLeast(1.0));
            report.judge(&format!("egress-open-{when}p99-vs-{name}"), p99, times, Goal::AtLeast(1.0));
        }
    }
}

fn report_bytes(
    contestants: &[bytes::Contestant<'_>],
    turns: &[Turns],
    direction: Direction,
    report: &mut Report,
) {
    let word = direction.word();
    let mut best: f64 = 0.0;
    for (one, turns) in contestants.iter().zip(turns) {
        let rate = turns.per_wall_second();
        report.add(&format!("egress-gbit-{word}-{}", one.name), rate, "Gbit/s, wall");
        if Kind::is_relay_pair(one.name) {
            best = best.max(rate);
        }
    }
    if let (Some(ours), true) = (turns.first(), best > 0.0) {
        let ratio = ours.per_wall_second() / best;
        let name = format!("egress-bytes-{word}-vs-best-relay");
        report.judge(&name, ratio, "of the best pair of TCP relays, wall", Goal::AtLeast(0.85));
    }
}

const DIRECT: &str = "direct";
