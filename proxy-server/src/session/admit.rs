//! How a session comes to be, and how it is given again.

use std::sync::{Arc, PoisonError};

use aws_lc_rs::rand;
use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, SessionId};
use tokio::time::Instant;

use super::{
    AdmitError, EndReason, Instance, Session, Sessions,
    record::Renewed,
    registry::Book,
    tables::{ById, ByKey},
};
use crate::policy::Workload;

/// Evidence that matched a measurement, as far as a session needs to know it.
#[derive(Clone, Debug)]
pub struct Admission {
    /// What the enclave is for.
    pub workload: Arc<Workload>,
    /// The measurement it matched.
    pub measurement: Arc<str>,
    /// The TLS key K that the evidence is bound to.
    pub key: KeyThumbprint,
    /// The boot that attested.
    pub boot_id: BootId,
    /// Greater than any before it in this boot.
    pub sequence: u64,
    /// Within the workload's bounds, and not beyond the end of the evidence.
    pub lease: Lease,
    /// The policy that admitted it.
    pub epoch: Epoch,
    /// The EC2 instance that the evidence names. `None` for a session that another
    /// process admitted: it is counted once it attests here.
    pub instance: Option<Instance>,
}

/// A session given, or given again.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The session.
    pub session: Arc<Session>,
    /// Whether it stood before.
    pub renewed: Renewal,
    /// When it lapses.
    pub lease_ends: Instant,
}

/// Whether an admission made a session or renewed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It made one.
    New,
    /// The key had one.
    Renewed,
}

impl Sessions {
    /// Gives this key a session, or renews the one it has: same key, same boot,
    /// same workload and measurement, a sequence number that grows.
    ///
    /// # Errors
    /// [`AdmitError`]; then nothing has changed.
    pub fn admit(&self, admission: Admission, now: Instant) -> Result<Granted, AdmitError> {
        let lease_ends = now + admission.lease.duration();
        let mut book = self.book();
        match book.of_key(&admission.key) {
            // The lapse loop has not come by yet; to the client it is over.
            Some(session) if session.lease_ends() <= now => {
                let cut = self.begin_cut();
                self.remove(&mut book, &session);
                let granted =
                    new_id().and_then(|id| self.insert(&mut book, id, admission, lease_ends, Renewed::Here));
                drop(book);
                self.finish(vec![session], EndReason::LeaseLapsed, &cut);
                granted
            }
            Some(session) => self.renew(&mut book, session, admission, lease_ends, Renewed::Here),
            None => self.insert(&mut book, new_id()?, admission, lease_ends, Renewed::Here),
        }
    }

    /// Puts back a session that stood when the proxy stopped.
    ///
    /// # Errors
    /// [`AdmitError::NotRestorable`] if its id is taken or its lease is over, and
    /// the limits of [`Self::admit`].
    pub fn restore(
        &self,
        id: SessionId,
        admission: Admission,
        lease_ends: Instant,
    ) -> Result<(), AdmitError> {
        let mut book = self.book();
        if lease_ends <= Instant::now() || self.find(&id).is_some() {
            return Err(AdmitError::NotRestorable);
        }
        if book.by_key.contains(&admission.key) {
            return Err(AdmitError::Conflict);
        }
        self.insert(&mut book, id, admission, lease_ends, Renewed::Here).map(|_| ())
    }

    pub(super) fn renew(
        &self,
        book: &mut Book,
        session: Arc<Session>,
        admission: Admission,
        lease_ends: Instant,
        renewed: Renewed,
    ) -> Result<Granted, AdmitError> {
        let mut state = session.state();
        let same = session.boot_id() == admission.boot_id
            && *session.measurement() == admission.measurement
            && state.workload.name == admission.workload.name
            // A row of the store does not name it.
            && (renewed == Renewed::Elsewhere
                || state.instance.is_none()
                || state.instance == admission.instance);
        if !same {
            return Err(AdmitError::Conflict);
        }
        if admission.sequence <= state.sequence {
            return Err(AdmitError::SequenceReplayed { last: state.sequence, got: admission.sequence });
        }
        if state.instance.is_none() {
            // It stands already: to count it late must not end it.
            state.instance = admission.instance.map(|instance| book.of_instance.enter(instance));
        }
        state.workload = admission.workload;
        state.sequence = admission.sequence;
        state.epoch = admission.epoch;
        state.lease_ends = lease_ends;
        state.renewed = renewed;
        let sooner = lease_ends < state.scheduled;
        if sooner {
            state.scheduled = lease_ends;
        }
        drop(state);
        if sooner {
            self.schedule(book, lease_ends, session.id());
        }
        Ok(Granted { session, renewed: Renewal::Renewed, lease_ends })
    }

    pub(super) fn insert(
        &self,
        book: &mut Book,
        id: SessionId,
        mut admission: Admission,
        lease_ends: Instant,
        renewed: Renewed,
    ) -> Result<Granted, AdmitError> {
        if book.by_key.len() >= self.registry().limits.max_sessions {
            return Err(AdmitError::Full { limit: self.registry().limits.max_sessions });
        }
        if let Some(instance) = &admission.instance {
            book.of_instance.check(instance, self.registry().limits.max_per_instance)?;
        }
        let limit = admission.workload.limits.max_sessions;
        let standing = book.of_workload.entry(admission.workload.name.clone()).or_default();
        if *standing >= limit {
            return Err(AdmitError::TooManySessions { limit });
        }
        *standing += 1;
        admission.instance = admission.instance.map(|instance| book.of_instance.enter(instance));
        let session = Arc::new(Session::new(id, admission, lease_ends, renewed));
        book.by_key.insert(ByKey(Arc::clone(&session)));
        self.shard(&id).write().unwrap_or_else(PoisonError::into_inner).insert(ById(Arc::clone(&session)));
        self.schedule(book, lease_ends, id);
        Ok(Granted { session, renewed: Renewal::New, lease_ends })
    }
}

fn new_id() -> Result<SessionId, AdmitError> {
    let mut bytes = [0; SessionId::LEN];
    rand::fill(&mut bytes).map_err(|_| AdmitError::NoRandomness)?;
    Ok(SessionId::from_bytes(bytes))
}
