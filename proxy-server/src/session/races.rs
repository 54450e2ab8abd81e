//! 100,000 races of tunnels against their revocation: after the acknowledgement
//! not one byte moves.

use std::{
    hint::spin_loop,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, SessionId};
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    config::MeasurementState,
    policy::{Policy, PolicyHandle, fake::policy},
    store::UnixMs,
};

#[test]
fn no_byte_moves_after_the_acknowledgement() {
    let races = Arc::new(Races::new());
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let races = Arc::clone(&races);
            thread::spawn(move || races.play(number))
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for round in 0..ROUNDS {
        races.begin(round);
        races.barrier.wait();
        runtime.block_on(races.revoke(round));
        races.barrier.wait();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());

    let Tally { late, moved, cut, refused, adopted } = &races.tally;
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    assert_eq!(count(late), 0, "bytes moved after the acknowledgement");
    // The races were races: each outcome came often.
    for (what, counter) in [("moved", moved), ("cut", cut), ("refused", refused), ("adopted", adopted)] {
        assert!(count(counter) > 1000, "{what}: only {}", count(counter));
    }
}

struct Races {
    sessions: Sessions,
    policy: PolicyHandle,
    allows: Arc<Policy>,
    denies: Arc<Policy>,
    round: AtomicUsize,
    /// Tunnels that were asked for in this round.
    tried: AtomicUsize,
    acknowledged: AtomicBool,
    barrier: Barrier,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    /// Bytes that moved although the revocation was acknowledged.
    late: AtomicU64,
    moved: AtomicU64,
    /// Tunnels that saw their end while they forwarded.
    cut: AtomicU64,
    refused: AtomicU64,
    /// Sessions that were taken in as if from another replica.
    adopted: AtomicU64,
}

impl Races {
    fn new() -> Self {
        let active = policy(1, &[("v1", 1, MeasurementState::Active, 1)]);
        let revoked = policy(2, &[("v1", 1, MeasurementState::Revoked, 2)]);
        let [allows, denies] =
            [active, revoked].map(|stored| Arc::new(Policy::from_store(&stored, UnixMs(0)).unwrap()));
        Self {
            sessions: Sessions::new(SessionsLimits {
                max_sessions: THREADS * EACH,
                max_per_instance: u32::MAX,
            }),
            policy: PolicyHandle::new(Policy::clone(&allows)),
            allows,
            denies,
            round: AtomicUsize::new(0),
            tried: AtomicUsize::new(0),
            acknowledged: AtomicBool::new(false),
            barrier: Barrier::new(THREADS + 1),
            tally: Tally::default(),
        }
    }

    /// Half of the sessions stand here; the others come from elsewhere while it is raced.
    fn begin(&self, round: usize) {
        self.acknowledged.store(false, Ordering::SeqCst);
        self.policy.replace(Arc::clone(&self.allows));
        self.round.store(round, Ordering::SeqCst);
        self.tried.store(0, Ordering::SeqCst);
        for number in (0..THREADS * EACH).step_by(2) {
            let (id, admission, ends) = self.session(number);
            self.sessions.adopt(id, admission, ends, || true).unwrap();
        }
    }

    /// What the watcher does.
    async fn revoke(&self, round: usize) {
        // In the middle of it, each time somewhere else.
        while self.tried.load(Ordering::SeqCst) < round % (THREADS * EACH) {
            thread::yield_now();
        }
        (0..round % 50).for_each(|_| spin_loop());
        self.policy.replace(Arc::clone(&self.denies));
        self.sessions.end_where(EndReason::MeasurementRevoked, |_| true);
        timeout(Duration::from_secs(10), self.sessions.let_go()).await.expect("tunnels that let go");
        self.acknowledged.store(true, Ordering::SeqCst);
    }

    /// What the gateway does, in its order, for a few tunnels at one time. Each of them goes
    /// on until it is cut.
    fn play(&self, thread: usize) {
        for _ in 0..ROUNDS {
            self.barrier.wait();
            let mut open = Vec::new();
            for number in thread * EACH..(thread + 1) * EACH {
                let opened = self.open(number);
                self.tried.fetch_add(1, Ordering::SeqCst);
                match opened {
                    Some(permit) => open.push(permit),
                    None => drop(self.tally.refused.fetch_add(1, Ordering::Relaxed)),
                }
                open.retain_mut(|permit| self.forward(permit));
            }
            while !open.is_empty() {
                open.retain_mut(|permit| self.forward(permit));
            }
            self.barrier.wait();
        }
    }

    fn open(&self, number: usize) -> Option<TunnelPermit> {
        let permit = self.find(number)?.register_tunnel().ok()?;
        permit.still_allowed().ok()?;
        Some(permit)
    }

    /// A byte, unless the session is over; whether the tunnel goes on.
    fn forward(&self, permit: &mut TunnelPermit) -> bool {
        if permit.poll_cut(&mut Context::from_waker(Waker::noop())).is_ready() {
            self.tally.cut.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        // Time passes between the look and the byte: another thread runs.
        thread::yield_now();
        let late = self.acknowledged.load(Ordering::SeqCst);
        let tally = if late { &self.tally.late } else { &self.tally.moved };
        tally.fetch_add(1, Ordering::Relaxed);
        !late
    }

    fn find(&self, number: usize) -> Option<Arc<Session>> {
        let (id, admission, ends) = self.session(number);
        if number.is_multiple_of(2) {
            return self.sessions.find(&id);
        }
        // What a lookup does: the policy, the store's answer, the registry.
        let policy = self.policy.current();
        policy.admitting("demo/v1")?;
        thread::yield_now();
        let still = || Arc::ptr_eq(&policy, &self.policy.current());
        let session = self.sessions.adopt(id, admission, ends, still).ok()?;
        self.tally.adopted.fetch_add(1, Ordering::SeqCst);
        Some(session)
    }

    /// Another one in each round.
    fn session(&self, number: usize) -> (SessionId, Admission, Instant) {
        let name = (self.round.load(Ordering::SeqCst) * THREADS * EACH + number) as u64;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&name.to_le_bytes());
        let mut key = [0; 32];
        key[..8].copy_from_slice(&name.to_le_bytes());
        let admission = Admission {
            workload: Arc::clone(&self.allows.admitting("demo/v1").unwrap().workload),
            measurement: "v1".into(),
            key: KeyThumbprint::from_bytes(key),
            boot_id: BootId::from_bytes([1; 16]),
            sequence: 1,
            lease: Lease::MAX,
            epoch: Epoch(1),
            instance: None,
        };
        (SessionId::from_bytes(bytes), admission, Instant::now() + Lease::MAX.duration())
    }
}

const THREADS: usize = 4;

/// Sessions of each thread in a round, each with a tunnel that races.
const EACH: usize = 4;

/// 6,250 times 16 races.
const ROUNDS: usize = 6_250;
