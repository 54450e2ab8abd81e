use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::store::UnixMs;

/// The last refusals here of enclaves that answered their challenge: what the audit has
/// too, without going through it behind thousands of admissions.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(Arc<Mutex<VecDeque<RecentRefusal>>>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentRefusal {
    /// When.
    pub at: UnixMs,
    /// Its stable code.
    pub code: &'static str,
    /// Everything, as the log has it.
    pub detail: String,
    /// Finds it in log and audit.
    pub request_id: String,
}

impl Recent {
    pub(super) fn note(&self, refusal: RecentRefusal) {
        let mut kept = self.kept();
        kept.truncate(KEPT - 1);
        kept.push_front(refusal);
    }

    /// Newest first.
    pub(super) fn read(&self) -> Vec<RecentRefusal> {
        self.kept().iter().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<RecentRefusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many as a page shows.
const KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let recent = Recent::default();
        for at in 0..20 {
            let (detail, request_id) = (String::new(), String::new());
            recent.note(RecentRefusal { at: UnixMs(at), code: "pcr-mismatch", detail, request_id });
        }
        let kept: Vec<_> = recent.read().iter().map(|refusal| refusal.at.0).collect();
        assert_eq!(kept, [19, 18, 17, 16, 15, 14, 13, 12]);
    }
}
