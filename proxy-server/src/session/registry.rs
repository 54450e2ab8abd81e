use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use countersign_protocol::{KeyThumbprint, SessionId};
use tokio::{sync::Notify, time::Instant};

use super::{
    EndReason, Ended, Session, SessionView,
    cut::Cut,
    deadlines::Deadlines,
    ends::Witness,
    epitaphs::{Epitaph, Epitaphs},
    instances::Instances,
    tables::{ById, ByKey},
};
use crate::policy::WorkloadName;

/// Every live session. Cheap to clone; all clones are one registry.
///
/// Lookups by id take a read lock on one of [`SHARDS`] tables. Whatever changes
/// the set (admission, end) goes through one book, where a key has at most one
/// session.
#[derive(Clone)]
pub struct Sessions(Arc<Registry>);

/// How much a registry holds.
#[derive(Clone, Copy, Debug)]
pub struct SessionsLimits {
    /// Live sessions of all workloads together.
    pub max_sessions: usize,
    /// Live sessions of one EC2 instance, of all workloads together.
    pub max_per_instance: u32,
}

pub(super) struct Registry {
    pub(super) limits: SessionsLimits,
    shards: [RwLock<HashSet<ById>>; SHARDS],
    book: Mutex<Book>,
    epitaphs: Mutex<Epitaphs>,
    /// Ends whose tunnels are not all gone. Each is in here before its first
    /// session leaves the tables.
    cuts: Mutex<Vec<Arc<Cut>>>,
    pub(super) witness: Witness,
    /// Told when a deadline comes before all others.
    pub(super) sooner: Notify,
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) by_key: HashSet<ByKey>,
    pub(super) of_workload: HashMap<WorkloadName, u32>,
    pub(super) of_instance: Instances,
    pub(super) deadlines: Deadlines,
}

impl Sessions {
    /// An empty registry.
    pub fn new(limits: SessionsLimits) -> Self {
        Self(Arc::new(Registry {
            limits,
            shards: std::array::from_fn(|_| RwLock::default()),
            book: Mutex::default(),
            epitaphs: Mutex::default(),
            cuts: Mutex::default(),
            witness: Witness::default(),
            sooner: Notify::new(),
        }))
    }

    /// The live session of this id.
    pub fn find(&self, id: &SessionId) -> Option<Arc<Session>> {
        let shard = self.shard(id).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(id).map(|entry| Arc::clone(&entry.0))
    }

    /// Why the session of this id ended, if that was not long ago.
    pub fn why_ended(&self, id: &SessionId) -> Option<EndReason> {
        self.epitaphs().read(id).map(|epitaph| epitaph.reason)
    }

    /// The live session of this key.
    pub fn find_by_key(&self, key: &KeyThumbprint) -> Option<Arc<Session>> {
        self.book().of_key(key)
    }

    /// Ends one session and wakes every tunnel of it.
    pub fn end(&self, id: &SessionId, reason: EndReason) -> Ended {
        // Under the book's lock: a session that is being taken in is found afterwards.
        let found = {
            let _book = self.book();
            self.find(id)
        };
        self.end_all(found, reason)
    }

    /// Ends every session that `predicate` picks. It is asked before anything
    /// ends, so a session admitted meanwhile is not among them: change the policy first.
    pub fn end_where(&self, reason: EndReason, predicate: impl Fn(&Session) -> bool) -> Ended {
        let picked: Vec<_> = self.all().into_iter().filter(|session| predicate(session)).collect();
        self.end_all(picked, reason)
    }

    /// Every live session, in no order.
    pub fn list(&self) -> Vec<SessionView> {
        self.all().iter().map(|session| session.view()).collect()
    }

    /// How many sessions live.
    pub fn len(&self) -> usize {
        self.book().by_key.len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn schedule(&self, book: &mut Book, at: Instant, id: SessionId) {
        let soonest = book.deadlines.soonest();
        book.deadlines.push(at, id);
        let live = book.by_key.len();
        book.deadlines
            .compact(live, |at, id| self.find(id).is_some_and(|session| session.state().scheduled == at));
        if soonest.is_none_or(|soonest| at < soonest) {
            self.0.sooner.notify_one();
        }
    }

    fn end_all(&self, sessions: impl IntoIterator<Item = Arc<Session>>, reason: EndReason) -> Ended {
        let cut = self.begin_cut();
        let mut book = self.book();
        let removed: Vec<_> =
            sessions.into_iter().filter(|session| self.remove(&mut book, session)).collect();
        drop(book);
        self.finish(removed, reason, &cut)
    }

    /// Takes a session out of every table; whether it was there.
    pub(super) fn remove(&self, book: &mut Book, session: &Arc<Session>) -> bool {
        let id = session.id();
        let mut shard = self.shard(&id).write().unwrap_or_else(PoisonError::into_inner);
        let was_there = shard.get(&id).is_some_and(|entry| Arc::ptr_eq(&entry.0, session));
        if !was_there {
            return false;
        }
        shard.remove(&id);
        book.by_key.remove(&session.key());
        let state = session.state();
        if let Some(instance) = &state.instance {
            book.of_instance.leave(instance);
        }
        let name = &state.workload.name;
        if let Some(standing) = book.of_workload.get_mut(name) {
            *standing -= 1;
            if *standing == 0 {
                book.of_workload.remove(name);
            }
        }
        true
    }

    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.book().by_key.iter().map(|entry| Arc::clone(&entry.0)).collect()
    }

    pub(super) fn shard(&self, id: &SessionId) -> &RwLock<HashSet<ById>> {
        // Ids are random bytes: any one of them spreads evenly.
        let [first, ..] = id.as_bytes();
        &self.0.shards[usize::from(*first) % SHARDS]
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn epitaphs(&self) -> MutexGuard<'_, Epitaphs> {
        self.0.epitaphs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the first session of an end leaves the tables, so that
    /// whoever no longer finds the session finds its cut.
    pub(super) fn begin_cut(&self) -> Arc<Cut> {
        let cut = Arc::new(Cut::begin());
        let mut cuts = self.cuts();
        cuts.retain(|cut| cut.outstanding() > 0);
        cuts.push(Arc::clone(&cut));
        cut
    }

    pub(super) fn cuts(&self) -> MutexGuard<'_, Vec<Arc<Cut>>> {
        self.0.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Outside every lock: a waker may run anything.
    pub(super) fn finish(&self, sessions: Vec<Arc<Session>>, reason: EndReason, cut: &Arc<Cut>) -> Ended {
        let mut ended = Ended::default();
        let mut ends = Vec::new();
        for session in sessions {
            let sequence = session.state().sequence;
            self.epitaphs().write(session.id(), Epitaph { reason, sequence });
            let tunnels = session.finish(reason, cut);
            ended += Ended { sessions: 1, tunnels };
            ends.extend(self.0.witness.note(&session, reason, tunnels));
        }
        cut.told();
        self.0.witness.tell(ends);
        ended
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn deadline_entries(&self) -> usize {
        self.book().deadlines.len()
    }
}

impl Book {
    pub(super) fn of_key(&self, key: &KeyThumbprint) -> Option<Arc<Session>> {
        self.by_key.get(key).map(|entry| Arc::clone(&entry.0))
    }
}

impl Registry {
    /// Every live session, a table at a time: nothing is copied, and nobody waits long.
    pub(super) fn each(&self, mut look: impl FnMut(&Arc<Session>)) {
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.iter().for_each(|entry| look(&entry.0));
        }
    }
}

/// Tables that lookups spread over. More than any machine has cores.
const SHARDS: usize = 64;
