//! The watcher beside a store that the test drives, and what a policy is made of.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign_protocol::{BootId, Destination, Epoch, KeyThumbprint, Lease, LeaseBounds, SessionId};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    config::{AuditRetention, MeasurementState, WorkloadSpec},
    session::{Admission, EndReason, Sessions, SessionsLimits},
    store::{
        Actor, Answer, Appended, AuditFilter, AuditPage, AuditRow, AuditStore, Batch, ChainRow,
        ChangeRequest, Changed, CheckpointRow, Committed, EndedSession, MeasurementFilter, MeasurementRow,
        Page, Paged, PolicyStore, ReplicaRow, ReplicaStore, Seeded, SessionFilter, SessionRow, SessionStore,
        Store, StoreError, StoredMeasurement, StoredPolicy, TokenRow, TokenStore, TombstoneRow, UnixMs,
        Visible, WorkloadRow,
    },
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
    let policy = Policy::from_store(stored).unwrap();
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

struct Run {
    store: Arc<FakeStore>,
    handle: PolicyHandle,
    sessions: Sessions,
    shutdown: CancellationToken,
    watching: JoinHandle<()>,
}

impl Run {
    fn start(stored: StoredPolicy) -> Self {
        let handle = PolicyHandle::new(Policy::from_store(stored.clone()).unwrap());
        let sessions = Sessions::new(SessionsLimits { max_sessions: 10 });
        let store = Arc::new(FakeStore(Mutex::new((stored, false))));
        let shutdown = CancellationToken::new();
        let watcher = Watcher::new(Arc::clone(&store) as Arc<dyn Store>, handle.clone(), sessions.clone());
        let watching = tokio::spawn(watcher.run(shutdown.clone()));
        Self { store, handle, sessions, shutdown, watching }
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
        };
        self.sessions.admit(admission, Instant::now()).unwrap().session.id()
    }

    async fn poll(&self) {
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.watching.await.unwrap();
    }
}

/// The policy it gives, and whether it fails instead.
struct FakeStore(Mutex<(StoredPolicy, bool)>);

impl FakeStore {
    fn set(&self, stored: StoredPolicy) {
        self.0.lock().unwrap().0 = stored;
    }

    fn fail(&self, fails: bool) {
        self.0.lock().unwrap().1 = fails;
    }

    fn answer(&self) -> Result<StoredPolicy, StoreError> {
        let (stored, fails) = &*self.0.lock().unwrap();
        let source = sqlx::Error::PoolTimedOut;
        if *fails { Err(StoreError::Statement { doing: "answer", source }) } else { Ok(stored.clone()) }
    }
}

impl PolicyStore for FakeStore {
    fn committed(&self) -> Answer<'_, Committed> {
        Box::pin(async { self.answer().map(|stored| stored.committed) })
    }

    fn load(&self) -> Answer<'_, StoredPolicy> {
        Box::pin(async { self.answer() })
    }

    fn hints(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    fn ended_since(&self, _: Epoch) -> Answer<'_, Vec<EndedSession>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn seed<'a>(&'a self, _: &'a [WorkloadSpec], _: UnixMs) -> Answer<'a, Seeded> {
        unreachable!("the watcher only reads the policy")
    }

    fn change(&self, _: ChangeRequest) -> Answer<'_, Changed> {
        unreachable!("the watcher only reads the policy")
    }

    fn workloads<'a>(&'a self, _: &'a Visible, _: Page) -> Answer<'a, Paged<WorkloadRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn workload<'a>(&'a self, _: &'a str) -> Answer<'a, Option<WorkloadRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn measurements<'a>(
        &'a self,
        _: &'a Visible,
        _: &'a MeasurementFilter,
        _: Page,
    ) -> Answer<'a, Paged<MeasurementRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn measurement<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Option<MeasurementRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn tombstones<'a>(&'a self, _: &'a Visible, _: Page) -> Answer<'a, Paged<TombstoneRow>> {
        unreachable!("the watcher only reads the policy")
    }
}

impl SessionStore for FakeStore {
    fn append(&self, _: Batch) -> Answer<'_, Appended> {
        unreachable!("the watcher only reads the policy")
    }

    fn sessions(&self, _: UnixMs) -> Answer<'_, Vec<SessionRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn session_page<'a>(
        &'a self,
        _: &'a Visible,
        _: &'a SessionFilter,
        _: Page,
        _: UnixMs,
    ) -> Answer<'a, Paged<SessionRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn sessions_by_id<'a>(&'a self, _: &'a [SessionId], _: UnixMs) -> Answer<'a, Vec<SessionRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn session_by_key(&self, _: KeyThumbprint, _: UnixMs) -> Answer<'_, Option<SessionRow>> {
        unreachable!("the watcher only reads the policy")
    }
}

impl ReplicaStore for FakeStore {
    fn heartbeat<'a>(&'a self, _: &'a ReplicaRow) -> Answer<'a, ()> {
        unreachable!("the watcher only reads the policy")
    }

    fn replicas(&self, _: UnixMs) -> Answer<'_, Vec<ReplicaRow>> {
        unreachable!("the watcher only reads the policy")
    }
}

impl TokenStore for FakeStore {
    fn add_token<'a>(&'a self, _: &'a TokenRow, _: &'a Actor) -> Answer<'a, ()> {
        unreachable!("the watcher only reads the policy")
    }

    fn token_by_hash(&self, _: [u8; 32]) -> Answer<'_, Option<TokenRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn tokens(&self, _: Page) -> Answer<'_, Paged<TokenRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn revoke_token<'a>(&'a self, _: [u8; 16], _: &'a Actor, _: UnixMs) -> Answer<'a, ()> {
        unreachable!("the watcher only reads the policy")
    }

    fn touch_token(&self, _: [u8; 16], _: UnixMs) -> Answer<'_, ()> {
        unreachable!("the watcher only reads the policy")
    }
}

impl AuditStore for FakeStore {
    fn audit<'a>(&'a self, _: &'a Visible, _: &'a AuditFilter, _: Page) -> Answer<'a, AuditPage> {
        unreachable!("the watcher only reads the policy")
    }

    fn chains(&self) -> Answer<'_, Vec<ChainRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn chain_rows<'a>(&'a self, _: &'a str, _: u64, _: u32) -> Answer<'a, Vec<AuditRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn checkpoints<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<CheckpointRow>> {
        unreachable!("the watcher only reads the policy")
    }

    fn checkpoint(&self, _: UnixMs) -> Answer<'_, ()> {
        unreachable!("the watcher only reads the policy")
    }
}

impl Store for FakeStore {
    fn tidy(&self) -> Answer<'_, ()> {
        unreachable!("the watcher only reads the policy")
    }

    fn prune(&self, _: AuditRetention, _: UnixMs) -> Answer<'_, u64> {
        unreachable!("the watcher only reads the policy")
    }
}

/// One workload, `demo`; each measurement has its byte in PCR0, 1 and 2.
fn policy(epoch: u64, measurements: &[(&str, u8, MeasurementState, u64)]) -> StoredPolicy {
    let workload = Workload {
        name: "demo".parse().unwrap(),
        destinations: [destination("a.example:443")].into_iter().collect(),
        addresses: Vec::new(),
        lease_bounds: LeaseBounds::default(),
        limits: Limits::default(),
    };
    let measurements = measurements.iter().map(|(name, byte, state, epoch)| StoredMeasurement {
        workload: "demo".into(),
        name: (*name).into(),
        pcrs: pcrs(&[(0, *byte), (1, *byte), (2, *byte)]),
        state: *state,
        epoch: Epoch(*epoch),
        not_before: None,
        expires: None,
    });
    StoredPolicy {
        committed: Committed { epoch: Epoch(epoch), at: UnixMs(0) },
        workloads: vec![workload],
        measurements: measurements.collect(),
        tombstones: Vec::new(),
    }
}

fn pcrs(values: &[(u64, u8)]) -> PcrSet {
    let mut set = PcrSet::EMPTY;
    for (index, byte) in values {
        set.insert(PcrIndex::new(*index).unwrap(), Pcr::new([*byte; 48])).unwrap();
    }
    set
}

fn destination(text: &str) -> Destination {
    text.parse().unwrap()
}
