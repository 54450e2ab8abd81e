use std::fmt;

use super::Standing;

/// One thing in which a key's policy is not what the measurements say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The statement's Sid, or its number; `None` for what no statement says.
    pub statement: Option<String>,
    /// Which attested operations it concerns.
    pub operations: Vec<&'static str>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Anybody with the right credentials may, outside of every enclave too.
    NoCondition,
    /// A condition on the attestation that demands nothing.
    LooseCondition {
        /// Its key.
        key: String,
        /// Why.
        why: &'static str,
    },
    /// PCRs are demanded, and not the image.
    AnyImage,
    /// The principal is everybody.
    AnyPrincipal,
    /// Everybody but those who are named.
    NotPrincipal,
    /// Everything but what is named, also what KMS learns later.
    NotAction,
    /// A PCR0 that no active measurement of the key's workloads has.
    NotActive {
        /// The PCR0.
        pcr0: String,
        /// The measurement, and what it is worth; `None` where nobody knows it.
        is: Option<(String, Standing)>,
    },
    /// PCRs that the measurement pins and the statement does not.
    OpenPcrs {
        /// The measurement.
        measurement: String,
        /// Their indexes.
        pcrs: Vec<u8>,
    },
    /// An active measurement that no statement lets use the key.
    Missing {
        /// The measurement.
        measurement: String,
        /// Its PCR0.
        pcr0: String,
    },
}

impl Fault {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCondition => "no-condition",
            Self::LooseCondition { .. } => "loose-condition",
            Self::AnyImage => "any-image",
            Self::AnyPrincipal => "any-principal",
            Self::NotPrincipal => "not-principal",
            Self::NotAction => "not-action",
            Self::NotActive { is: Some((_, standing)), .. } => match standing {
                Standing::Revoked => "revoked-named",
                Standing::Expired => "expired-named",
                Standing::Pending => "pending-named",
                Standing::OfOtherWorkload | Standing::Active => "other-workload-named",
            },
            Self::NotActive { is: None, .. } => "unknown-named",
            Self::OpenPcrs { .. } => "pcrs-open",
            Self::Missing { .. } => "missing",
        }
    }

    /// `too wide` or `missing`.
    pub fn class(&self) -> &'static str {
        if matches!(self, Self::Missing { .. }) { "missing" } else { "too wide" }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCondition => {
                f.write_str("no condition on an attestation: it is allowed outside of every enclave")
            }
            Self::LooseCondition { key, why } => write!(f, "the condition on {key} binds nothing: {why}"),
            Self::AnyImage => f.write_str("no condition on ImageSha384 or PCR0: any image may"),
            Self::AnyPrincipal => f.write_str("the principal is *"),
            Self::NotPrincipal => f.write_str("NotPrincipal allows everybody it does not name"),
            Self::NotAction => f.write_str("NotAction allows whatever it does not name"),
            Self::NotActive { pcr0, is: Some((name, standing)) } => {
                write!(f, "names {name}, which is {standing} (PCR0 {})", short(pcr0))
            }
            Self::NotActive { pcr0, is: None } => {
                write!(f, "names an image that no measurement has (PCR0 {})", short(pcr0))
            }
            Self::OpenPcrs { measurement, pcrs } => {
                let list: Vec<String> = pcrs.iter().map(|index| format!("PCR{index}")).collect();
                write!(f, "does not demand {} of {measurement}, which pins it", list.join(", "))
            }
            Self::Missing { measurement, pcr0 } => {
                write!(f, "no statement lets {measurement} use the key (PCR0 {})", short(pcr0))
            }
        }
    }
}

/// Enough to find it; JSON has all of it.
fn short(pcr: &str) -> String {
    match pcr.get(..16) {
        Some(start) if pcr.len() > 16 => format!("{start}…"),
        _ => pcr.to_owned(),
    }
}
