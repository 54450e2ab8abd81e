use super::finding::Finding;

/// A list with a bound: what goes over it is counted.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) list: Vec<Finding>,
    pub(super) more: u64,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if self.list.len() < MOST {
            self.list.push(finding);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        let Self { list, more } = other;
        list.into_iter().for_each(|finding| self.push(finding));
        self.more = self.more.saturating_add(more);
    }
}

/// One rewritten chain can have as many findings as rows; nobody reads further than this.
pub(super) const MOST: usize = 100;
