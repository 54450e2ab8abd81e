//! The way out under load and faults: idle connections that hold, and transfers while the host half is killed and
//! restarted, destinations reset and read slowly. Nothing leaks, nothing hangs, no byte is lost.
//!
//! `make soak` does it for half an hour; a plain test run for [`FEW_SECONDS`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod way_out;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_e2e::{Errand, Kind, PATIENCE};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use way_out::WayOut;

const ENCLAVE: &str = env!("CARGO_BIN_EXE_e2e-enclave");
const FAR_END: &str = env!("CARGO_BIN_EXE_e2e-far-end");

/// Each pair of halves carries its share: a process may not have more than 20,000 files in many places, and one
/// connection takes two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_hold_and_leave_nothing_behind() {
    raise_file_limit();
    let share = if seconds() > FEW_SECONDS { 5_000 } else { 500 };
    for round in 1..=2 {
        let way = WayOut::start().await;
        let before = way.files().await;
        let mut held = Vec::with_capacity(share);
        for _ in 0..share {
            let mut stream = way.open().await.unwrap();
            stream.write_all(&ECHO_HEAD).await.unwrap();
            held.push(stream);
        }
        for (number, stream) in held.iter_mut().enumerate() {
            let number = (number as u64).to_be_bytes();
            stream.write_all(&number).await.unwrap();
            let mut back = [0; 8];
            timeout(PATIENCE, stream.read_exact(&mut back)).await.expect("an echo in time").unwrap();
            assert_eq!(back, number);
        }
        drop(held);
        eprintln!("round {round}: {share} idle connections held; {} KiB in the client", way.client_kib());
        files_are_as_before(&way, before).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaks_hangs_or_is_lost_while_things_break() {
    let end = Instant::now() + Duration::from_secs(seconds());
    let way = Arc::new(WayOut::start().await);
    let tally = Arc::new(Tally::default());
    // So that what is allocated once is allocated before the first reading.
    work(&way, &tally, Instant::now() + Duration::from_secs(2)).await;
    let (files, kib) = (way.files().await, way.client_kib());

    let breaking = tokio::spawn(break_things(Arc::clone(&way), Arc::clone(&tally), end));
    work(&way, &tally, end).await;
    breaking.await.unwrap();
    // With nobody breaking anything, nothing may break.
    let kills = tally.kills.load(Ordering::SeqCst);
    work(&way, &tally, Instant::now() + Duration::from_secs(2)).await;
    assert_eq!(tally.kills.load(Ordering::SeqCst), kills);

    files_are_as_before(&way, files).await;
    let grown = way.client_kib().saturating_sub(kib);
    eprintln!("{}; {grown} KiB more in the client than at the start", tally.summary());
    assert!(grown < MOST_GROWTH_KIB, "{grown} KiB");
    for (what, counter) in [("whole", &tally.whole), ("reset", &tally.reset), ("kills", &tally.kills)] {
        assert!(counter.load(Ordering::SeqCst) > 0, "{what}: none");
    }
}

/// What happened.
#[derive(Default)]
struct Tally {
    /// Transfers that were right from the first byte to the last.
    whole: AtomicUsize,
    /// Resets of the far end that arrived as such.
    reset: AtomicUsize,
    /// Transfers that a kill broke.
    broken: AtomicUsize,
    bytes: AtomicU64,
    /// Kills of the host half that began.
    kills: AtomicUsize,
    /// Kills after which it listens again.
    recovered: AtomicUsize,
}

impl Tally {
    fn summary(&self) -> String {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let (whole, reset, broken) = (count(&self.whole), count(&self.reset), count(&self.broken));
        let bytes = self.bytes.load(Ordering::SeqCst);
        format!(
            "{whole} transfers whole ({bytes} bytes), {reset} reset, {broken} broken by {} kills",
            count(&self.kills)
        )
    }
}

/// Transfers of every kind, many at once, until `end`.
async fn work(way: &Arc<WayOut>, tally: &Arc<Tally>, end: Instant) {
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (way, tally) = (Arc::clone(way), Arc::clone(tally));
        workers.spawn(async move {
            let mut number = worker;
            while Instant::now() < end {
                one(&way, &tally, errand(number)).await;
                number += WORKERS;
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
}

fn errand(number: u64) -> Errand {
    // Lengths of every size, the empty one among them.
    let length = |salt: u64| (number.wrapping_mul(salt) >> 7) % (1 << (number % 21));
    let kind = match number % 8 {
        0 => Kind::Slow,
        1 => Kind::Resets,
        _ => Kind::Fair,
    };
    let up = if kind == Kind::Slow { length(0x9e37).min(200_000) } else { length(0x9e37) };
    Errand { kind, seed: number, up: up.max(1), down: length(0x85eb) }
}

async fn one(way: &WayOut, tally: &Tally, errand: Errand) {
    let (kills, recovered) = (&tally.kills, &tally.recovered);
    let before = kills.load(Ordering::SeqCst);
    let was_up = recovered.load(Ordering::SeqCst) == before;
    let outcome = transfer(way, errand).await;
    let killed = !was_up || kills.load(Ordering::SeqCst) != before;
    let counter = match (&outcome, errand.kind) {
        (Ok(()), Kind::Resets) => panic!("{errand:?}: a reset far end looked like one that finished"),
        (Ok(()), _) => {
            tally.bytes.fetch_add(errand.up + errand.down, Ordering::SeqCst);
            &tally.whole
        }
        (Err(Broken::Wrong(why)), _) => panic!("{errand:?}: {why}"),
        (Err(Broken::Hangs), _) => panic!("{errand:?}: nothing came for {PATIENCE:?}"),
        (Err(Broken::Ended), Kind::Resets) => &tally.reset,
        (Err(Broken::Ended | Broken::Refused(_)), _) if killed => &tally.broken,
        (Err(Broken::Refused(why)), _) => panic!("{errand:?}: not opened, and nothing was killed: {why}"),
        (Err(Broken::Ended), _) => panic!("{errand:?}: ended, and nothing was killed"),
    };
    counter.fetch_add(1, Ordering::SeqCst);
}

/// How a transfer failed.
#[derive(Debug)]
enum Broken {
    /// It was not opened.
    Refused(String),
    /// It ended before it was whole.
    Ended,
    /// A byte was wrong.
    Wrong(io::Error),
    /// Neither.
    Hangs,
}

async fn transfer(way: &WayOut, errand: Errand) -> Result<(), Broken> {
    let mut stream = way.open().await.map_err(Broken::Refused)?;
    match timeout(PATIENCE, errand.run(&mut stream)).await {
        Err(_) => Err(Broken::Hangs),
        Ok(Err(why)) if why.kind() == io::ErrorKind::InvalidData => Err(Broken::Wrong(why)),
        Ok(Err(_)) => Err(Broken::Ended),
        Ok(Ok(())) => Ok(()),
    }
}

/// Kills the host half and starts it again, until `end`.
async fn break_things(way: Arc<WayOut>, tally: Arc<Tally>, end: Instant) {
    while Instant::now() + BETWEEN_KILLS < end {
        sleep(BETWEEN_KILLS).await;
        tally.kills.fetch_add(1, Ordering::SeqCst);
        way.restart_host().await;
        tally.recovered.fetch_add(1, Ordering::SeqCst);
    }
}

/// Connections end some time after both sides have let go.
async fn files_are_as_before(way: &WayOut, before: [usize; 2]) {
    let settled = async {
        loop {
            let now = way.files().await;
            if now.iter().zip(before).all(|(now, before)| *now <= before + SPARE_FILES) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(PATIENCE, settled).await.is_err() {
        panic!("files of client and host half: {:?}, before {before:?}", way.files().await);
    }
}

fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn seconds() -> u64 {
    std::env::var(SECONDS).map_or(FEW_SECONDS, |seconds| seconds.parse().expect("a number of seconds"))
}

/// A kind and three numbers that an echo does not look at.
const ECHO_HEAD: [u8; 25] = {
    let mut head = [0; 25];
    head[0] = b'e';
    head
};

const SECONDS: &str = "COUNTERSIGN_SOAK_SECONDS";
const FEW_SECONDS: u64 = 15;
const WORKERS: u64 = 24;
const BETWEEN_KILLS: Duration = Duration::from_secs(3);

/// Connections that the client keeps ready to the host half.
const SPARE_FILES: usize = 32;

/// What an allocator keeps after bursts, whatever the time.
const MOST_GROWTH_KIB: u64 = 48 * 1024;
