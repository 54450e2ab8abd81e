//! Which enclaves may pass: measurements, and PCRs compared with them.

mod explanation;
mod measurement;
mod measurement_json;
mod references;
mod shape;

use crate::evidence::Evidence;
pub use explanation::{Explanation, Near};
pub use measurement::{Measurement, MeasurementError};
pub use references::ReferenceValues;

/// Whether an enclave in debug mode may pass. Its host reads its console and its memory, so attestation proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugMode {
    /// Refused with its own reason, whatever the reference values say.
    Refuse,
    /// Compared like any other: a measurement whose PCR0, 1 and 2 are zero lets it pass. For development only.
    DangerAllow,
}

/// Evidence that matched a measurement: a value in hand is permission.
///
/// Only [`Evidence::appraise`] makes it.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'e> {
    evidence: &'e Evidence<'e>,
    measurement: &'e Measurement,
}

impl<'e> Admitted<'e> {
    /// Only [`Evidence::appraise`] calls this.
    pub(crate) const fn new(evidence: &'e Evidence<'e>, measurement: &'e Measurement) -> Self {
        Self { evidence, measurement }
    }

    /// What AWS says of the enclave.
    pub const fn evidence(&self) -> &'e Evidence<'e> {
        self.evidence
    }

    /// What the enclave matched.
    pub const fn measurement(&self) -> &'e Measurement {
        self.measurement
    }
}
