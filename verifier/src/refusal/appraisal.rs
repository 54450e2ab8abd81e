//! Refusals of a genuine enclave: not one that is wanted.

use super::{Refusal, Row};
use crate::pcr::{Pcr, PcrIndex};

/// Why the PCRs of genuine evidence were not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppraisalRefusal {
    /// The enclave runs in debug mode: its memory and console are open to the host.
    DebugMode,
    /// There is nothing to compare with, and an empty policy denies.
    NoReferenceValues,
    /// No measurement has these PCRs.
    Mismatch(Box<Mismatch>),
}

/// The known measurement that comes closest, and where the enclave differs from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The name of the measurement with the fewest differences, among the thousand at most that were compared: first
    /// those with the same PCR0.
    pub closest: String,
    /// How many measurements there are.
    pub known: usize,
    /// Each PCR that differs, lowest index first; never empty.
    pub differences: Vec<Difference>,
}

/// One PCR that is not as the measurement wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which PCR.
    pub index: PcrIndex,
    /// What the measurement wants.
    pub expected: Pcr,
    /// What the enclave has; `None` when the document does not carry this PCR.
    pub actual: Option<Pcr>,
}

impl From<AppraisalRefusal> for Refusal {
    fn from(refusal: AppraisalRefusal) -> Self {
        Self::Appraisal(refusal)
    }
}

impl AppraisalRefusal {
    pub(super) fn row(&self) -> Row {
        match self {
            Self::DebugMode => Row::new(
                "debug-mode",
                "an enclave that was not started in debug mode",
                "PCR0, PCR1 and PCR2 all zero: the enclave was started with --debug-mode, and its host can read it",
            ),
            Self::NoReferenceValues => Row::new(
                "no-reference-values",
                "at least one known measurement",
                "none, and an empty policy denies",
            ),
            Self::Mismatch(mismatch) => {
                let (expected, actual): (Vec<_>, Vec<_>) = mismatch
                    .differences
                    .iter()
                    .map(|Difference { index, expected, actual }| {
                        let actual = actual.map_or_else(|| "absent".to_owned(), |pcr| pcr.to_string());
                        (format!("{index} {expected}"), format!("{index} {actual}"))
                    })
                    .unzip();
                Row::new(
                    "pcr-mismatch",
                    format!(
                        "a known measurement, closest is {:?} with {}",
                        mismatch.closest,
                        expected.join(", ")
                    ),
                    actual.join(", "),
                )
            }
        }
    }
}
