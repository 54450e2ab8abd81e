//! Sessions that other replicas admitted or renewed, as the store tells of them.

use std::sync::Arc;

use countersign_protocol::SessionId;
use tokio::time::Instant;

use super::{Admission, AdmitError, EndReason, Session, Sessions, record::Renewed};

impl Sessions {
    /// Takes in a session that another replica admitted. Where it is known already,
    /// this is [`Self::follow`].
    ///
    /// `still` tells whether the policy is the one that the session was judged by. It is
    /// asked under the lock that every end takes after a policy was put in force: a
    /// revocation either is seen by `still`, or finds the session here.
    ///
    /// # Errors
    /// [`AdmitError::PolicyChanged`] when `still` says no;
    /// [`AdmitError::NotRestorable`] when its lease is over, or lapsed here and was not
    /// renewed since; [`AdmitError::Conflict`] when the key has another session
    /// here whose lease is the longer one; and the limits of [`Self::admit`].
    pub fn adopt(
        &self,
        id: SessionId,
        admission: Admission,
        lease_ends: Instant,
        still: impl FnOnce() -> bool,
    ) -> Result<Arc<Session>, AdmitError> {
        let mut book = self.book();
        if !still() {
            return Err(AdmitError::PolicyChanged);
        }
        if let Some(session) = self.find(&id) {
            return match self.renew(
                &mut book,
                Arc::clone(&session),
                admission,
                lease_ends,
                Renewed::Elsewhere,
            ) {
                Ok(_) | Err(AdmitError::SequenceReplayed { .. }) => Ok(session),
                Err(error) => Err(error),
            };
        }
        if lease_ends <= Instant::now() || self.lapsed_here(&id, admission.sequence) {
            return Err(AdmitError::NotRestorable);
        }
        match book.of_key(&admission.key) {
            None => {
                let granted = self.insert(&mut book, id, admission, lease_ends, Renewed::Elsewhere)?;
                Ok(granted.session)
            }
            Some(other) if other.lease_ends() >= lease_ends => Err(AdmitError::Conflict),
            // The key attested anew elsewhere, and what stands here is what it left behind.
            Some(other) => {
                let cut = self.begin_cut();
                self.remove(&mut book, &other);
                let granted = self.insert(&mut book, id, admission, lease_ends, Renewed::Elsewhere);
                drop(book);
                self.finish(vec![other], EndReason::LeaseLapsed, &cut);
                granted.map(|granted| granted.session)
            }
        }
    }

    /// Renews a session as another replica did: same key, same boot, same workload
    /// and measurement, a sequence number that grew. Anything else changes nothing, so
    /// that one attestation gives one lease however often it is read of the store.
    pub fn follow(&self, id: &SessionId, admission: Admission, lease_ends: Instant) {
        let mut book = self.book();
        if let Some(session) = self.find(id)
            && session.key() == admission.key
        {
            // Nothing new, or nothing of ours.
            let _ = self.renew(&mut book, session, admission, lease_ends, Renewed::Elsewhere);
        }
    }

    /// Sessions to ask the store about: something here would notice their end, and
    /// another replica renewed them last, or their lease ends by `soon`.
    pub fn to_look_up(&self, soon: Instant) -> Vec<SessionId> {
        let mut ids = Vec::new();
        self.registry().each(|session| {
            let state = session.state();
            if state.is_watched() && (state.renewed == Renewed::Elsewhere || state.lease_ends <= soon) {
                ids.push(session.id());
            }
        });
        ids
    }

    /// Whether this attestation's lease lapsed here already: then it is over, whatever
    /// a wall clock says.
    fn lapsed_here(&self, id: &SessionId, sequence: u64) -> bool {
        let epitaph = self.epitaphs().read(id);
        epitaph.is_some_and(|end| end.reason == EndReason::LeaseLapsed && sequence <= end.sequence)
    }
}
