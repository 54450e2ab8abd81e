use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_protocol::{ProblemCode, SessionId};
use countersign_verifier::PcrIndex;
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    AssumeRole, Assumption, Issued, Roles,
    refusals::{ADMITS_NO_MORE, NOT_OFFERED, STALE, UNAVAILABLE, absent, not_now, over},
    rows,
    slot::{Look, Slot},
};
use crate::{
    ca::ClientKey,
    log::{Chain, Sample, Sampler},
    policy::PolicyHandle,
    refusal::Refused,
    replica::Elsewhere,
    session::{Session, Sessions},
    store::Journal,
};

/// Gives AWS credentials to sessions that stand. One for all connections; clones are the same one.
///
/// STS is asked once for each session and then when the kept ones are getting old, by one asker at a time,
/// [`AT_ONCE`] sessions at a time. An asker that goes away does not undo the call: what comes of it is kept.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

/// What a [`Desk`] decides with.
pub struct DeskParts {
    /// Who is given what.
    pub roles: Roles,
    /// Who assumes roles.
    pub sts: Arc<dyn AssumeRole>,
    /// Which measurements admit now.
    pub policy: PolicyHandle,
    /// Who has a session.
    pub sessions: Sessions,
    /// Who has one at another replica.
    pub elsewhere: Elsewhere,
    /// Takes audit rows.
    pub journal: Journal,
}

struct Inner {
    parts: DeskParts,
    slots: Mutex<HashMap<SessionId, Arc<Slot>>>,
    /// Calls of STS under way.
    calls: Semaphore,
    /// Askers, each until what was done for it is over.
    waiting: Arc<Semaphore>,
    lines: Sampler,
    rows: Sampler,
}

impl Desk {
    /// Puts the parts together.
    pub fn new(parts: DeskParts) -> Self {
        Self(Arc::new(Inner {
            parts,
            slots: Mutex::default(),
            calls: Semaphore::new(AT_ONCE),
            waiting: Arc::new(Semaphore::new(QUEUE)),
            lines: Sampler::new(LINES_PER_SECOND),
            rows: Sampler::new(ROWS_PER_SECOND),
        }))
    }

    /// Credentials for the session of this id, for whoever proved to hold `key` on its connection. Logs what was
    /// decided.
    ///
    /// # Errors
    /// [`Refused`]: no such session for this key, one that is over, a workload without a role, no credentials in time.
    pub async fn issue(
        &self,
        key: &ClientKey,
        session: SessionId,
        request_id: &str,
    ) -> Result<Arc<Issued>, Refused> {
        let decided = self.decide(key, session, request_id).await;
        if let Err(refused) = &decided {
            self.0.note(refused, session, request_id);
        }
        decided
    }

    async fn decide(&self, key: &ClientKey, id: SessionId, request_id: &str) -> Result<Arc<Issued>, Refused> {
        let DeskParts { sessions, elsewhere, .. } = &self.0.parts;
        let found = elsewhere.find(sessions, id, key.thumbprint()).await;
        let session = found.map_err(absent)?;
        let assumption = self.0.judge(&session)?;
        let slot = self.0.slot(id);
        let issued = match slot.look(Instant::now()) {
            Look::Have(issued) => issued,
            Look::NotNow => return Err(not_now()),
            Look::Ask => self.wait(slot, Arc::clone(&session), assumption, request_id).await?,
        };
        // What was revoked meanwhile is given nothing, kept or new.
        self.0.judge(&session)?;
        Ok(issued)
    }

    /// Waits for somebody to have asked STS, in a task of its own: an asker that is gone changes nothing.
    async fn wait(
        &self,
        slot: Arc<Slot>,
        session: Arc<Session>,
        assumption: Assumption,
        request_id: &str,
    ) -> Result<Arc<Issued>, Refused> {
        let full =
            |_| Refused::new(ProblemCode::Overloaded, "too many enclaves ask for credentials: try again");
        let place = Arc::clone(&self.0.waiting).try_acquire_owned().map_err(full)?;
        let inner = Arc::clone(&self.0);
        let request_id = request_id.to_owned();
        let asking = tokio::spawn(async move {
            // Whoever hangs up leaves work behind: its place is free when that is done.
            let _place = place;
            inner.ask(&slot, &session, &assumption, &request_id).await
        });
        match timeout(PATIENCE, asking).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(error)) => Err(Refused::because(ProblemCode::Internal, "try again", error)),
            Err(_) => Err(not_now()),
        }
    }

    /// Forgets what was kept for sessions that are over, until `stop`.
    pub async fn tidy_loop(self, stop: CancellationToken) {
        let mut ticks = interval(TIDY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.0.tidy();
        }
    }

    /// For how many sessions something is kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.0.slots().len()
    }

    #[cfg(test)]
    pub(super) fn tidy(&self) {
        self.0.tidy();
    }
}

impl Inner {
    /// Whether this session is given credentials at this very moment, and which.
    fn judge(&self, session: &Session) -> Result<Assumption, Refused> {
        let DeskParts { roles, policy, .. } = &self.parts;
        session.still_stands().map_err(over)?;
        if policy.is_stale() {
            return Err(Refused::new(ProblemCode::Stale, STALE));
        }
        let workload = session.workload().name.clone();
        let measurement = Arc::clone(session.measurement());
        // The watcher puts a policy in force before it ends sessions: this is seen first.
        let policy = policy.current();
        let admitting = policy.admitting(&format!("{workload}/{measurement}"));
        let admitting = admitting.filter(|admitting| admitting.epoch <= session.view().epoch);
        let pcr0 = admitting.and_then(|admitting| admitting.pcrs.get(PcrIndex::PCR0));
        let pcr0 = *pcr0.ok_or_else(|| Refused::new(ProblemCode::SessionEnded, ADMITS_NO_MORE))?;
        let role = roles.get(&workload).map(Arc::clone);
        let role = role.ok_or_else(|| Refused::new(ProblemCode::CredentialsNotOffered, NOT_OFFERED))?;
        Ok(Assumption { role, session: session.id(), workload, measurement, pcr0 })
    }

    async fn ask(
        &self,
        slot: &Slot,
        session: &Session,
        assumption: &Assumption,
        request_id: &str,
    ) -> Result<Arc<Issued>, Refused> {
        let _turn = slot.turn().await;
        match slot.look(Instant::now()) {
            Look::Have(issued) => return Ok(issued),
            Look::NotNow => return Err(not_now()),
            Look::Ask => {}
        }
        let asked = self.call(session, assumption, request_id).await;
        match asked {
            Ok(issued) => {
                slot.keep(Arc::clone(&issued));
                Ok(issued)
            }
            Err(refused) => {
                slot.failed(Instant::now());
                // What is still good is given, and the log has why there is nothing newer.
                match slot.look(Instant::now()) {
                    Look::Have(issued) => {
                        self.note(&refused, assumption.session, request_id);
                        Ok(issued)
                    }
                    _ => Err(refused),
                }
            }
        }
    }

    /// One call of STS, and its audit row: no row, no credentials.
    async fn call(
        &self,
        session: &Session,
        assumption: &Assumption,
        request_id: &str,
    ) -> Result<Arc<Issued>, Refused> {
        let call = async {
            let _place = self.calls.acquire().await.ok()?;
            Some(self.parts.sts.assume(assumption).await)
        };
        let called = timeout(PATIENCE, call).await.ok().flatten().ok_or_else(not_now)?;
        let issued = called.map_err(|error| {
            Refused::because(ProblemCode::CredentialsUnavailable, UNAVAILABLE, Chain(&error))
        })?;
        self.judge(session)?;
        let recorded = self
            .parts
            .journal
            .write(rows::issued(assumption, &issued, self.parts.policy.epoch(), request_id))
            .await;
        recorded.map_err(|error| {
            Refused::because(ProblemCode::Internal, "the credentials were not recorded: try again", error)
        })?;
        if let Sample::Write { suppressed } = self.lines.take("credentials-issued") {
            let Assumption { session, workload, measurement, .. } = assumption;
            let access_key_id = issued.access_key_id();
            tracing::info!(code = "credentials-issued", suppressed, %session, %workload, %measurement, access_key_id, request_id, "AWS credentials issued");
        }
        Ok(Arc::new(issued))
    }

    /// A line and a row for a refusal, so many a second of each code.
    fn note(&self, refused: &Refused, session: SessionId, request_id: &str) {
        let code = refused.code();
        if let Sample::Write { suppressed } = self.lines.take(code) {
            tracing::info!(code, suppressed, %session, request_id, reason = %refused, "no AWS credentials");
        }
        if let Sample::Write { .. } = self.rows.take(code) {
            self.parts.journal.note(rows::refused(refused, session, self.parts.policy.epoch(), request_id));
        }
    }

    fn slot(&self, id: SessionId) -> Arc<Slot> {
        Arc::clone(self.slots().entry(id).or_default())
    }

    /// A slot is of a session that stood when it was made, so there are never many more than there are sessions.
    fn tidy(&self) {
        let ids: Vec<SessionId> = self.slots().keys().copied().collect();
        let over: Vec<_> = ids.into_iter().filter(|id| self.parts.sessions.find(id).is_none()).collect();
        let mut slots = self.slots();
        for id in over {
            slots.remove(&id);
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Desk").field(&self.0.parts.roles.len()).finish()
    }
}

/// Calls of STS at a time: a call takes some 50 ms, and an account may make 600 a second.
const AT_ONCE: usize = 16;

/// Askers at a time, those that hung up too; more are told to try again.
const QUEUE: usize = 1024;

/// For an asker, all waiting included: less than the enclave's own patience, and less than the connection's.
const PATIENCE: Duration = Duration::from_secs(8);

const TIDY: Duration = Duration::from_secs(10);

const LINES_PER_SECOND: u32 = 100;
const ROWS_PER_SECOND: u32 = 50;
