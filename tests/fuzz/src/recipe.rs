//! A recipe: decisions taken from the fuzzer's bytes, and whether one of them broke a rule.

use arbitrary::Unstructured;
use std::ops::RangeInclusive;

/// Decisions in the order they are asked for. Once the bytes have run out every answer is the first one possible, which is
/// always the one in order; so short inputs are well-formed, and each byte more can break something.
pub(crate) struct Recipe<'b> {
    bytes: Unstructured<'b>,
    irregular: bool,
}

impl<'b> Recipe<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes: Unstructured::new(bytes), irregular: false }
    }

    /// A number in a range.
    pub(crate) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        let first = *range.start();
        self.bytes.int_in_range(range).unwrap_or(first)
    }

    /// A length, or an index.
    pub(crate) fn size(&mut self, range: RangeInclusive<usize>) -> usize {
        let first = *range.start();
        self.bytes.int_in_range(range).unwrap_or(first)
    }

    /// One of several; the first one when the bytes have run out.
    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let last = choices.len() - 1;
        choices[self.size(0..=last)].clone()
    }

    /// Whether to do something unusual: one time in 32.
    pub(crate) fn seldom(&mut self) -> bool {
        self.number(0..=31) == 31
    }

    /// Whether to break the rule at hand: one time in 64. Afterwards the parser must refuse.
    pub(crate) fn breaks(&mut self) -> bool {
        let breaks = self.number(0..=63) == 63;
        self.irregular |= breaks;
        breaks
    }

    /// Notes that what was built breaks a rule.
    pub(crate) fn spoil(&mut self) {
        self.irregular = true;
    }

    /// Whether nothing built so far breaks a rule.
    pub(crate) fn is_in_order(&self) -> bool {
        !self.irregular
    }

    /// Bytes of a length in this range: a run of one value, which costs the fuzzer two bytes however long it is.
    pub(crate) fn run(&mut self, length: RangeInclusive<usize>) -> Vec<u8> {
        let length = self.size(length);
        let value = self.number(0..=255) as u8;
        vec![value; length]
    }

    /// As many bytes of the fuzzer's own, and zeros when they have run out.
    pub(crate) fn own<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let taken = self.bytes.fill_buffer(&mut out);
        debug_assert!(taken.is_ok(), "zeros stand in for bytes that are missing");
        out
    }
}
