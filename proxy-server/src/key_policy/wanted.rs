use std::{collections::BTreeSet, fmt};

use countersign_verifier::PcrSet;
use serde_json::{Map, Value, json};

use super::OPERATIONS;

/// A measurement, as far as a key policy is concerned with it.
#[derive(Clone, Debug)]
pub struct Known {
    /// `workload/name`; a revoked set of PCRs may have none.
    pub name: String,
    /// Its PCRs.
    pub pcrs: PcrSet,
    /// What it is worth.
    pub standing: Standing,
}

/// What a measurement is worth to a key's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It admits, now or from a moment on, and the key is for its workload.
    Active,
    /// It admits, and the key is not for its workload.
    OfOtherWorkload,
    /// It waits for somebody's approval.
    Pending,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::OfOtherWorkload => "of another workload",
            Self::Pending => "pending",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        })
    }
}

/// A key policy's statements that let these principals use the key inside of these measurements' enclaves, and
/// nowhere else: one for each measurement, since conditions of one statement are alternatives value by value.
///
/// They are no whole policy: a key must keep a statement by which somebody can administer it.
pub fn statements(principals: &[String], measurements: &[Known]) -> Value {
    let mut sids = BTreeSet::new();
    let statement = |known: &Known| {
        let conditions: Map<String, Value> = known
            .pcrs
            .iter()
            .map(|(index, value)| (condition_key(index.get()), value.to_string().into()))
            .collect();
        json!({
            "Sid": sid(&known.name, &mut sids),
            "Effect": "Allow",
            "Principal": { "AWS": one_or_many(principals) },
            "Action": OPERATIONS,
            "Resource": "*",
            "Condition": { "StringEqualsIgnoreCase": conditions },
        })
    };
    let list: Vec<Value> = measurements.iter().map(statement).collect();
    json!({ "Version": "2012-10-17", "Statement": list })
}

/// PCR0 has a name of its own as well, which says what it is.
fn condition_key(index: u8) -> String {
    match index {
        0 => "kms:RecipientAttestation:ImageSha384".to_owned(),
        other => format!("kms:RecipientAttestation:PCR{other}"),
    }
}

/// IAM writes a list of one as that one.
fn one_or_many(texts: &[String]) -> Value {
    match texts {
        [one] => one.as_str().into(),
        many => many.into(),
    }
}

/// Letters and digits only, and each once in a policy: `payments/v1.2` is `CountersignPaymentsV12`.
fn sid(name: &str, taken: &mut BTreeSet<String>) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    });
    let base = format!("Countersign{}", words.collect::<String>());
    let mut sid = base.clone();
    let mut number = 1;
    while !taken.insert(sid.clone()) {
        number += 1;
        sid = format!("{base}N{number}");
    }
    sid
}
