use std::collections::BTreeMap;

use super::{PeerConfigError, error::beginning};

/// One set of PCRs that a peer may have: 0, 1 and 2, and any others.
///
/// Only what must be agreed on and signed. What it means for a document is decided by `countersign-verifier`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerMeasurement {
    name: String,
    pcrs: BTreeMap<u8, [u8; Self::PCR_LEN]>,
}

impl PeerMeasurement {
    /// Bytes in a PCR, the length of SHA-384.
    pub const PCR_LEN: usize = 48;
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 128;
    /// The highest index (AWS `attestation_process.md`: 0..31).
    pub const MAX_INDEX: u8 = 31;

    /// A measurement with a name for people.
    ///
    /// # Errors
    /// [`PeerConfigError`]: PCR0, 1 or 2 is missing, or all three are zero, which is debug mode and anybody's; an
    /// index past 31; a name that is empty, too long or has control characters.
    pub fn new(
        name: impl Into<String>,
        pcrs: BTreeMap<u8, [u8; Self::PCR_LEN]>,
    ) -> Result<Self, PeerConfigError> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::MAX_NAME || name.chars().any(char::is_control) {
            return Err(PeerConfigError::MeasurementName { name: beginning(&name) });
        }
        if let Some(index) = (0..=2).find(|index| !pcrs.contains_key(index)) {
            return Err(PeerConfigError::PcrMissing { measurement: name, index });
        }
        if let Some(&index) = pcrs.keys().find(|&&index| index > Self::MAX_INDEX) {
            return Err(PeerConfigError::PcrIndex { measurement: name, index });
        }
        if (0..=2).all(|index| pcrs.get(&index) == Some(&[0; Self::PCR_LEN])) {
            return Err(PeerConfigError::DebugMode { measurement: name });
        }
        Ok(Self { name, pcrs })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The expected PCRs, lowest index first.
    pub fn pcrs(&self) -> impl ExactSizeIterator<Item = (u8, &[u8; Self::PCR_LEN])> {
        self.pcrs.iter().map(|(index, value)| (*index, value))
    }
}
