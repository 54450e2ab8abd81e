//! The desk over a real store and a real registry, with a stand-in for STS alone.

use std::{
    future::poll_fn,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, SystemTime},
};

use countersign_protocol::{BootId, Lease, LeaseBounds, SessionId};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};
use rcgen::{KeyPair, PublicKeyData};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::*;
use crate::{
    ca::ClientKey,
    config::{MeasurementSpec, MeasurementState, WorkloadSpec},
    policy::{Limits, Policy, PolicyHandle, Workload, WorkloadName},
    refusal::Refused,
    replica::Elsewhere,
    session::{Admission, EndReason, Sessions, SessionsLimits},
    store::{AuditWriter, Journal, Missing, PolicyStore, SqlStore, StoreConfig, UnixMs},
};

#[tokio::test]
async fn a_session_is_given_credentials_once_and_the_audit_has_them() {
    let world = World::start("once").await;
    let (key, session) = world.admit("payments");
    let mut asking = JoinSet::new();
    for number in 0..50 {
        let desk = world.desk.clone();
        asking.spawn(async move { desk.issue(&key, session, &format!("r{number}")).await });
    }
    world.sts.let_through(1);
    let given: Vec<_> = asking.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(world.sts.calls(), 1);
    assert!(given.iter().all(|issued| issued.access_key_id() == given[0].access_key_id()));
    assert_eq!(world.rows("credentials").await, ["credentials issued 1"]);

    let asked = world.sts.asked().await;
    assert_eq!(asked.session_name(), format!("countersign-{session}"));
    let tags = asked.tags().map(|(key, value)| format!("{key}={value}"));
    let pcr0 = "a1".repeat(48);
    assert_eq!(
        tags,
        [
            "countersign-workload=payments".to_owned(),
            "countersign-measurement=v1".to_owned(),
            format!("countersign-pcr0={pcr0}"),
        ]
    );
    assert_eq!((asked.role.arn.as_str(), asked.role.duration.as_secs()), (ROLE, 900));
}

/// STS limits: 64 characters of a session's name, 256 of a tag's value.
#[tokio::test]
async fn the_longest_names_fit_what_sts_takes() {
    let longest = "w".repeat(WorkloadName::MAX);
    let assumption = Assumption {
        role: role(),
        session: SessionId::from_bytes([0xff; 16]),
        workload: longest.parse().unwrap(),
        measurement: longest.as_str().into(),
        pcr0: pcr("a1"),
    };
    assert!(assumption.session_name().len() <= 64);
    for (key, value) in assumption.tags() {
        assert!(key.len() <= 128 && (1..=256).contains(&value.len()), "{key}={value}");
    }
}

#[tokio::test]
async fn nobody_gets_what_is_not_theirs() {
    let world = World::start("strangers").await;
    let (key, session) = world.admit("payments");
    let stranger = client_key();
    let issue = async |key: &ClientKey, session| refused(world.desk.issue(key, session, "r").await);
    assert_eq!(issue(&stranger, session).await, (401, "key-mismatch"));
    assert_eq!(issue(&key, SessionId::from_bytes([9; 16])).await, (401, "no-session"));
    let (other, of_other) = world.admit("reports");
    assert_eq!(issue(&other, of_other).await, (403, "credentials-not-offered"));
    world.sessions.end(&session, EndReason::LeaseLapsed);
    assert_eq!(issue(&key, session).await, (401, "lease-lapsed"));
    let (key, session) = world.admit("payments");
    world.sessions.end(&session, EndReason::MeasurementRevoked);
    assert_eq!(issue(&key, session).await, (403, "measurement-revoked"));
    assert_eq!(world.sts.calls(), 0);
}

/// The lapse loop need not have come by.
#[tokio::test]
async fn a_lease_that_is_over_is_over() {
    let world = World::start("over").await;
    let long_ago = Instant::now().checked_sub(Duration::from_secs(31)).unwrap();
    let (key, session) = world.admit_at("payments", long_ago);
    assert_eq!(refused(world.desk.issue(&key, session, "r").await), (401, "lease-lapsed"));
}

/// Whoever hangs up leaves a task behind, which counts until it is over.
#[tokio::test]
async fn hanging_up_makes_no_room_for_more() {
    let world = World::start("hung-up").await;
    let (key, session) = world.admit("payments");
    let mut left = 0;
    let answer = loop {
        let mut asking = Box::pin(world.desk.issue(&key, session, "r"));
        match poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx))).await {
            Poll::Pending => left += 1,
            Poll::Ready(answer) => break answer,
        }
        assert!(left < 2000, "nobody counts those that hung up");
    };
    assert_eq!((refused(answer), left), ((503, "overloaded"), 1024));
}

#[tokio::test]
async fn what_is_kept_is_given_no_more_once_the_measurement_is_revoked() {
    let world = World::start("revoked").await;
    let (key, session) = world.admit("payments");
    world.sts.let_through(1);
    world.desk.issue(&key, session, "r").await.unwrap();
    // In force, and the watcher has not ended the session yet.
    world.policy.replace(Arc::new(Policy::default()));
    assert_eq!(refused(world.desk.issue(&key, session, "r").await), (401, "session-ended"));
    world.sessions.end(&session, EndReason::MeasurementRevoked);
    assert_eq!(refused(world.desk.issue(&key, session, "r").await), (403, "measurement-revoked"));
    assert_eq!(world.desk.kept(), 1);
    world.desk.tidy();
    assert_eq!(world.desk.kept(), 0);
}

#[tokio::test]
async fn a_revocation_while_sts_answers_wins() {
    let world = World::start("race").await;
    let (key, session) = world.admit("payments");
    let desk = world.desk.clone();
    let asking = tokio::spawn(async move { desk.issue(&key, session, "r").await });
    world.sts.asked_times(1).await;
    world.sessions.end(&session, EndReason::MeasurementRevoked);
    world.sts.let_through(1);
    assert_eq!(refused(asking.await.unwrap()), (403, "measurement-revoked"));
    assert_eq!(world.rows("credentials").await, [""; 0]);
}

#[tokio::test]
async fn no_row_no_credentials() {
    let mut world = World::start("no-row").await;
    let (key, session) = world.admit("payments");
    world.writer.abort();
    assert!((&mut world.writer).await.unwrap_err().is_cancelled());
    world.sts.let_through(2);
    assert_eq!(refused(world.desk.issue(&key, session, "r").await), (500, "internal"));
    assert_eq!(refused(world.desk.issue(&key, session, "r").await), (503, "credentials-unavailable"));
    assert_eq!(world.sts.calls(), 1, "left alone for a moment");
}

#[tokio::test]
async fn an_sts_that_fails_is_left_alone_and_its_reason_stays_here() {
    let world = World::start("fails").await;
    let (key, session) = world.admit("payments");
    world.sts.fails.store(1, Ordering::SeqCst);
    world.sts.let_through(1);
    let error = world.desk.issue(&key, session, "r").await.unwrap_err();
    assert_eq!((error.status(), error.code()), (503, "credentials-unavailable"));
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    assert!(!error.problem("r").detail.contains("AccessDenied"), "{}", error.problem("r").detail);
    for _ in 0..10 {
        assert_eq!(refused(world.desk.issue(&key, session, "r").await), (503, "credentials-unavailable"));
    }
    assert_eq!(world.sts.calls(), 1);
}

#[tokio::test]
async fn an_asker_that_goes_away_wastes_nothing() {
    let world = World::start("gone").await;
    let (key, session) = world.admit("payments");
    let desk = world.desk.clone();
    let asking = tokio::spawn(async move { desk.issue(&key, session, "gone").await });
    world.sts.asked_times(1).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    world.sts.let_through(1);
    world.desk.issue(&key, session, "stays").await.unwrap();
    assert_eq!(world.sts.calls(), 1);
}

#[tokio::test]
async fn sts_is_asked_for_so_many_sessions_at_a_time() {
    let world = World::start("bounded").await;
    let mut asking = JoinSet::new();
    for _ in 0..40 {
        let (desk, (key, session)) = (world.desk.clone(), world.admit("payments"));
        asking.spawn(async move { desk.issue(&key, session, "r").await });
    }
    world.sts.asked_times(16).await;
    world.sts.let_through(40);
    assert_eq!(asking.join_all().await.into_iter().filter(Result::is_ok).count(), 40);
    assert_eq!((world.sts.calls(), world.sts.most.load(Ordering::SeqCst)), (40, 16));
}

#[test]
fn debug_hides_the_secrets() {
    let issued = credentials("ASIAEXAMPLE");
    let text = format!("{issued:?}");
    assert_eq!(text, "Issued(\"ASIAEXAMPLE\")");
}

/// Everything around a desk, in a directory of its own.
struct World {
    desk: Desk,
    sts: Arc<FakeSts>,
    sessions: Sessions,
    policy: PolicyHandle,
    store: SqlStore,
    writer: JoinHandle<()>,
    fresh: JoinHandle<()>,
    directory: PathBuf,
}

impl World {
    async fn start(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("countersign-credentials-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let place = StoreConfig::Sqlite { directory: directory.clone() };
        let store = SqlStore::open(&place, AuditWriter::unnamed(), Missing::Make).await.unwrap();
        store.seed(&[spec("payments", "a1"), spec("reports", "b2")], UnixMs::now()).await.unwrap();
        let loaded = Policy::from_store(&store.load().await.unwrap(), UnixMs::now()).unwrap();
        let policy = PolicyHandle::new(loaded);
        let sessions = Sessions::new(SessionsLimits { max_sessions: 100, max_per_instance: 100 });
        let (journal, writer) = Journal::start(Arc::new(store.clone()));
        let sts = Arc::new(FakeSts::default());
        let desk = Desk::new(DeskParts {
            roles: Roles::from([("payments".parse().unwrap(), role())]),
            sts: Arc::clone(&sts) as _,
            policy: policy.clone(),
            sessions: sessions.clone(),
            elsewhere: Elsewhere::Nowhere,
            journal,
        });
        let answering = policy.clone();
        let fresh = tokio::spawn(async move {
            loop {
                answering.seen(Instant::now());
                tokio::time::sleep(PolicyHandle::STALE_AFTER / 8).await;
            }
        });
        Self { desk, sts, sessions, policy, store, writer, fresh, directory }
    }

    fn admit(&self, workload: &str) -> (ClientKey, SessionId) {
        self.admit_at(workload, Instant::now())
    }

    fn admit_at(&self, workload: &str, now: Instant) -> (ClientKey, SessionId) {
        let key = client_key();
        let policy = self.policy.current();
        let admission = Admission {
            workload: Arc::clone(&policy.workloads[&workload.parse().unwrap()]),
            measurement: "v1".into(),
            key: key.thumbprint(),
            boot_id: BootId::from_bytes([5; 16]),
            sequence: 1,
            lease: Lease::MIN,
            epoch: policy.epoch,
            instance: None,
        };
        (key, self.sessions.admit(admission, now).unwrap().session.id())
    }

    /// Audit rows of one kind.
    async fn rows(&self, kind: &str) -> Vec<String> {
        let mut rows = self.store.audit_for_tests().await;
        rows.retain(|row| row.starts_with(kind));
        rows
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.fresh.abort();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Answers only what a test lets through.
struct FakeSts {
    gate: Semaphore,
    began: Semaphore,
    calls: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
    /// So many calls fail.
    fails: AtomicUsize,
    last: tokio::sync::Mutex<Option<Assumption>>,
}

impl Default for FakeSts {
    fn default() -> Self {
        Self {
            gate: Semaphore::new(0),
            began: Semaphore::new(0),
            calls: AtomicUsize::default(),
            now: AtomicUsize::default(),
            most: AtomicUsize::default(),
            fails: AtomicUsize::default(),
            last: tokio::sync::Mutex::default(),
        }
    }
}

impl FakeSts {
    fn let_through(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    /// Returns when so many calls have begun that were not waited for before.
    async fn asked_times(&self, calls: u32) {
        self.began.acquire_many(calls).await.unwrap().forget();
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn asked(&self) -> Assumption {
        self.last.lock().await.clone().unwrap()
    }
}

impl AssumeRole for FakeSts {
    fn assume<'a>(&'a self, assumption: &'a Assumption) -> Assuming<'a> {
        Box::pin(async move {
            let number = self.calls.fetch_add(1, Ordering::SeqCst);
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            *self.last.lock().await = Some(assumption.clone());
            self.began.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
            self.now.fetch_sub(1, Ordering::SeqCst);
            if number < self.fails.load(Ordering::SeqCst) {
                return Err(StsError::Failed { source: "AccessDenied: the role does not trust us".into() });
            }
            Ok(credentials(&format!("ASIA{number}")))
        })
    }
}

fn credentials(id: &str) -> Issued {
    let expires = SystemTime::now() + Duration::from_secs(900);
    Issued::new(id.to_owned(), "very secret".to_owned(), "very long token".to_owned(), expires)
}

fn refused(issued: Result<Arc<Issued>, Refused>) -> (u16, &'static str) {
    let refused = issued.unwrap_err();
    (refused.status(), refused.code())
}

fn role() -> Arc<Role> {
    let policy =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#;
    Arc::new(Role {
        arn: ROLE.parse().unwrap(),
        duration: Duration::from_secs(900),
        policy: policy.parse().unwrap(),
    })
}

fn client_key() -> ClientKey {
    ClientKey::from_spki(&KeyPair::generate().unwrap().subject_public_key_info()).unwrap()
}

fn spec(workload: &str, byte: &str) -> WorkloadSpec {
    let mut pcrs = PcrSet::EMPTY;
    for index in [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2] {
        pcrs.insert(index, pcr(byte)).unwrap();
    }
    let workload = Workload {
        name: workload.parse().unwrap(),
        destinations: Default::default(),
        addresses: Vec::new(),
        lease_bounds: LeaseBounds::default(),
        limits: Limits::default(),
    };
    let measurement =
        MeasurementSpec { name: "v1".into(), version: None, pcrs, state: MeasurementState::Active };
    WorkloadSpec { workload, measurements: vec![measurement] }
}

fn pcr(byte: &str) -> Pcr {
    byte.repeat(48).parse().unwrap()
}

const ROLE: &str = "arn:aws:iam::111122223333:role/payments";
