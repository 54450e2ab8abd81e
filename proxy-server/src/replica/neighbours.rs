use std::{fmt, sync::Arc, time::Duration};

use countersign_protocol::{KeyThumbprint, SessionId};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use super::{
    row::{NotWorth, admission, ends},
    unknown::Unknown,
};
use crate::{
    log::Chain,
    policy::PolicyHandle,
    session::{AdmitError, Session, Sessions},
    store::{Answer, SessionRow, SessionStore, UnixMs},
};

/// Where a session may stand that this process does not know.
#[derive(Clone)]
pub enum Elsewhere {
    /// Nowhere: this process alone admits sessions of its store.
    Nowhere,
    /// On another replica that shares the store.
    Replicas(Arc<Neighbours>),
}

/// Looks up sessions that other replicas admitted, and takes them in as far as the
/// policy here allows.
///
/// A lookup costs the store a query, so whoever causes one has proved to hold a key:
/// of a session certificate at the gateway, of fresh evidence at the attestation
/// port. Lookups are bounded in number and time, and what was not found is
/// remembered for a moment.
pub struct Neighbours {
    store: Arc<dyn SessionStore>,
    policy: PolicyHandle,
    sessions: Sessions,
    unknown: Unknown,
    /// Apart, so that nobody with old certificates keeps enclaves from attesting.
    by_id: Semaphore,
    by_key: Semaphore,
}

impl Neighbours {
    /// Looks sessions up in `store`, judges them by `policy`, and puts them into `sessions`.
    pub fn new(store: Arc<dyn SessionStore>, policy: PolicyHandle, sessions: Sessions) -> Self {
        let [by_id, by_key] = [(); 2].map(|()| Semaphore::new(IN_FLIGHT));
        Self { store, policy, sessions, unknown: Unknown::default(), by_id, by_key }
    }

    /// The session of this id, for whoever proved to hold `key`.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn session(&self, id: SessionId, key: KeyThumbprint) -> Result<Arc<Session>, LookupError> {
        if self.unknown.knows(&id, Instant::now()) {
            return Err(LookupError::NotFound);
        }
        let ids = [id];
        let find = async {
            let _place = self.by_id.acquire().await.map_err(|_| LookupError::TooSlow)?;
            // Somebody else may have brought it while this one waited.
            match self.sessions.find(&id) {
                Some(session) => Ok(session),
                None => self.adopt(|| self.store.sessions_by_id(&ids, UnixMs::now()), key).await,
            }
        };
        let found = timeout(PATIENCE, find).await.unwrap_or(Err(LookupError::TooSlow));
        match found {
            Ok(session) if session.key() != key => Err(LookupError::OtherKey),
            Err(LookupError::NotFound) => {
                self.unknown.note(id, Instant::now());
                Err(LookupError::NotFound)
            }
            found => found,
        }
    }

    /// Brings the session of this key up to date before it is renewed: its id, boot
    /// and sequence number are those of the last attestation at any replica.
    ///
    /// # Errors
    /// [`LookupError`]; that there is none is no error.
    pub async fn refresh(&self, key: KeyThumbprint) -> Result<(), LookupError> {
        let find = async {
            let _place = self.by_key.acquire().await.map_err(|_| LookupError::TooSlow)?;
            self.adopt(|| one(self.store.session_by_key(key, UnixMs::now())), key).await
        };
        match timeout(PATIENCE, find).await.unwrap_or(Err(LookupError::TooSlow)) {
            Ok(_) => Ok(()),
            // Nobody has one, or one that is worth nothing here, or less than the one that is
            // known: evidence and registry decide alone.
            Err(LookupError::NotFound | LookupError::OtherKey) => Ok(()),
            Err(LookupError::NotWorth(_) | LookupError::NotAdopted(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The policy is taken before the store is asked, and must still be in force when the
    /// session goes into the registry: the watcher puts a policy in force before it ends
    /// sessions, those that an administrator ended too. So either the watcher finds this
    /// session, or its policy is seen here; then the store is asked again, which has
    /// forgotten what was ended.
    async fn adopt<'a>(
        &self,
        ask: impl Fn() -> Answer<'a, Vec<SessionRow>>,
        key: KeyThumbprint,
    ) -> Result<Arc<Session>, LookupError> {
        let mut changes = 0;
        while changes < ROUNDS {
            if self.policy.is_stale() {
                return Err(LookupError::Stale);
            }
            let policy = self.policy.current();
            let rows = ask().await.map_err(|error| LookupError::Store(Chain(&error).to_string()))?;
            let row = match &rows[..] {
                [row] if row.key == key => row,
                [] => return Err(LookupError::NotFound),
                _ => return Err(LookupError::OtherKey),
            };
            let admission = match admission(&policy, row) {
                Ok(admission) => admission,
                // Admitted by a policy that is not here yet: it comes within a poll.
                Err(_) if row.epoch > policy.epoch => {
                    sleep(BEHIND).await;
                    continue;
                }
                Err(error) => return Err(LookupError::NotWorth(error)),
            };
            let ends = ends(row, &admission, UnixMs::now(), Instant::now());
            let still = || Arc::ptr_eq(&policy, &self.policy.current());
            match self.sessions.adopt(row.id, admission, ends, still) {
                Err(AdmitError::PolicyChanged) => changes += 1,
                adopted => return adopted.map_err(LookupError::NotAdopted),
            }
        }
        Err(LookupError::Unsettled)
    }
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Neighbours")
    }
}

/// A lookup of one as a lookup of many.
fn one<'a>(answer: Answer<'a, Option<SessionRow>>) -> Answer<'a, Vec<SessionRow>> {
    Box::pin(async move { Ok(answer.await?.into_iter().collect()) })
}

/// Why no session was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The store has none, or did not have it a moment ago.
    NotFound,
    /// It is another key's.
    OtherKey,
    /// The policy here does not allow it.
    NotWorth(NotWorth),
    /// The registry does not take it.
    NotAdopted(AdmitError),
    /// The policy here is too old to let anybody in by.
    Stale,
    /// The store failed; what it said.
    Store(String),
    /// No answer in time, or too many others ask.
    TooSlow,
    /// The policy changed each time it was looked up.
    Unsettled,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no replica has such a session"),
            Self::OtherKey => f.write_str("the session was given to another key"),
            Self::NotWorth(_) => f.write_str("the session is not allowed now"),
            Self::NotAdopted(_) => f.write_str("the session cannot be taken in"),
            Self::Stale => f.write_str("the policy here is too old to let anybody in by"),
            Self::Store(error) => write!(f, "the store failed: {error}"),
            Self::TooSlow => write!(f, "the store did not answer within {} s", PATIENCE.as_secs()),
            Self::Unsettled => f.write_str("the policy changed while the session was looked up"),
        }
    }
}

impl std::error::Error for LookupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotWorth(error) => Some(error),
            Self::NotAdopted(error) => Some(error),
            _ => None,
        }
    }
}

/// Lookups of one kind at a time. More of them wait.
const IN_FLIGHT: usize = 32;

/// For a lookup, its place in the queue included.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks for a policy that another replica has already.
const BEHIND: Duration = Duration::from_millis(50);

/// Policies may change while a session is looked up, but not all the time.
const ROUNDS: usize = 3;
