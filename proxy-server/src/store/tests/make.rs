//! What the tests put into a store.

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, LeaseBounds, SessionId};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};

use crate::{
    config::{MeasurementSpec, MeasurementState, WorkloadSpec},
    policy::{Limits, Workload},
    store::{
        Actor, AuditEvent, Change, ChangeError, ChangeRequest, Changed, MeasurementEdit, MeasurementFilter,
        NewMeasurement, Page, PolicyStore, SessionRow, SqlStore, StoreError, UnixMs, Visible,
    },
};

pub(super) fn workload(name: &str, destinations: &[&str]) -> Workload {
    Workload {
        name: name.parse().unwrap(),
        destinations: destinations.iter().map(|text| text.parse().unwrap()).collect(),
        addresses: vec!["127.0.0.0/8".parse().unwrap()],
        lease_bounds: LeaseBounds::default(),
        limits: Limits::default(),
    }
}

pub(super) fn spec(name: &str, measurements: &[(&str, u8, MeasurementState)]) -> WorkloadSpec {
    let measurements = measurements.iter().map(|(name, byte, state)| MeasurementSpec {
        name: (*name).to_owned(),
        version: None,
        pcrs: pcrs(*byte),
        state: *state,
    });
    WorkloadSpec { workload: workload(name, &["kms.example:443"]), measurements: measurements.collect() }
}

/// PCR0, 1 and 2 with one byte over and over.
pub(super) fn pcrs(byte: u8) -> PcrSet {
    pinned(byte, &[])
}

/// The same, and others besides.
pub(super) fn pinned(byte: u8, others: &[(u64, u8)]) -> PcrSet {
    let mut set = PcrSet::EMPTY;
    for (index, byte) in [(0, byte), (1, byte), (2, byte)].iter().chain(others) {
        set.insert(PcrIndex::new(*index).unwrap(), Pcr::new([*byte; 48])).unwrap();
    }
    set
}

pub(super) fn new(name: &str, pcrs: PcrSet) -> NewMeasurement {
    NewMeasurement { name: name.to_owned(), pcrs, edit: MeasurementEdit::default() }
}

pub(super) fn actor(name: &str) -> Actor {
    Actor { subject: format!("token:{name}"), request_id: format!("req-{name}") }
}

/// `who` asks for a change at `now`, of nobody's approval.
pub(super) fn request(who: &str, change: Change, now: i64) -> ChangeRequest {
    ChangeRequest::at_once(change, actor(who), UnixMs(now))
}

pub(super) fn put(name: &str, destinations: &[&str]) -> Change {
    Change::PutWorkload { workload: workload(name, destinations), description: None }
}

pub(super) fn add(workload: &str, name: &str, pcrs: PcrSet) -> Change {
    Change::AddMeasurement { workload: workload.parse().unwrap(), measurement: new(name, pcrs) }
}

pub(super) fn edit(workload: &str, name: &str, edit: MeasurementEdit) -> Change {
    Change::EditMeasurement { workload: workload.parse().unwrap(), name: name.to_owned(), edit }
}

pub(super) fn revoke(workload: &str, name: &str) -> Change {
    Change::RevokeMeasurement { workload: workload.parse().unwrap(), name: name.to_owned(), reason: None }
}

pub(super) fn approve(workload: &str, measurement: Option<&str>) -> Change {
    Change::Approve { workload: workload.parse().unwrap(), measurement: measurement.map(str::to_owned) }
}

/// A change that is made.
pub(super) async fn done(store: &SqlStore, request: ChangeRequest) -> Changed {
    store.change(request).await.unwrap()
}

/// A change that is refused, and why.
pub(super) async fn refused(store: &SqlStore, request: ChangeRequest) -> ChangeError {
    match store.change(request).await {
        Err(StoreError::Refused(error)) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(super) fn event(code: &'static str) -> AuditEvent {
    AuditEvent {
        at: UnixMs(1),
        kind: "admission".into(),
        code: code.into(),
        epoch: Epoch(1),
        workload: Some("a".into()),
        measurement: Some("v1".into()),
        session: Some(SessionId::from_bytes([1; 16])),
        request_id: Some("r".into()),
        actor: None,
        before: None,
        after: None,
        evidence: Some([7; 32]),
        detail: None,
    }
}

pub(super) fn session(id: u8, sequence: u64, lease_ends: i64) -> SessionRow {
    SessionRow {
        id: SessionId::from_bytes([id; 16]),
        key: KeyThumbprint::from_bytes([id; 32]),
        workload: "a".into(),
        measurement: "v1".into(),
        boot_id: BootId::from_bytes([9; 16]),
        sequence,
        lease: Lease::MIN,
        lease_ends: UnixMs(lease_ends),
        epoch: Epoch(1),
        module_id: Some("i-0123-enc4567".into()),
        replica: Some([3; 16]),
        admitted: UnixMs(1),
    }
}

/// `workload/name`, state and epoch of every measurement.
pub(super) async fn states(store: &SqlStore) -> Vec<(String, MeasurementState, u64)> {
    let page = Page { after: None, limit: Page::MOST };
    let rows = store.measurements(&Visible::Everything, &MeasurementFilter::default(), page).await.unwrap();
    let state = |row: crate::store::MeasurementRow| {
        (format!("{}/{}", row.workload, row.name), row.state, row.epoch.0)
    };
    rows.rows.into_iter().map(state).collect()
}

pub(super) fn owned((name, state, epoch): (&str, MeasurementState, u64)) -> (String, MeasurementState, u64) {
    (name.to_owned(), state, epoch)
}
