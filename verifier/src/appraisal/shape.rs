//! Which PCRs a measurement names.

use crate::pcr::PcrSet;
use std::cmp::{Ordering, Reverse};

/// The indexes that a measurement names, bit n for index n.
///
/// The order is that of precedence: whoever names more PCRs is more specific and comes first; among as many, the lower
/// indexes. So which measurement an enclave matches never depends on the order in which measurements were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape(u32);

impl Shape {
    pub(super) const fn of(pcrs: &PcrSet) -> Self {
        Self(pcrs.mask())
    }

    /// Whether these PCRs have a value under every index of the shape.
    pub(super) const fn is_within(self, pcrs: &PcrSet) -> bool {
        self.0 & !pcrs.mask() == 0
    }
}

impl Ord for Shape {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |shape: &Self| Reverse((shape.0.count_ones(), shape.0.reverse_bits()));
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for Shape {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_pcrs_come_first_then_lower_ones() {
        let mut shapes = [0b0_0111, 0b1_0111, 0b0_1111, 0b1_1111].map(Shape);
        shapes.sort();
        assert_eq!(shapes, [0b1_1111, 0b0_1111, 0b1_0111, 0b0_0111].map(Shape));
    }
}
