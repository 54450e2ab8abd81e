use super::findings::MOST;

/// Rows that had not come when a later one came, as ranges; a bounded number of them.
#[derive(Debug, Default)]
pub(super) struct Gaps(Vec<Gap>);

/// Rows from the first to the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Gaps {
    /// Gives the gap back when there are too many already.
    pub(super) fn open(&mut self, gap: Gap) -> Option<Gap> {
        if self.0.len() >= MOST {
            return Some(gap);
        }
        self.0.push(gap);
        None
    }

    /// Takes out the gap that this row belongs into.
    pub(super) fn take(&mut self, seq: u64) -> Option<Gap> {
        let at = self.0.iter().position(|gap| (gap.first..=gap.last).contains(&seq))?;
        Some(self.0.swap_remove(at))
    }

    /// Those that are still open, by number.
    pub(super) fn into_sorted(mut self) -> Vec<Gap> {
        self.0.sort_unstable_by_key(|gap| gap.first);
        self.0
    }
}
