//! A store that a test drives: what it says, and when it says nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use countersign_protocol::{BootId, Destination, Epoch, KeyThumbprint, Lease, LeaseBounds, SessionId};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};
use tokio::sync::{Semaphore, watch};

use super::{Limits, Workload};
use crate::{
    config::{MeasurementState, WorkloadSpec},
    store::{
        Answer, Appended, Batch, ChangeRequest, Changed, Committed, EndedSession, MeasurementFilter,
        MeasurementRow, Page, Paged, PolicyStore, ReplicaRow, ReplicaStore, Seeded, SessionFilter,
        SessionRow, SessionStore, StoreError, StoredMeasurement, StoredPolicy, TombstoneRow, UnixMs, Visible,
        WorkloadRow,
    },
};

/// Implements what followers of a store ask; nothing that changes it.
pub(crate) struct FakeStore {
    says: Mutex<Says>,
    hints: watch::Sender<u64>,
    /// Every question takes one; none left is a store that hangs.
    answers: Semaphore,
    asked: AtomicUsize,
    looks: AtomicUsize,
}

/// What the fake holds.
pub(crate) struct Says {
    pub(crate) stored: StoredPolicy,
    pub(crate) ended: Vec<EndedSession>,
    pub(crate) sessions: BTreeMap<SessionId, SessionRow>,
    pub(crate) beats: Vec<ReplicaRow>,
    pub(crate) fails: bool,
    /// Run inside the next lookup of sessions, after the rows were read.
    pub(crate) meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

impl FakeStore {
    pub(crate) fn new(stored: StoredPolicy) -> Arc<Self> {
        let says = Says {
            stored,
            ended: Vec::new(),
            sessions: BTreeMap::new(),
            beats: Vec::new(),
            fails: false,
            meanwhile: None,
        };
        Arc::new(Self {
            says: Mutex::new(says),
            hints: watch::channel(0).0,
            answers: Semaphore::new(Semaphore::MAX_PERMITS),
            asked: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
        })
    }

    pub(crate) fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap()
    }

    /// Commits a policy; nobody is told.
    pub(crate) fn set(&self, stored: StoredPolicy) {
        self.says().stored = stored;
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.says().fails = fails;
    }

    pub(crate) fn hint(&self) {
        self.hints.send_modify(|count| *count += 1);
    }

    /// From now on no question is answered.
    pub(crate) fn hang(&self) {
        self.answers.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Questions for sessions so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Questions for the epoch so far.
    pub(crate) fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    async fn answer<T>(&self, read: impl FnOnce(&mut Says) -> T) -> Result<T, StoreError> {
        drop(self.answers.acquire().await.unwrap());
        let mut says = self.says();
        if says.fails {
            return Err(StoreError::Statement { doing: "answer", source: sqlx::Error::PoolTimedOut });
        }
        Ok(read(&mut says))
    }

    async fn sessions_where(
        &self,
        now: UnixMs,
        wanted: impl Fn(&SessionRow) -> bool,
    ) -> Result<Vec<SessionRow>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let lives = |row: &&SessionRow| row.lease_ends > now && wanted(row);
        let (rows, meanwhile) = self
            .answer(|says| (says.sessions.values().filter(lives).cloned().collect(), says.meanwhile.take()))
            .await?;
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        Ok(rows)
    }
}

impl PolicyStore for FakeStore {
    fn committed(&self) -> Answer<'_, Committed> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Box::pin(self.answer(|says| says.stored.committed))
    }

    fn load(&self) -> Answer<'_, StoredPolicy> {
        Box::pin(self.answer(|says| says.stored.clone()))
    }

    fn hints(&self) -> Option<watch::Receiver<u64>> {
        Some(self.hints.subscribe())
    }

    fn ended_since(&self, epoch: Epoch) -> Answer<'_, Vec<EndedSession>> {
        let after = move |ended: &&EndedSession| ended.epoch > epoch;
        Box::pin(self.answer(move |says| says.ended.iter().filter(after).cloned().collect()))
    }

    fn seed<'a>(&'a self, _: &'a [WorkloadSpec], _: UnixMs) -> Answer<'a, Seeded> {
        unreachable!("followers only read")
    }

    fn change(&self, _: ChangeRequest) -> Answer<'_, Changed> {
        unreachable!("followers only read")
    }

    fn workloads<'a>(&'a self, _: &'a Visible, _: Page) -> Answer<'a, Paged<WorkloadRow>> {
        unreachable!("followers read the whole policy")
    }

    fn workload<'a>(&'a self, _: &'a str) -> Answer<'a, Option<WorkloadRow>> {
        unreachable!("followers read the whole policy")
    }

    fn measurements<'a>(
        &'a self,
        _: &'a Visible,
        _: &'a MeasurementFilter,
        _: Page,
    ) -> Answer<'a, Paged<MeasurementRow>> {
        unreachable!("followers read the whole policy")
    }

    fn measurement<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Option<MeasurementRow>> {
        unreachable!("followers read the whole policy")
    }

    fn tombstones<'a>(&'a self, _: &'a Visible, _: Page) -> Answer<'a, Paged<TombstoneRow>> {
        unreachable!("followers read the whole policy")
    }
}

impl SessionStore for FakeStore {
    fn append(&self, _: Batch) -> Answer<'_, Appended> {
        unreachable!("followers only read")
    }

    fn sessions(&self, now: UnixMs) -> Answer<'_, Vec<SessionRow>> {
        Box::pin(self.sessions_where(now, |_| true))
    }

    fn session_page<'a>(
        &'a self,
        _: &'a Visible,
        _: &'a SessionFilter,
        _: Page,
        _: UnixMs,
    ) -> Answer<'a, Paged<SessionRow>> {
        unreachable!("followers know what they look for")
    }

    fn sessions_by_id<'a>(&'a self, ids: &'a [SessionId], now: UnixMs) -> Answer<'a, Vec<SessionRow>> {
        Box::pin(self.sessions_where(now, |row| ids.contains(&row.id)))
    }

    fn session_by_key(&self, key: KeyThumbprint, now: UnixMs) -> Answer<'_, Option<SessionRow>> {
        Box::pin(async move { Ok(self.sessions_where(now, |row| row.key == key).await?.pop()) })
    }
}

impl ReplicaStore for FakeStore {
    fn heartbeat<'a>(&'a self, replica: &'a ReplicaRow) -> Answer<'a, ()> {
        Box::pin(self.answer(|says| says.beats.push(replica.clone())))
    }

    fn replicas(&self, _: UnixMs) -> Answer<'_, Vec<ReplicaRow>> {
        unreachable!("followers do not ask for each other")
    }
}

/// One workload, `demo`, which may reach a.example:443; each measurement has its byte in
/// PCR0, 1 and 2, its state, and the epoch that made it so.
pub(crate) fn policy(epoch: u64, measurements: &[(&str, u8, MeasurementState, u64)]) -> StoredPolicy {
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

/// A session of `demo` that a replica admitted by epoch 1 through `v1`; its lease of
/// 60 s began now.
pub(crate) fn row(session: u8, key: u8, sequence: u64) -> SessionRow {
    let lease = Lease::from_secs(60).unwrap();
    let now = UnixMs::now();
    SessionRow {
        id: SessionId::from_bytes([session; 16]),
        key: KeyThumbprint::from_bytes([key; 32]),
        workload: "demo".into(),
        measurement: "v1".into(),
        boot_id: BootId::from_bytes([1; 16]),
        sequence,
        lease,
        lease_ends: UnixMs(now.0 + 60_000),
        epoch: Epoch(1),
        module_id: None,
        replica: Some([9; 16]),
        admitted: now,
    }
}

pub(crate) fn pcrs(values: &[(u64, u8)]) -> PcrSet {
    let mut set = PcrSet::EMPTY;
    for (index, byte) in values {
        set.insert(PcrIndex::new(*index).unwrap(), Pcr::new([*byte; 48])).unwrap();
    }
    set
}

pub(crate) fn destination(text: &str) -> Destination {
    text.parse().unwrap()
}
