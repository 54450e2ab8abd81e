use std::sync::Arc;

use countersign_protocol::{KeyThumbprint, SessionId};

use super::{Elsewhere, LookupError};
use crate::session::{AdmitError, EndReason, Session, Sessions};

impl Elsewhere {
    /// The live session of this id, for whoever proved to hold `key`: the one known here, or the one that the store
    /// tells of, where replicas share it.
    ///
    /// # Errors
    /// [`Absent`].
    pub(crate) async fn find(
        &self,
        sessions: &Sessions,
        id: SessionId,
        key: KeyThumbprint,
    ) -> Result<Arc<Session>, Absent> {
        if let Some(session) = sessions.find(&id) {
            return if session.key() == key { Ok(session) } else { Err(Absent::OtherKey) };
        }
        let absent = match self {
            Self::Nowhere => Absent::Unknown,
            Self::Replicas(neighbours) => match neighbours.session(id, key).await {
                Ok(session) => return Ok(session),
                Err(error) => not_found(id, error),
            },
        };
        match (absent, sessions.why_ended(&id)) {
            (Absent::Unknown, Some(reason)) => Err(Absent::Ended(reason)),
            (absent, _) => Err(absent),
        }
    }
}

fn not_found(id: SessionId, error: LookupError) -> Absent {
    match error {
        LookupError::NotFound | LookupError::NotWorth(_) => Absent::Unknown,
        LookupError::NotAdopted(AdmitError::NotRestorable) => Absent::Unknown,
        LookupError::OtherKey => Absent::OtherKey,
        LookupError::NotAdopted(AdmitError::TooManySessions { .. } | AdmitError::Full { .. }) => {
            Absent::NoRoom
        }
        LookupError::NotAdopted(_)
        | LookupError::Stale
        | LookupError::Store(_)
        | LookupError::TooSlow
        | LookupError::Unsettled => {
            tracing::info!(code = "lookup-failed", session = %id, reason = %crate::log::Chain(&error), "a session was not looked up");
            Absent::NotLookedUp
        }
    }
}

/// Why the holder of a key has no session of the id that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// No record, and none remembered.
    Unknown,
    /// The record names another key.
    OtherKey,
    /// The session ended.
    Ended(EndReason),
    /// It stands elsewhere, and there is no room for it here.
    NoRoom,
    /// It may stand elsewhere; nobody could say.
    NotLookedUp,
}
