//! One set of expected PCRs.

use super::measurement_json;
use super::shape::Shape;
use crate::pcr::{NotAPcr, Pcr, PcrIndex, PcrSet};
use crate::refusal::Difference;
use std::cmp::Ordering;
use std::fmt;

/// A named set of expected PCRs: 0, 1 and 2, and any others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    name: String,
    required: [Pcr; 3],
    /// The others, lowest index first: few, so a list is shorter than a [`PcrSet`].
    others: Box<[(PcrIndex, Pcr)]>,
    /// The indexes of both.
    shape: Shape,
}

impl Measurement {
    /// A measurement from its PCRs.
    ///
    /// # Errors
    /// PCR0, 1 or 2 is missing, or an index stands twice with different values.
    pub fn new(
        name: impl Into<String>,
        pcrs: impl IntoIterator<Item = (PcrIndex, Pcr)>,
    ) -> Result<Self, MeasurementError> {
        let mut set = PcrSet::EMPTY;
        for (index, value) in pcrs {
            match set.insert(index, value) {
                Err(other) if other != value => return Err(MeasurementError::Contradiction { index }),
                Ok(()) | Err(_) => {}
            }
        }
        let required = |index| set.get(index).copied().ok_or(MeasurementError::Missing { index });
        Ok(Self {
            name: name.into(),
            required: [required(PcrIndex::PCR0)?, required(PcrIndex::PCR1)?, required(PcrIndex::PCR2)?],
            others: set
                .iter()
                .filter(|(index, _)| index.get() > 2)
                .map(|(index, value)| (index, *value))
                .collect(),
            shape: Shape::of(&set),
        })
    }

    /// Reads what `nitro-cli build-enclave` and `describe-eif` print, or a flat object of PCRs.
    ///
    /// ```json
    /// {"Measurements": {"HashAlgorithm": "Sha384 { ... }", "PCR0": "<96 hex digits>", "PCR1": "…", "PCR2": "…"}}
    /// {"PCR0": "<96 hex digits>", "PCR1": "…", "PCR2": "…", "PCR8": "…"}
    /// ```
    ///
    /// PCR8 and any other PCR that stands there is part of the measurement. Of `describe-eif`, everything beside
    /// `Measurements` is passed over; within the measurements, only PCRs and `HashAlgorithm` may stand.
    ///
    /// # Errors
    /// What does not fit, with the key it stands under.
    pub fn from_json(name: impl Into<String>, json: &[u8]) -> Result<Self, MeasurementError> {
        Self::new(name, measurement_json::pcrs(json)?)
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The expected PCRs, lowest index first.
    pub fn pcrs(&self) -> impl Iterator<Item = (PcrIndex, &Pcr)> {
        let required = [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2].into_iter().zip(&self.required);
        required.chain(self.others.iter().map(|(index, value)| (*index, value)))
    }

    pub(super) fn pcr0(&self) -> &Pcr {
        let [pcr0, ..] = &self.required;
        pcr0
    }

    pub(super) const fn shape(&self) -> Shape {
        self.shape
    }

    /// The order among measurements of one PCR0: by shape, so that those that name the same PCRs stand together and
    /// those that name the most come first; then by the PCRs; then by name.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let Self { name, required: [_, pcr1, pcr2], others, shape } = self;
        let of_other = (other.shape, &other.required[1], &other.required[2], &other.others, &other.name);
        (*shape, pcr1, pcr2, others, name).cmp(&of_other)
    }

    /// The same order against PCRs, for a measurement that names no PCR they lack.
    pub(super) fn order_against(&self, actual: &PcrSet) -> Ordering {
        self.pcrs()
            .map(|(index, expected)| Some(expected).cmp(&actual.get(index)))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// How many PCRs differ; among equals, the same image with another signer is closer than another image.
    pub(super) fn distance(&self, actual: &PcrSet) -> (usize, usize) {
        let differs = |(index, expected)| usize::from(actual.get(index) != Some(expected));
        let indexes = [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2];
        let required: usize = indexes.into_iter().zip(&self.required).map(differs).sum();
        let others: usize = self.others.iter().map(|(index, value)| differs((*index, value))).sum();
        (required + others, required)
    }

    pub(super) fn differences(&self, actual: &PcrSet) -> impl Iterator<Item = Difference> {
        self.pcrs().filter_map(move |(index, expected)| {
            let actual = actual.get(index);
            (actual != Some(expected)).then(|| Difference {
                index,
                expected: *expected,
                actual: actual.copied(),
            })
        })
    }
}

/// Why a measurement could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasurementError {
    /// PCR0, 1 or 2 is not there.
    Missing {
        /// Which one.
        index: PcrIndex,
    },
    /// An index has two values.
    Contradiction {
        /// Which one.
        index: PcrIndex,
    },
    /// Not JSON, or not an object.
    NotJson {
        /// What the JSON reader says.
        reason: String,
    },
    /// A key that is no PCR.
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A value that is not a PCR.
    NotAPcr {
        /// The key it stands under.
        key: String,
        /// What is wrong with it.
        error: NotAPcr,
    },
    /// A value that is not text.
    NotText {
        /// The key it stands under.
        key: String,
    },
    /// Another hash algorithm than SHA-384.
    HashAlgorithm {
        /// What stands there.
        actual: String,
    },
}

impl fmt::Display for MeasurementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { index } => {
                write!(f, "{index} is missing: a measurement needs PCR0, PCR1 and PCR2")
            }
            Self::Contradiction { index } => write!(f, "{index} stands twice, with different values"),
            Self::NotJson { reason } => write!(f, "not a JSON object of PCRs: {reason}"),
            Self::UnknownKey { key } => {
                write!(f, "{key:?} is no PCR: keys are PCR0 to PCR31 and HashAlgorithm")
            }
            Self::NotAPcr { key, error } => write!(f, "{key:?}: {error}"),
            Self::NotText { key } => write!(f, "{key:?} is not text"),
            Self::HashAlgorithm { actual } => {
                write!(f, "HashAlgorithm is {actual:?}: Nitro enclaves are measured with SHA-384")
            }
        }
    }
}

impl std::error::Error for MeasurementError {}
