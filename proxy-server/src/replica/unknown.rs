use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use countersign_protocol::SessionId;
use tokio::time::Instant;

/// Sessions that the store did not have a moment ago. Whoever comes with a certificate
/// of such a one is answered without asking again.
///
/// Bounded: strangers can only push out what other strangers left.
#[derive(Debug, Default)]
pub(super) struct Unknown(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    until: HashMap<SessionId, Instant>,
    oldest_first: VecDeque<(Instant, SessionId)>,
}

impl Unknown {
    /// Remembers for [`FOR`] that there is no such session.
    pub(super) fn note(&self, id: SessionId, now: Instant) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = now + FOR;
        table.until.insert(id, until);
        table.oldest_first.push_back((until, id));
        while let Some((until, oldest)) = table.oldest_first.front().copied()
            && (until <= now || table.oldest_first.len() > MOST)
        {
            table.oldest_first.pop_front();
            // Noted again since: the later entry stands behind it.
            if table.until.get(&oldest) == Some(&until) {
                table.until.remove(&oldest);
            }
        }
    }

    /// Whether that was so a moment ago.
    pub(super) fn knows(&self, id: &SessionId, now: Instant) -> bool {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.until.get(id).is_some_and(|until| now < *until)
    }
}

/// Long enough that a client in a loop costs one query, short enough that nobody
/// notices who renewed elsewhere just now.
const FOR: Duration = Duration::from_secs(1);

/// About 400 KB at the most.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_after_a_moment_and_under_pressure() {
        let unknown = Unknown::default();
        let start = Instant::now();
        unknown.note(id(1), start);
        assert!(unknown.knows(&id(1), start + FOR - Duration::from_millis(1)));
        assert!(!unknown.knows(&id(1), start + FOR));
        assert!(!unknown.knows(&id(2), start));
        // Noted again before its end: the later end counts.
        unknown.note(id(1), start + FOR / 2);
        unknown.note(id(2), start + FOR);
        assert!(unknown.knows(&id(1), start + FOR));
        for number in 0..=MOST as u64 {
            unknown.note(id(100 + number), start + FOR);
        }
        assert!(!unknown.knows(&id(100), start + FOR), "the oldest gave way");
        assert!(unknown.knows(&id(101), start + FOR));
        let table = unknown.0.lock().unwrap();
        assert_eq!((table.until.len(), table.oldest_first.len()), (MOST, MOST));
    }

    fn id(number: u64) -> SessionId {
        let mut bytes = [0; SessionId::LEN];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        SessionId::from_bytes(bytes)
    }
}
