//! Sessions that stand elsewhere, beside a store that the test drives.

use std::{sync::Arc, time::Duration};

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, SessionId};
use tokio::time::{Instant, advance, sleep};
use tokio_util::sync::CancellationToken;

use super::{neighbours::LookupError, *};
use crate::{
    config::MeasurementState,
    policy::{
        Policy, PolicyHandle,
        fake::{FakeStore, pcrs, policy, row},
    },
    session::{Admission, AdmitError, EndReason, Renewal, Sessions, SessionsLimits},
    store::{SessionRow, StoredPolicy, UnixMs},
};

#[tokio::test]
async fn a_session_of_another_replica_is_taken_in() {
    let rig = Rig::new();
    rig.keep(row(1, 7, 3));
    let session = rig.neighbours.session(id(1), key(7)).await.unwrap();
    assert_eq!((session.id(), session.key()), (id(1), key(7)));
    let view = session.view();
    assert_eq!((view.sequence, view.epoch, &*view.measurement), (3, Epoch(1), "v1"));
    let left = view.lease_ends - Instant::now();
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50), "{left:?}");
    assert!(rig.sessions.find(&id(1)).is_some());
    // It is here now: nobody is asked any more.
    let asked = rig.store.asked();
    rig.neighbours.session(id(1), key(7)).await.unwrap();
    assert_eq!(rig.store.asked(), asked);
}

#[tokio::test]
async fn what_the_policy_here_does_not_allow_is_not_taken_in() {
    let revoked = policy(2, &[("v1", 1, MeasurementState::Revoked, 2)]);
    let replaced = policy(2, &[("v1", 9, MeasurementState::Active, 2)]);
    let mut buried = policy(2, &[("v1", 1, MeasurementState::Active, 1)]);
    buried.tombstones = vec![(pcrs(&[(0, 1), (1, 1), (2, 1)]), "demo/v1".into())];
    let mut expired = policy(2, &[("v1", 1, MeasurementState::Active, 1)]);
    expired.measurements[0].expires = Some(UnixMs(1));
    let mut without = policy(2, &[]);
    without.workloads.clear();
    for (what, stored, expected) in [
        ("revoked", revoked, NotWorth::NotAllowed),
        ("other PCRs by that name", replaced, NotWorth::OlderThanMeasurement),
        ("a tombstone", buried, NotWorth::NotAllowed),
        ("expired", expired, NotWorth::NotAllowed),
        ("no workload", without, NotWorth::NotAllowed),
    ] {
        let rig = Rig::with(stored);
        rig.keep(row(1, 7, 3));
        let error = rig.neighbours.session(id(1), key(7)).await.unwrap_err();
        assert_eq!(error, LookupError::NotWorth(expected), "{what}");
        assert!(rig.sessions.is_empty(), "{what}");
    }
}

/// Measurement added, enclave admitted at another replica, tunnel asked for here: all
/// before this replica has heard of the measurement.
#[tokio::test(start_paused = true)]
async fn a_session_that_a_newer_policy_admitted_waits_for_it() {
    let rig = Rig::with(policy(1, &[]));
    let mut newer = row(1, 7, 1);
    newer.epoch = Epoch(2);
    rig.keep(newer);
    let (handle, sessions) = (rig.handle.clone(), rig.sessions.clone());
    let lookup = tokio::spawn(async move { rig.neighbours.session(id(1), key(7)).await });
    sleep(Duration::from_millis(120)).await;
    assert!(!lookup.is_finished() && sessions.is_empty());
    let stored = policy(2, &[("v1", 1, MeasurementState::Active, 2)]);
    handle.replace(Arc::new(Policy::from_store(&stored, UnixMs::now()).unwrap()));
    assert_eq!(lookup.await.unwrap().unwrap().id(), id(1));

    // It does not come: this replica does not follow, and says so.
    let rig = Rig::with(policy(1, &[]));
    let mut newer = row(1, 7, 1);
    newer.epoch = Epoch(2);
    rig.keep(newer);
    assert_eq!(rig.neighbours.session(id(1), key(7)).await.unwrap_err(), LookupError::TooSlow);
}

#[tokio::test]
async fn a_session_of_another_key_is_not_taken_in() {
    let rig = Rig::new();
    rig.keep(row(1, 7, 3));
    assert_eq!(rig.neighbours.session(id(1), key(8)).await.unwrap_err(), LookupError::OtherKey);
    assert!(rig.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_found_costs_one_question_a_second() {
    let rig = Rig::new();
    for _ in 0..100 {
        assert_eq!(rig.neighbours.session(id(1), key(7)).await.unwrap_err(), LookupError::NotFound);
    }
    assert_eq!(rig.store.asked(), 1);
    rig.keep(row(1, 7, 1));
    rig.advance(Duration::from_secs(1)).await;
    assert!(rig.neighbours.session(id(1), key(7)).await.is_ok());
    assert_eq!(rig.store.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn lookups_are_bounded_in_number_and_in_time() {
    let rig = Rig::new();
    rig.store.hang();
    let began = Instant::now();
    let neighbours = Arc::new(rig.neighbours);
    let lookups: Vec<_> = (0..100)
        .map(|number| {
            let neighbours = Arc::clone(&neighbours);
            tokio::spawn(async move { neighbours.session(id(number), key(7)).await.unwrap_err() })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(rig.store.asked(), 32, "the others wait for a place");
    for lookup in lookups {
        assert_eq!(lookup.await.unwrap(), LookupError::TooSlow);
    }
    assert_eq!(began.elapsed().as_secs(), 1);
    // Strangers with old certificates do not keep enclaves from attesting.
    let asked = rig.store.asked();
    assert_eq!(neighbours.refresh(key(7)).await.unwrap_err(), LookupError::TooSlow);
    assert_eq!(rig.store.asked(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn a_stale_policy_takes_nobody_in() {
    let rig = Rig::new();
    rig.keep(row(1, 7, 3));
    advance(PolicyHandle::STALE_AFTER + Duration::from_millis(1)).await;
    assert_eq!(rig.neighbours.session(id(1), key(7)).await.unwrap_err(), LookupError::Stale);
    assert_eq!(rig.neighbours.refresh(key(7)).await.unwrap_err(), LookupError::Stale);
    assert_eq!(rig.store.asked(), 0);
}

/// The row is read, then the revocation comes, then the session would be registered.
#[tokio::test]
async fn a_revocation_between_lookup_and_registration_is_seen() {
    let rig = Rig::new();
    rig.keep(row(1, 7, 3));
    let (handle, sessions) = (rig.handle.clone(), rig.sessions.clone());
    rig.meanwhile(move || {
        let stored = policy(2, &[("v1", 1, MeasurementState::Revoked, 2)]);
        handle.replace(Arc::new(Policy::from_store(&stored, UnixMs::now()).unwrap()));
        // The watcher finds nothing to end yet.
        assert_eq!(sessions.end_where(EndReason::MeasurementRevoked, |_| true).sessions, 0);
    });
    let error = rig.neighbours.session(id(1), key(7)).await.unwrap_err();
    assert_eq!(error, LookupError::NotWorth(NotWorth::NotAllowed));
    assert!(rig.sessions.is_empty());
}

/// The same for one session: its row is gone when the store is asked again.
#[tokio::test]
async fn an_end_between_lookup_and_registration_is_seen() {
    let rig = Rig::new();
    rig.keep(row(1, 7, 3));
    let (handle, sessions, store) = (rig.handle.clone(), rig.sessions.clone(), Arc::clone(&rig.store));
    rig.meanwhile(move || {
        store.says().sessions.clear();
        let stored = policy(2, &[("v1", 1, MeasurementState::Active, 1)]);
        handle.replace(Arc::new(Policy::from_store(&stored, UnixMs::now()).unwrap()));
        assert_eq!(sessions.end(&id(1), EndReason::EndedByAdmin).sessions, 0);
    });
    assert_eq!(rig.neighbours.session(id(1), key(7)).await.unwrap_err(), LookupError::NotFound);
    assert!(rig.sessions.is_empty());
}

#[tokio::test]
async fn a_policy_that_changes_all_the_time_takes_nobody_in() {
    let rig = Rig::new();
    rig.keep(row(1, 7, 3));
    change_again(&rig.store, &rig.handle, 2);
    assert_eq!(rig.neighbours.session(id(1), key(7)).await.unwrap_err(), LookupError::Unsettled);
    assert_eq!(rig.store.asked(), 3);
    assert!(rig.sessions.is_empty());
}

#[tokio::test]
async fn an_enclave_that_renews_elsewhere_keeps_its_session_and_its_sequence() {
    let rig = Rig::new();
    rig.keep(row(1, 7, 30));
    rig.neighbours.refresh(key(7)).await.unwrap();
    let replayed = AdmitError::SequenceReplayed { last: 30, got: 30 };
    assert_eq!(rig.sessions.admit(rig.admission(7, 30), Instant::now()).unwrap_err(), replayed);
    let other_boot = Admission { boot_id: BootId::from_bytes([2; 16]), ..rig.admission(7, 31) };
    assert_eq!(rig.sessions.admit(other_boot, Instant::now()).unwrap_err(), AdmitError::Conflict);
    let granted = rig.sessions.admit(rig.admission(7, 31), Instant::now()).unwrap();
    assert_eq!((granted.renewed, granted.session.id()), (Renewal::Renewed, id(1)));

    // Renewed elsewhere meanwhile: what is known here is not the last word.
    rig.keep(row(1, 7, 40));
    rig.neighbours.refresh(key(7)).await.unwrap();
    let replayed = AdmitError::SequenceReplayed { last: 40, got: 35 };
    assert_eq!(rig.sessions.admit(rig.admission(7, 35), Instant::now()).unwrap_err(), replayed);

    // Whom nobody knows is new.
    rig.neighbours.refresh(key(8)).await.unwrap();
    assert_eq!(rig.sessions.admit(rig.admission(8, 1), Instant::now()).unwrap().renewed, Renewal::New);
}

#[tokio::test]
async fn of_two_sessions_of_one_key_the_longer_lease_stays() {
    let rig = Rig::new();
    rig.keep(row(1, 7, 3));
    let old = rig.neighbours.session(id(1), key(7)).await.unwrap();
    let mut shorter = row(2, 7, 1);
    shorter.lease_ends.0 -= 20_000;
    rig.keep(shorter);
    let error = rig.neighbours.session(id(2), key(7)).await.unwrap_err();
    assert_eq!(error, LookupError::NotAdopted(AdmitError::Conflict));
    assert_eq!(old.ended(), None);

    let mut longer = row(3, 7, 1);
    longer.lease = Lease::from_secs(90).unwrap();
    longer.lease_ends.0 += 30_000;
    rig.keep(longer);
    assert!(rig.neighbours.session(id(3), key(7)).await.is_ok());
    assert_eq!(old.ended(), Some(EndReason::LeaseLapsed));
    assert_eq!(rig.sessions.len(), 1);
}

/// The store's time is a wall clock's, and this one was put back by a day.
#[tokio::test(start_paused = true)]
async fn a_clock_that_was_put_back_lengthens_no_lease() {
    let rig = Rig::new();
    let mut ahead = row(1, 7, 3);
    ahead.lease_ends.0 += 86_400_000;
    rig.keep(ahead);
    let session = rig.neighbours.session(id(1), key(7)).await.unwrap();
    let ends = session.lease_ends();
    assert_eq!(ends, Instant::now() + Duration::from_secs(60), "never longer than it was given");
    let mut tunnel = session.register_tunnel().unwrap();
    let stop = rig.follow();
    // The same row, read every second, gives the same lease.
    assert_eq!(tunnel.cut().await, EndReason::LeaseLapsed);
    assert!(Instant::now() - ends <= LAPSE_TO_CUT, "{:?}", Instant::now() - ends);
    drop(tunnel);
    // Nor does it come back by its certificate; an attestation brings it back.
    rig.handle.seen(Instant::now());
    let over = LookupError::NotAdopted(AdmitError::NotRestorable);
    assert_eq!(rig.neighbours.session(id(1), key(7)).await.unwrap_err(), over);
    let mut renewed = row(1, 7, 4);
    renewed.lease_ends.0 += 86_400_000;
    rig.keep(renewed);
    assert!(rig.neighbours.session(id(1), key(7)).await.is_ok());
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn renewals_elsewhere_reach_what_holds_tunnels_here_with_one_question_a_second() {
    let rig = Rig::new();
    let mut held = Vec::new();
    for number in 1..=5 {
        rig.keep(row(number, number, 1));
        let session = rig.neighbours.session(id(number), key(number)).await.unwrap();
        held.push(session.register_tunnel().unwrap());
    }
    rig.keep(row(6, 6, 1));
    let idle = rig.neighbours.session(id(6), key(6)).await.unwrap();
    let stop = rig.follow();
    let asked = rig.store.asked();
    for round in 2..7 {
        sleep(Duration::from_secs(20)).await;
        for number in 1..=6 {
            rig.keep(far(row(number, number, round)));
        }
    }
    assert!(held.iter().all(|tunnel| tunnel.still_allowed().is_ok()), "renewed five times");
    assert_eq!(idle.ended(), Some(EndReason::LeaseLapsed), "nobody here needed it");
    let questions = rig.store.asked() - asked;
    assert!((99..=103).contains(&questions), "{questions} questions in 100 s");
    // Nobody renews them any more.
    sleep(Duration::from_secs(2)).await;
    let ends = held.iter().map(|tunnel| tunnel.session().lease_ends()).max().unwrap();
    for tunnel in &mut held {
        assert_eq!(tunnel.cut().await, EndReason::LeaseLapsed);
    }
    assert!(Instant::now() - ends <= LAPSE_TO_CUT);
    stop.cancel();
}

/// Renewed here, then elsewhere: it is asked for when its lease ends soon, and once more at its end.
#[tokio::test(start_paused = true)]
async fn a_session_that_moved_is_followed_to_the_last_moment() {
    let rig = Rig::new();
    let granted = rig.sessions.admit(rig.admission(7, 1), Instant::now()).unwrap();
    let tunnel = granted.session.register_tunnel().unwrap();
    let looping = tokio::spawn(rig.sessions.clone().lapse_loop(rig.leases(), rig.stop.clone()));
    // No query a second here: only the last look finds it.
    sleep(Duration::from_secs(59)).await;
    let mut moved = far(row(1, 7, 2));
    moved.id = granted.session.id();
    rig.keep(moved);
    assert_eq!(rig.store.asked(), 0);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.store.asked(), 1);
    assert!(tunnel.still_allowed().is_ok());
    rig.stop.cancel();
    looping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lapse_waits_a_moment_for_a_silent_store_and_no_longer() {
    let rig = Rig::new();
    rig.keep(row(1, 7, 1));
    let session = rig.neighbours.session(id(1), key(7)).await.unwrap();
    let ends = session.lease_ends();
    let mut tunnel = session.register_tunnel().unwrap();
    let stop = rig.follow();
    rig.store.hang();
    assert_eq!(tunnel.cut().await, EndReason::LeaseLapsed);
    let late = Instant::now() - ends;
    assert!(late <= LAPSE_TO_CUT, "{late:?}");
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_tells_what_is_enforced_and_held() {
    let rig = Rig::new();
    let (one, two) = (rig.sessions.admit(rig.admission(1, 1), Instant::now()), rig.admission(2, 1));
    let session = one.unwrap().session;
    let tunnels = [(); 3].map(|()| session.register_tunnel().unwrap());
    rig.sessions.admit(two, Instant::now()).unwrap();
    let identity = ReplicaIdentity { id: ReplicaId::from_bytes([5; 16]), name: "five".into() };
    let beat = Heartbeat::new(
        Arc::clone(&rig.store) as _,
        identity,
        rig.handle.clone(),
        rig.sessions.clone(),
        "key".into(),
    );
    let beating = tokio::spawn(beat.run(rig.stop.clone()));
    rig.beats(1).await;
    {
        let says = rig.store.says();
        let first = &says.beats[0];
        assert_eq!((first.id, first.name.as_str(), first.epoch), ([5; 16], "five", Epoch(1)));
        assert_eq!((first.sessions, first.tunnels, first.stopped), (2, 3, None));
        assert_eq!(first.load.len(), 1, "sessions without tunnels lose nothing");
        assert_eq!((first.load[0].sessions, first.load[0].tunnels), (1, 3));
        assert_eq!((first.load[0].workload.as_str(), first.load[0].measurement.as_str()), ("demo", "v1"));
    }
    // At once when a policy is enforced, not at the next second.
    let cut = Instant::now();
    rig.handle.enforce(Epoch(2));
    rig.beats(2).await;
    assert_eq!(rig.store.says().beats[1].epoch, Epoch(2));
    assert!(cut.elapsed() <= Duration::from_millis(1), "{:?}", cut.elapsed());
    sleep(Duration::from_millis(10_500)).await;
    assert_eq!(rig.store.says().beats.len(), 12, "one each second");
    rig.stop.cancel();
    beating.await.unwrap();
    assert!(rig.store.says().beats.last().unwrap().stopped.is_some());
    drop(tunnels);
}

struct Rig {
    store: Arc<FakeStore>,
    handle: PolicyHandle,
    sessions: Sessions,
    neighbours: Neighbours,
    stop: CancellationToken,
}

impl Rig {
    fn new() -> Self {
        Self::with(policy(1, &[("v1", 1, MeasurementState::Active, 1)]))
    }

    fn with(stored: StoredPolicy) -> Self {
        let handle = PolicyHandle::new(Policy::from_store(&stored, UnixMs::now()).unwrap());
        let sessions = Sessions::new(SessionsLimits { max_sessions: 100, max_per_instance: 100 });
        let store = FakeStore::new(stored);
        let neighbours = Neighbours::new(Arc::clone(&store) as _, handle.clone(), sessions.clone());
        Self { store, handle, sessions, neighbours, stop: CancellationToken::new() }
    }

    fn keep(&self, row: SessionRow) {
        self.store.says().sessions.insert(row.id, row);
    }

    fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        self.store.says().meanwhile = Some(Box::new(happens));
    }

    fn admission(&self, of: u8, sequence: u64) -> Admission {
        Admission {
            workload: self.handle.workload(&"demo".parse().unwrap()).unwrap(),
            measurement: "v1".into(),
            key: key(of),
            boot_id: BootId::from_bytes([1; 16]),
            sequence,
            lease: Lease::from_secs(60).unwrap(),
            epoch: Epoch(1),
            instance: None,
        }
    }

    fn leases(&self) -> Arc<Leases> {
        Arc::new(Leases::new(Arc::clone(&self.store) as _, self.handle.clone(), self.sessions.clone()))
    }

    /// The lease loop and the lapse loop, as a replica runs them.
    fn follow(&self) -> CancellationToken {
        let leases = self.leases();
        tokio::spawn(Leases::clone(&leases).run(self.stop.clone()));
        tokio::spawn(self.sessions.clone().lapse_loop(leases, self.stop.clone()));
        self.stop.clone()
    }

    /// Time passes, and the store answers meanwhile.
    async fn advance(&self, time: Duration) {
        advance(time).await;
        self.handle.seen(Instant::now());
    }

    async fn beats(&self, count: usize) {
        while self.store.says().beats.len() < count {
            tokio::task::yield_now().await;
        }
    }
}

/// With each lookup the policy changes, to no session's harm.
fn change_again(store: &Arc<FakeStore>, handle: &PolicyHandle, epoch: u64) {
    let (again, handle) = (Arc::clone(store), handle.clone());
    store.says().meanwhile = Some(Box::new(move || {
        let stored = policy(epoch, &[("v1", 1, MeasurementState::Active, 1)]);
        handle.replace(Arc::new(Policy::from_store(&stored, UnixMs::now()).unwrap()));
        change_again(&again, &handle, epoch + 1);
    }));
}

/// The wall clock stands still while the test's goes on: what the store keeps must not lapse by it.
fn far(mut row: SessionRow) -> SessionRow {
    row.lease_ends.0 += 600_000;
    row
}

fn id(byte: u8) -> SessionId {
    SessionId::from_bytes([byte; 16])
}

fn key(byte: u8) -> KeyThumbprint {
    KeyThumbprint::from_bytes([byte; 32])
}

/// The promise of DESIGN.md.
const LAPSE_TO_CUT: Duration = Duration::from_millis(250);
