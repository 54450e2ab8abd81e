use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Credentials that were right lately, by their SHA-256.
///
/// These pass the throttle, so that an attacker behind the same address as an
/// administrator does not lock him out. They are checked as any other: to be
/// here means to be judged, not to be let in. A guess is never here, so the
/// throttle loses nothing by it.
#[derive(Default)]
pub(super) struct KnownGood(Mutex<Table>);

/// What a credential is known by.
pub(super) type Fingerprint = [u8; 32];

#[derive(Default)]
struct Table {
    known: HashMap<Fingerprint, (Instant, u64)>,
    /// The same by their last use, the oldest first.
    by_age: BTreeMap<u64, Fingerprint>,
    next: u64,
}

impl KnownGood {
    /// Whether it was right within the last day.
    pub(super) fn has(&self, fingerprint: &Fingerprint, now: Instant) -> bool {
        let table = self.table();
        table.known.get(fingerprint).is_some_and(|(last, _)| now.saturating_duration_since(*last) < KEPT)
    }

    /// It was right.
    pub(super) fn note(&self, fingerprint: Fingerprint, now: Instant) {
        let mut table = self.table();
        table.remove(&fingerprint);
        if table.known.len() >= MAX
            && let Some((_, oldest)) = table.by_age.pop_first()
        {
            table.known.remove(&oldest);
        }
        let age = table.next;
        table.next += 1;
        table.by_age.insert(age, fingerprint);
        table.known.insert(fingerprint, (now, age));
    }

    /// It was wrong.
    pub(super) fn forget(&self, fingerprint: &Fingerprint) {
        self.table().remove(fingerprint);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, fingerprint: &Fingerprint) {
        if let Some((_, age)) = self.known.remove(fingerprint) {
            self.by_age.remove(&age);
        }
    }
}

/// More than an installation has administrators and robots; at about 150 bytes
/// each this is 600 KB.
const MAX: usize = 4_096;

const KEPT: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(number: usize) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    #[test]
    fn it_forgets_what_was_wrong_what_is_old_and_what_is_too_much() {
        let known = KnownGood::default();
        let now = Instant::now();
        known.note(fingerprint(0), now);
        known.note(fingerprint(1), now);
        known.forget(&fingerprint(0));
        assert!(!known.has(&fingerprint(0), now));
        assert!(known.has(&fingerprint(1), now + KEPT - Duration::from_secs(1)));
        assert!(!known.has(&fingerprint(1), now + KEPT));
        for number in 2..=MAX {
            known.note(fingerprint(number), now);
        }
        known.note(fingerprint(1), now);
        known.note(fingerprint(MAX + 1), now);
        assert!(known.has(&fingerprint(1), now), "it was used again");
        assert!(!known.has(&fingerprint(2), now), "the oldest went");
        let table = known.table();
        assert_eq!((table.known.len(), table.by_age.len()), (MAX, MAX));
    }
}
