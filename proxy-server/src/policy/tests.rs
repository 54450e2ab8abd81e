//! The watcher beside a store that the test drives, and what a policy is made of.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, SessionId};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    fake::{FakeStore, destination, pcrs, policy},
    *,
};
use crate::{
    config::{MeasurementState, WhenStale},
    session::{Admission, EndReason, Sessions, SessionsLimits, TunnelPermit},
    store::{EndedSession, StoredMeasurement, StoredPolicy, UnixMs},
};

#[tokio::test(start_paused = true)]
async fn a_revocation_by_another_process_is_in_force_and_cuts_within_a_poll() {
    let run = Run::start(policy(
        1,
        &[("v1", 1, MeasurementState::Active, 1), ("v2", 2, MeasurementState::Active, 1)],
    ));
    let (hit, spared) = (run.admit(1, "v1"), run.admit(2, "v2"));
    let mut tunnel = run.sessions.find(&hit).unwrap().register_tunnel().unwrap();

    let mut next =
        policy(2, &[("v1", 1, MeasurementState::Revoked, 2), ("v2", 2, MeasurementState::Active, 1)]);
    next.tombstones = vec![(pcrs(&[(0, 1), (1, 1), (2, 1)]), "demo/v1".into())];
    let committed = Instant::now();
    run.store.set(next);
    assert_eq!(tunnel.cut().await, EndReason::MeasurementRevoked);
    assert!(committed.elapsed() <= Duration::from_millis(100), "{:?}", committed.elapsed());
    assert_eq!(run.handle.epoch(), Epoch(2));
    assert!(run.sessions.find(&spared).is_some());
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sessions_end_when_what_admitted_them_is_no_more() {
    let before = policy(1, &[("v1", 1, MeasurementState::Active, 1)]);
    let mut without_workload = policy(2, &[]);
    without_workload.workloads.clear();
    let mut narrower = policy(2, &[("v1", 1, MeasurementState::Active, 1)]);
    narrower.workloads[0].destinations = Default::default();
    let mut wider = policy(2, &[("v1", 1, MeasurementState::Active, 1)]);
    wider.workloads[0].destinations =
        ["a.example:443", "b.example:443"].map(destination).into_iter().collect();
    let mut slower = policy(2, &[("v1", 1, MeasurementState::Active, 1)]);
    slower.workloads[0].limits.max_bytes_per_second = NonZeroU64::new(100_000);
    let pending = policy(2, &[("v1", 1, MeasurementState::Pending, 2)]);
    let other_pcrs = policy(2, &[("v1", 9, MeasurementState::Active, 2)]);
    // Another measurement was revoked that differs only in a PCR which v1 leaves open.
    let mut near = policy(2, &[("v1", 1, MeasurementState::Active, 1)]);
    near.tombstones = vec![(pcrs(&[(0, 1), (1, 1), (2, 1), (8, 7)]), "demo/signed".into())];
    let mut far = policy(2, &[("v1", 1, MeasurementState::Active, 1)]);
    far.tombstones = vec![(pcrs(&[(0, 5), (1, 5), (2, 5)]), "demo/old".into())];

    for (what, next, ends) in [
        ("the workload left", without_workload, Some(EndReason::WorkloadRemoved)),
        ("a destination left", narrower, Some(EndReason::RulesChanged)),
        ("a destination came", wider, None),
        ("its bytes became fewer", slower, Some(EndReason::RulesChanged)),
        ("the measurement is pending", pending, Some(EndReason::MeasurementRevoked)),
        ("the name means other PCRs", other_pcrs, Some(EndReason::MeasurementRevoked)),
        ("the session might have matched what was revoked", near, Some(EndReason::MeasurementRevoked)),
        ("it cannot have", far, None),
    ] {
        let run = Run::start(before.clone());
        let session = run.sessions.find(&run.admit(1, "v1")).unwrap();
        run.store.set(next);
        run.poll().await;
        assert_eq!(run.handle.epoch(), Epoch(2), "{what}");
        assert_eq!(session.ended(), ends, "{what}");
        run.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_epoch_is_never_followed_and_admits_nothing_new() {
    let run = Run::start(policy(7, &[("v1", 1, MeasurementState::Active, 1)]));
    let session = run.admit(1, "v1");
    run.store.set(policy(3, &[]));
    tokio::time::sleep(PolicyHandle::STALE_AFTER + Duration::from_millis(100)).await;
    assert_eq!(run.handle.epoch(), Epoch(7));
    assert!(run.handle.is_stale());
    assert!(run.sessions.find(&session).is_some(), "what stands is left to its lease");
    run.store.set(policy(8, &[("v1", 1, MeasurementState::Active, 1)]));
    run.poll().await;
    assert_eq!((run.handle.epoch(), run.handle.is_stale()), (Epoch(8), false));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_makes_the_policy_stale_until_it_answers() {
    let run = Run::start(policy(1, &[]));
    run.poll().await;
    assert!(!run.handle.is_stale());
    run.store.fail(true);
    tokio::time::sleep(PolicyHandle::STALE_AFTER + Duration::from_millis(100)).await;
    assert!(run.handle.is_stale());
    run.store.fail(false);
    run.poll().await;
    assert!(!run.handle.is_stale());
    run.stop().await;
}

#[test]
fn a_revoked_set_denies_whatever_else_would_allow() {
    let mut stored =
        policy(1, &[("v1", 1, MeasurementState::Active, 1), ("v2", 2, MeasurementState::Active, 1)]);
    stored.measurements.push(StoredMeasurement {
        pcrs: pcrs(&[(0, 1), (1, 1), (2, 1), (8, 3)]),
        ..stored.measurements[0].clone()
    });
    stored.measurements[2].name = "v1-signed".into();
    stored.tombstones = vec![(pcrs(&[(0, 1), (1, 1), (2, 1)]), "demo/v1".into())];
    let policy = Policy::from_store(&stored, UnixMs(0)).unwrap();
    assert_eq!(policy.references().len(), 1, "v1 and v1-signed both match the revoked set");
    assert!(policy.admitting("demo/v2").is_some());
    let claimed = pcrs(&[(0, 1), (1, 1), (2, 1), (3, 9), (8, 3)]);
    assert_eq!(policy.revocation(&claimed), Some("demo/v1"));
    assert!(policy.knows_image(&claimed), "a revoked image is told so, not called unknown");
    assert_eq!(policy.revocation(&pcrs(&[(0, 1), (1, 1), (2, 4)])), None);
    assert!(!policy.knows_image(&pcrs(&[(0, 4), (1, 1), (2, 1)])));
}

#[test]
fn an_empty_policy_knows_nobody() {
    let policy = Policy::default();
    assert!(policy.references().is_empty());
    assert!(!policy.knows_image(&pcrs(&[(0, 1), (1, 1), (2, 1)])));
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_followed_at_once() {
    let run = Run::start(one(1));
    run.poll().await;
    let mut tunnel = run.tunnel(1);
    let mut next = one(2);
    next.measurements[0].state = MeasurementState::Revoked;
    run.store.set(next);
    let committed = Instant::now();
    run.store.hint();
    assert_eq!(tunnel.cut().await, EndReason::MeasurementRevoked);
    assert!(committed.elapsed() <= Duration::from_millis(10), "{:?}", committed.elapsed());
    run.stop().await;
}

/// A watch that is closed is ready for ever: it must not become a loop.
#[tokio::test(start_paused = true)]
async fn hints_that_come_all_the_time_are_looked_at_with_pauses() {
    let run = Run::start(one(1));
    let before = Instant::now();
    for _ in 0..1000 {
        run.store.hint();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(before.elapsed(), Duration::from_secs(1));
    let looks = run.store.looks();
    assert!((90..=130).contains(&looks), "{looks} looks in a second");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn measurements_count_inside_their_time_only() {
    let mut stored = one(1);
    stored.measurements[0].expires = Some(UnixMs(2_000));
    stored.measurements.push(StoredMeasurement {
        name: "v2".into(),
        pcrs: pcrs(&[(0, 2), (1, 2), (2, 2)]),
        not_before: Some(UnixMs(3_000)),
        expires: None,
        ..stored.measurements[0].clone()
    });
    let run = Run::start(stored);
    let session = run.sessions.find(&run.admit(1, "v1")).unwrap();
    let admits = |name: &str| run.handle.current().admitting(&format!("demo/{name}")).is_some();
    for (now, v1, v2, ended) in [
        (1_999, true, false, None),
        (2_000, false, false, Some(EndReason::MeasurementExpired)),
        (2_999, false, false, Some(EndReason::MeasurementExpired)),
        (3_000, false, true, Some(EndReason::MeasurementExpired)),
        // The clock was wrong, and is put right.
        (1_000, true, false, Some(EndReason::MeasurementExpired)),
    ] {
        run.clock.store(now, Ordering::SeqCst);
        run.poll().await;
        assert_eq!((admits("v1"), admits("v2")), (v1, v2), "{now}");
        assert_eq!(session.ended(), ended, "{now}");
    }
    assert_eq!(run.handle.epoch(), Epoch(1), "nobody changed anything");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_measurement_expires_though_the_store_is_silent() {
    let mut stored = one(1);
    stored.measurements[0].expires = Some(UnixMs(1_000));
    let run = Run::start(stored);
    let mut tunnel = run.tunnel(1);
    run.store.fail(true);
    run.clock.store(1_000, Ordering::SeqCst);
    assert_eq!(tunnel.cut().await, EndReason::MeasurementExpired);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_an_administrator_ended_ends_here_and_no_other() {
    let run = Run::start(one(1));
    let (ended, spared) = (run.admit(1, "v1"), run.admit(2, "v1"));
    let session = run.sessions.find(&ended).unwrap();
    let end = EndedSession { id: ended, epoch: Epoch(2), reason: "a test".into() };
    run.store.says().ended.push(end);
    run.store.set(one(2));
    run.poll().await;
    assert_eq!(session.ended(), Some(EndReason::EndedByAdmin));
    assert!(run.sessions.find(&spared).is_some());
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_enforced_when_the_last_tunnel_has_let_go() {
    let run = Run::start(one(1));
    assert_eq!(run.handle.enforced(), Epoch(1), "nothing is open that it could cut");
    let mut stuck = run.tunnel(1);
    let gone = run.tunnel(2);
    let mut enforcement = run.handle.enforcement();
    let mut next = one(2);
    next.measurements[0].state = MeasurementState::Revoked;
    run.store.set(next);
    assert_eq!(stuck.cut().await, EndReason::MeasurementRevoked);
    drop(gone);
    run.poll().await;
    assert_eq!((run.handle.epoch(), run.handle.enforced()), (Epoch(2), Epoch(1)), "in force, not enforced");

    // A laggard stays one, however long it takes, and does not hold up what comes later.
    tokio::time::sleep(Duration::from_secs(5)).await;
    run.store.set(one(3));
    run.poll().await;
    assert_eq!((run.handle.epoch(), run.handle.enforced()), (Epoch(3), Epoch(1)));
    assert!(!enforcement.has_changed().unwrap());
    drop(stuck);
    enforcement.changed().await.unwrap();
    assert_eq!(run.handle.enforced(), Epoch(3));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_strict_replica_cuts_what_a_silent_store_cannot_revoke() {
    let run = Run::start(one(1));
    let guarding = tokio::spawn(guard(
        run.handle.clone(),
        run.sessions.clone(),
        WhenStale::Strict,
        run.shutdown.clone(),
    ));
    let mut tunnel = run.tunnel(1);
    run.poll().await;
    run.store.hang();
    let silent = Instant::now();
    assert_eq!(tunnel.cut().await, EndReason::StoreUnreachable);
    // The last answer was at the most one poll before.
    let took = silent.elapsed();
    assert!(took <= CUT_AFTER && took >= CUT_AFTER - Duration::from_millis(150), "{took:?}");
    assert!(run.sessions.is_empty());
    // What was on its way in meanwhile does not stay.
    let mut late = run.tunnel(2);
    assert_eq!(late.cut().await, EndReason::StoreUnreachable);
    run.stop().await;
    guarding.await.unwrap();
}

/// A machine that was paused for a minute: its store was never silent.
#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_asks_before_it_cuts() {
    for (answers, ended) in [(true, None), (false, Some(EndReason::StoreUnreachable))] {
        let run = Run::start(one(1));
        let guarding = tokio::spawn(guard(
            run.handle.clone(),
            run.sessions.clone(),
            WhenStale::Strict,
            run.shutdown.clone(),
        ));
        let session = run.sessions.find(&run.admit(1, "v1")).unwrap();
        run.poll().await;
        run.store.fail(!answers);
        tokio::time::advance(Duration::from_secs(60)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(session.ended(), ended);
        run.stop().await;
        guarding.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn best_effort_leaves_tunnels_to_their_lease_and_a_short_silence_cuts_nothing() {
    for (when, silence) in [
        (WhenStale::BestEffort, Duration::from_secs(60)),
        (WhenStale::Strict, CUT_AFTER - Duration::from_millis(200)),
    ] {
        let run = Run::start(one(1));
        let guarding =
            tokio::spawn(guard(run.handle.clone(), run.sessions.clone(), when, run.shutdown.clone()));
        let tunnel = run.tunnel(1);
        run.poll().await;
        run.store.fail(true);
        tokio::time::sleep(silence).await;
        assert!(run.handle.is_stale(), "nothing new is admitted either way");
        run.store.fail(false);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(tunnel.still_allowed().is_ok(), "{when:?}");
        run.stop().await;
        guarding.await.unwrap();
    }
}

struct Run {
    store: Arc<FakeStore>,
    handle: PolicyHandle,
    sessions: Sessions,
    shutdown: CancellationToken,
    watching: JoinHandle<()>,
    clock: Arc<AtomicI64>,
}

impl Run {
    fn start(stored: StoredPolicy) -> Self {
        let clock = Arc::new(AtomicI64::new(0));
        let handle = PolicyHandle::new(Policy::from_store(&stored, UnixMs(0)).unwrap());
        let sessions = Sessions::new(SessionsLimits { max_sessions: 10, max_per_instance: 10 });
        let store = FakeStore::new(stored.clone());
        let shutdown = CancellationToken::new();
        let now = Arc::clone(&clock);
        let watcher = Watcher::new(Arc::clone(&store) as _, stored, handle.clone(), sessions.clone())
            .with_clock(move || UnixMs(now.load(Ordering::SeqCst)));
        let watching = tokio::spawn(watcher.run(shutdown.clone()));
        Self { store, handle, sessions, shutdown, watching, clock }
    }

    fn admit(&self, key: u8, measurement: &str) -> SessionId {
        let admission = Admission {
            workload: self.handle.workload(&"demo".parse().unwrap()).unwrap(),
            measurement: measurement.into(),
            key: KeyThumbprint::from_bytes([key; 32]),
            boot_id: BootId::from_bytes([1; 16]),
            sequence: 1,
            lease: Lease::MAX,
            epoch: self.handle.epoch(),
            instance: None,
        };
        self.sessions.admit(admission, Instant::now()).unwrap().session.id()
    }

    fn tunnel(&self, key: u8) -> TunnelPermit {
        self.sessions.find(&self.admit(key, "v1")).unwrap().register_tunnel().unwrap()
    }

    async fn poll(&self) {
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.watching.await.unwrap();
    }
}

/// A policy with the measurement `v1`, active since epoch 1.
fn one(epoch: u64) -> StoredPolicy {
    policy(epoch, &[("v1", 1, MeasurementState::Active, 1)])
}
