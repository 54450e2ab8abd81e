//! What PCRs match and what they nearly match.

use super::Measurement;
use crate::pcr::PcrSet;
use crate::refusal::Difference;

/// PCRs beside the known measurements, for people who ask why an enclave passes or does not.
///
/// It admits nobody: debug mode is not judged here, and the PCRs may be a mere claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<'r> {
    /// Every measurement that the PCRs match. The first is the one that an appraisal gives: the most specific.
    pub matching: Vec<&'r Measurement>,
    /// The nearest of the others, fewest differences first.
    pub nearest: Vec<Near<'r>>,
}

/// A measurement that the PCRs do not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near<'r> {
    /// The measurement.
    pub measurement: &'r Measurement,
    /// Each PCR that differs, lowest index first; never empty.
    pub differences: Vec<Difference>,
}

impl<'r> Explanation<'r> {
    pub(super) fn new(
        matching: Vec<&'r Measurement>,
        known: impl Iterator<Item = &'r Measurement>,
        pcrs: &PcrSet,
        limit: usize,
    ) -> Self {
        let mut others: Vec<_> = known
            .map(|measurement| (measurement.distance(pcrs), measurement))
            .filter(|((differences, _), _)| *differences > 0)
            .collect();
        others.sort_by_key(|(distance, _)| *distance);
        others.truncate(limit);
        let nearest = others
            .into_iter()
            .map(|(_, measurement)| Near {
                measurement,
                differences: measurement.differences(pcrs).collect(),
            })
            .collect();
        Self { matching, nearest }
    }
}
