//! Platform configuration registers: what an enclave's measurements are made of.

use std::fmt;
use std::str::FromStr;

/// The number of a PCR, 0 to 31 (AWS attestation process, section 3.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PcrIndex(u8);

impl PcrIndex {
    /// The enclave image file. With PCR1 and PCR2 it is what a measurement needs.
    pub const PCR0: Self = Self(0);
    /// The kernel and the boot ramdisk.
    pub const PCR1: Self = Self(1);
    /// The application.
    pub const PCR2: Self = Self(2);
    /// The certificate that signed the image.
    pub const PCR8: Self = Self(8);
    /// How many indexes there are.
    pub const COUNT: usize = 32;

    /// `Some` for 0 to 31.
    pub const fn new(index: u64) -> Option<Self> {
        if index < Self::COUNT as u64 { Some(Self(index as u8)) } else { None }
    }

    /// The number, 0 to 31.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Every index, from 0 to 31.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }
}

impl fmt::Display for PcrIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PCR{}", self.0)
    }
}

impl fmt::Debug for PcrIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One PCR value: 48 bytes, a SHA-384 digest. `Display` and `FromStr` are hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pcr([u8; Pcr::LEN]);

impl Pcr {
    /// Bytes in a PCR, the length of SHA-384.
    pub const LEN: usize = 48;
    /// What PCR0, 1 and 2 hold in debug mode.
    pub const ZERO: Self = Self([0; Self::LEN]);

    /// A PCR from its bytes.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The 48 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pcr {
    type Err = NotAPcr;

    /// 96 hexadecimal digits, either case, nothing around them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; Self::LEN];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(NotAPcr { length: text.chars().count() }),
        }
    }
}

/// A text that is not 96 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPcr {
    /// How many characters the text had.
    pub length: usize,
}

impl fmt::Display for NotAPcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a PCR is 96 hexadecimal digits (48 bytes, SHA-384); this text has {} characters",
            self.length
        )
    }
}

impl std::error::Error for NotAPcr {}

/// The PCRs of one enclave: at most one value for each index, in storage of fixed size.
#[derive(Clone, PartialEq, Eq)]
pub struct PcrSet {
    values: [Pcr; PcrIndex::COUNT],
    /// Bit n is set when index n has a value.
    present: u32,
}

impl PcrSet {
    /// No PCR at all.
    pub const EMPTY: Self = Self { values: [Pcr::ZERO; PcrIndex::COUNT], present: 0 };

    /// Adds a value. `Err` gives back the value already there: an index has one value.
    pub fn insert(&mut self, index: PcrIndex, value: Pcr) -> Result<(), Pcr> {
        let slot = &mut self.values[usize::from(index.0)];
        if self.present & (1 << index.0) != 0 {
            return Err(*slot);
        }
        *slot = value;
        self.present |= 1 << index.0;
        Ok(())
    }

    /// The value of one PCR; `None` when the document does not carry it.
    pub fn get(&self, index: PcrIndex) -> Option<&Pcr> {
        (self.present & (1 << index.0) != 0).then(|| &self.values[usize::from(index.0)])
    }

    /// The PCRs that are there, lowest index first.
    pub fn iter(&self) -> impl Iterator<Item = (PcrIndex, &Pcr)> {
        PcrIndex::all().filter_map(|index| self.get(index).map(|value| (index, value)))
    }

    /// How many PCRs are there.
    pub const fn len(&self) -> usize {
        self.present.count_ones() as usize
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Which indexes have a value, bit n for index n.
    pub(crate) const fn mask(&self) -> u32 {
        self.present
    }

    /// Whether these come from an enclave started in debug mode: PCR0, 1 and 2 are zero.
    ///
    /// PCR4 is never zero, and PCR3 often is not, so a test for "all PCRs zero" would never fire.
    pub fn is_debug(&self) -> bool {
        [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2]
            .iter()
            .all(|&index| self.get(index) == Some(&Pcr::ZERO))
    }
}

impl fmt::Debug for PcrSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_ends_at_31() {
        assert_eq!(PcrIndex::new(31).map(PcrIndex::get), Some(31));
        assert_eq!(PcrIndex::new(32), None);
        assert_eq!(PcrIndex::new(256), None, "no truncation to PCR0");
    }

    #[test]
    fn hexadecimal_reads_back_and_nothing_else_is_read() {
        let pcr = Pcr::new([0xa5; 48]);
        assert_eq!(pcr.to_string().parse(), Ok(pcr));
        assert_eq!(pcr.to_string().to_uppercase().parse(), Ok(pcr));
        assert_eq!("a5".parse::<Pcr>(), Err(NotAPcr { length: 2 }));
        assert_eq!("zz".repeat(48).parse::<Pcr>(), Err(NotAPcr { length: 96 }));
        assert_eq!(format!(" {pcr}").parse::<Pcr>(), Err(NotAPcr { length: 97 }));
    }

    #[test]
    fn an_index_has_one_value() {
        let mut set = PcrSet::EMPTY;
        assert_eq!(set.insert(PcrIndex(31), Pcr::new([1; 48])), Ok(()));
        assert_eq!(set.insert(PcrIndex(31), Pcr::new([2; 48])), Err(Pcr::new([1; 48])));
        assert_eq!(set.iter().collect::<Vec<_>>(), [(PcrIndex(31), &Pcr::new([1; 48]))]);
        assert_eq!((set.len(), set.get(PcrIndex(30))), (1, None));
    }

    #[test]
    fn debug_mode_is_zero_in_0_to_2_whatever_the_others_hold() {
        let mut set = PcrSet::EMPTY;
        assert!(!set.is_debug(), "absent is not zero");
        for index in 0..3 {
            set.insert(PcrIndex(index), Pcr::ZERO).unwrap();
        }
        set.insert(PcrIndex(4), Pcr::new([9; 48])).unwrap();
        assert!(set.is_debug());
    }
}
