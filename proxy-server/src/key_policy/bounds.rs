use std::collections::BTreeMap;

use super::{
    document::{Condition, Statement},
    operators::Operator,
};

/// Which PCRs a statement demands: of each one that it names, one of these values. Hexadecimal digits in lower case,
/// which is how KMS compares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub(super) pcrs: BTreeMap<u8, Vec<String>>,
    /// Conditions on an attestation that demand nothing: the key as it was written, and why.
    pub(super) loose: Vec<(String, &'static str)>,
}

impl Bounds {
    /// What the conditions of a statement that allows demand.
    pub(super) fn of(conditions: &[Condition]) -> Self {
        let mut bounds = Self::default();
        for Condition { operator, key, values } in conditions {
            let Some(index) = pcr(key) else { continue };
            let exact: Result<Vec<String>, &'static str> = match operator {
                Operator::EqualsIgnoreCase => Ok(values.iter().map(|v| v.to_ascii_lowercase()).collect()),
                Operator::Equals => Ok(exact(values)),
                Operator::Like if values.iter().any(|value| value.contains(['*', '?'])) => {
                    Err("StringLike with a wildcard")
                }
                Operator::Like => Ok(exact(values)),
                Operator::NotEquals | Operator::NotEqualsIgnoreCase => {
                    Err("it excludes, and lets everything else pass")
                }
                Operator::Loose(why) => Err(why),
            };
            match exact {
                Ok(values) => bounds.demand(index, values),
                Err(why) => bounds.loose.push((key.clone(), why)),
            }
        }
        bounds
    }

    /// What is left by a statement that denies everybody whatever has none of its values, if it is one: then no
    /// statement that allows gives more.
    pub(super) fn left_by(statement: &Statement) -> Option<Self> {
        // Several conditions must hold together before it denies: then each alone is no bound.
        let ([Condition { operator, key, values }], true) =
            (&statement.conditions[..], statement.denies_everybody())
        else {
            return None;
        };
        let values = match operator {
            Operator::NotEqualsIgnoreCase => values.iter().map(|value| value.to_ascii_lowercase()).collect(),
            Operator::NotEquals => exact(values),
            _ => return None,
        };
        let mut bounds = Self::default();
        bounds.demand(pcr(key)?, values);
        Some(bounds)
    }

    /// Both must hold.
    pub(super) fn narrow(&mut self, other: &Self) {
        for (index, values) in &other.pcrs {
            self.demand(*index, values.clone());
        }
    }

    fn demand(&mut self, index: u8, values: Vec<String>) {
        let demanded = self.pcrs.entry(index).or_insert_with(|| values.clone());
        demanded.retain(|value| values.contains(value));
    }
}

/// Values that a comparison with regard to case can ever find.
fn exact(values: &[String]) -> Vec<String> {
    values.iter().filter(|value| !value.bytes().any(|b| b.is_ascii_uppercase())).cloned().collect()
}

/// The register that a condition key is about (KMS developer guide, "Condition keys for attested platforms").
fn pcr(key: &str) -> Option<u8> {
    let what = key.strip_prefix("kms:recipientattestation:")?;
    match what.strip_prefix("pcr") {
        _ if what == "imagesha384" => Some(0),
        Some(number) => number.parse().ok().filter(|number| *number < 32),
        None => None,
    }
}
