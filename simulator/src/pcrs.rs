//! The module's PCR bank: what is measured, extended and locked.
//!
//! Source: aws-nitro-enclaves-nsm-api, `docs/attestation_process.md` and the driver's `ExtendPCR`, `LockPCR`
//! and `DescribePCR` requests.

use std::collections::BTreeMap;

use aws_lc_rs::digest;

use crate::{Module, PcrValue, SimulatorError};

/// All 32 PCRs. The first 16 are locked at boot; the others are the application's.
#[derive(Clone, Debug)]
pub(crate) struct PcrBank([PcrDescription; PCR_COUNT]);

/// What `DescribePCR` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcrDescription {
    /// Whether it can still be extended.
    pub lock: PcrLock,
    /// Its value now: SHA-384.
    pub value: PcrValue,
}

/// Whether a PCR can still change before the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PcrLock {
    /// Its value is final, and documents carry it.
    Locked,
    /// It can be extended, and documents leave it out.
    Open,
}

impl PcrBank {
    /// The bank as it stands when the module has booted. A PCR that the module names is locked at its value;
    /// PCR4 is never zero on AWS (not even in debug mode), so it is derived from the instance if not named.
    pub(crate) fn boot(module: &Module) -> Self {
        let mut bank = [PcrDescription { lock: PcrLock::Open, value: [0; 48] }; PCR_COUNT];
        for (index, pcr) in bank.iter_mut().enumerate() {
            let named = module.pcrs.get(&(index as u8)).copied();
            let instance =
                (index == PCR_OF_INSTANCE).then(|| extended(&[0; 48], module.instance_id().as_bytes()));
            if let Some(value) = named.or(instance) {
                pcr.value = value;
            }
            if index < LOCKED_AT_BOOT || named.is_some() {
                pcr.lock = PcrLock::Locked;
            }
        }
        Self(bank)
    }

    /// PCR = SHA-384(PCR || data).
    pub(crate) fn extend(&mut self, index: u8, data: &[u8]) -> Result<PcrValue, SimulatorError> {
        if data.len() > EXTEND_LIMIT {
            return Err(SimulatorError::FieldTooLong {
                field: "data",
                limit: EXTEND_LIMIT,
                actual: data.len(),
            });
        }
        let pcr = self.open(index)?;
        pcr.value = extended(&pcr.value, data);
        Ok(pcr.value)
    }

    pub(crate) fn lock(&mut self, index: u8) -> Result<(), SimulatorError> {
        self.open(index)?.lock = PcrLock::Locked;
        Ok(())
    }

    pub(crate) fn describe(&self, index: u8) -> Result<PcrDescription, SimulatorError> {
        self.0.get(usize::from(index)).copied().ok_or(SimulatorError::PcrIndex { index })
    }

    /// "All locked PCRs at the moment the attestation document was generated."
    pub(crate) fn locked(&self) -> BTreeMap<u8, Vec<u8>> {
        (0..)
            .zip(&self.0)
            .filter(|(_, pcr)| pcr.lock == PcrLock::Locked)
            .map(|(i, pcr)| (i, pcr.value.to_vec()))
            .collect()
    }

    fn open(&mut self, index: u8) -> Result<&mut PcrDescription, SimulatorError> {
        let pcr = self.0.get_mut(usize::from(index)).ok_or(SimulatorError::PcrIndex { index })?;
        match pcr.lock {
            PcrLock::Locked => Err(SimulatorError::PcrLocked { index }),
            PcrLock::Open => Ok(pcr),
        }
    }
}

fn extended(value: &PcrValue, data: &[u8]) -> PcrValue {
    let mut context = digest::Context::new(&digest::SHA384);
    context.update(value);
    context.update(data);
    let mut out = [0; 48];
    out.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    out
}

/// The NSM's PCRs.
const PCR_COUNT: usize = 32;
/// PCR0 to PCR15 belong to the platform.
const LOCKED_AT_BOOT: usize = 16;
/// The hash of the parent's instance id.
const PCR_OF_INSTANCE: usize = 4;
/// The driver takes requests of 4 KiB; the rest is the request's own frame.
const EXTEND_LIMIT: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pcr_is_extended_until_it_is_locked() {
        let mut bank = PcrBank::boot(&Module::from_image("app"));
        assert_eq!(bank.describe(16).unwrap(), PcrDescription { lock: PcrLock::Open, value: [0; 48] });
        let once = bank.extend(16, b"a").unwrap();
        assert_eq!(bank.extend(16, b"b").unwrap(), extended(&once, b"b"));
        assert_eq!(bank.locked().len(), 16);
        bank.lock(16).unwrap();
        assert_eq!(bank.locked().len(), 17);
        assert!(matches!(bank.extend(16, b"c"), Err(SimulatorError::PcrLocked { index: 16 })));
        assert!(matches!(bank.lock(16), Err(SimulatorError::PcrLocked { index: 16 })));
    }

    #[test]
    fn the_platform_pcrs_are_locked_and_32_is_none() {
        let mut bank = PcrBank::boot(&Module::from_image("app"));
        assert!(matches!(bank.extend(0, b""), Err(SimulatorError::PcrLocked { index: 0 })));
        assert!(matches!(bank.describe(32), Err(SimulatorError::PcrIndex { index: 32 })));
        assert!(matches!(bank.extend(255, b""), Err(SimulatorError::PcrIndex { index: 255 })));
        let long = bank.extend(16, &[0; EXTEND_LIMIT + 1]);
        assert!(matches!(long, Err(SimulatorError::FieldTooLong { actual: 4001, .. })));
    }

    #[test]
    fn in_debug_mode_pcr4_is_not_zero() {
        let bank = PcrBank::boot(&Module::from_image("app").debug());
        let zero = [0_u8, 1, 2].map(|index| bank.describe(index).unwrap().value);
        assert_eq!(zero, [[0; 48]; 3]);
        assert_ne!(bank.describe(4).unwrap().value, [0; 48]);
    }
}
