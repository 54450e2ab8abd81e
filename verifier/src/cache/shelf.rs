//! A bounded map of things that end.

use super::CertificateId;
use crate::time::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};

/// At most `capacity` entries, ordered both by id and by end.
///
/// B-trees rather than hash maps: the same answer in the same time whatever the keys are, and no random seed is needed.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    entries: BTreeMap<CertificateId, (UnixMillis, T)>,
    /// The same ids by the end of their entry, so that the next one to go is the first.
    ends: BTreeSet<(UnixMillis, CertificateId)>,
    capacity: usize,
}

impl<T> Shelf<T> {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { entries: BTreeMap::new(), ends: BTreeSet::new(), capacity }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What was remembered, unless it has ended.
    pub(super) fn get(&self, id: &CertificateId, at: UnixMillis) -> Option<&T> {
        self.entries.get(id).filter(|(end, _)| at <= *end).map(|(_, value)| value)
    }

    /// Remembers one more; forgets what has ended, and then what ends first until all fit.
    pub(super) fn insert(&mut self, id: CertificateId, end: UnixMillis, value: T, at: UnixMillis) {
        if let Some((old_end, _)) = self.entries.insert(id, (end, value)) {
            self.ends.remove(&(old_end, id));
        }
        self.ends.insert((end, id));
        while let Some(&(first_end, first)) = self.ends.first() {
            if first_end >= at && self.entries.len() <= self.capacity {
                break;
            }
            self.ends.pop_first();
            self.entries.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> CertificateId {
        CertificateId([n; 32])
    }

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::from_millis(millis)
    }

    fn held(shelf: &Shelf<u8>) -> Vec<u8> {
        assert_eq!(shelf.entries.len(), shelf.ends.len());
        shelf.entries.values().map(|&(_, value)| value).collect()
    }

    #[test]
    fn the_first_to_end_makes_room() {
        let mut shelf = Shelf::new(2);
        shelf.insert(id(1), at(300), 1, at(0));
        shelf.insert(id(2), at(100), 2, at(0));
        shelf.insert(id(3), at(200), 3, at(0));
        assert_eq!(held(&shelf), [1, 3]);
        // One that ends before all others does not drive them out.
        shelf.insert(id(4), at(50), 4, at(0));
        assert_eq!(held(&shelf), [1, 3]);
    }

    #[test]
    fn an_entry_is_remembered_until_it_ends_and_not_after() {
        let mut shelf = Shelf::new(2);
        shelf.insert(id(1), at(100), 1, at(0));
        assert_eq!(shelf.get(&id(1), at(100)), Some(&1));
        assert_eq!(shelf.get(&id(1), at(101)), None);
        shelf.insert(id(2), at(200), 2, at(101));
        assert_eq!(held(&shelf), [2]);
    }

    #[test]
    fn the_same_id_takes_one_place_and_no_capacity_takes_none() {
        let mut shelf = Shelf::new(2);
        for value in 1..=9 {
            shelf.insert(id(1), at(100 + u64::from(value)), value, at(0));
        }
        assert_eq!(held(&shelf), [9]);
        let mut none = Shelf::new(0);
        none.insert(id(1), at(100), 1, at(0));
        assert_eq!(held(&none), [0_u8; 0]);
    }
}
