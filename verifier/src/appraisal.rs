//! Which enclaves may pass: measurements, and PCRs compared with them.

mod measurement;
mod measurement_json;

use crate::evidence::Evidence;
use crate::pcr::{Pcr, PcrIndex, PcrSet};
use crate::refusal::{AppraisalRefusal, Difference, Mismatch, Refusal};
pub use measurement::{Measurement, MeasurementError};
use std::collections::BTreeMap;

/// Whether an enclave in debug mode may pass. Its host reads its console and its memory, so attestation proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugMode {
    /// Refused with its own reason, whatever the reference values say.
    Refuse,
    /// Compared like any other: a measurement whose PCR0, 1 and 2 are zero lets it pass. For development only.
    DangerAllow,
}

/// The measurements that may pass. None of them, and nobody passes.
///
/// They are found by PCR0, so that ten thousand cost no more than ten.
#[derive(Clone, Debug, Default)]
pub struct ReferenceValues {
    by_pcr0: BTreeMap<Pcr, Vec<Measurement>>,
    count: usize,
}

impl ReferenceValues {
    /// No measurement: every enclave is refused.
    pub const fn new() -> Self {
        Self { by_pcr0: BTreeMap::new(), count: 0 }
    }

    /// Adds a measurement.
    pub fn insert(&mut self, measurement: Measurement) {
        self.by_pcr0.entry(*measurement.pcr0()).or_default().push(measurement);
        self.count += 1;
    }

    /// How many measurements there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none, and so nobody passes.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every measurement, by PCR0.
    pub fn iter(&self) -> impl Iterator<Item = &Measurement> {
        self.by_pcr0.values().flatten()
    }

    /// The first measurement all of whose PCRs are these. A PCR that the measurement does not name is not compared.
    ///
    /// # Errors
    /// As [`Evidence::appraise`].
    pub fn appraise(&self, pcrs: &PcrSet, debug: DebugMode) -> Result<&Measurement, Refusal> {
        if pcrs.is_debug() && debug == DebugMode::Refuse {
            return Err(AppraisalRefusal::DebugMode.into());
        }
        pcrs.get(PcrIndex::PCR0)
            .and_then(|pcr0| self.by_pcr0.get(pcr0))
            .and_then(|candidates| candidates.iter().find(|measurement| measurement.matches(pcrs)))
            .ok_or_else(|| self.mismatch(pcrs).into())
    }

    /// Only evidence that AWS signed comes here, so looking at every measurement is paid for.
    fn mismatch(&self, pcrs: &PcrSet) -> AppraisalRefusal {
        let Some(closest) = self.iter().min_by_key(|measurement| measurement.distance(pcrs)) else {
            return AppraisalRefusal::NoReferenceValues;
        };
        AppraisalRefusal::Mismatch(Box::new(Mismatch {
            closest: closest.name().to_owned(),
            known: self.count,
            differences: closest.differences(pcrs).collect::<Vec<Difference>>(),
        }))
    }
}

impl FromIterator<Measurement> for ReferenceValues {
    fn from_iter<I: IntoIterator<Item = Measurement>>(measurements: I) -> Self {
        let mut references = Self::new();
        measurements.into_iter().for_each(|measurement| references.insert(measurement));
        references
    }
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
