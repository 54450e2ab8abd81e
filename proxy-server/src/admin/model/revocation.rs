use countersign_verifier::PcrSet;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{Cut, Outcome, PcrsIn, Prose, Text};
use crate::{
    admin::{
        extract::{Incoming, SMALL},
        problem::ApiError,
    },
    policy::{WorkloadName, check_name},
    store::Change,
};

/// What to revoke, as it was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Revocation {
    #[serde(default, deserialize_with = "said")]
    workload: Option<Text<WorkloadName>>,
    #[serde(default, deserialize_with = "said")]
    measurement: Option<String>,
    #[serde(default, deserialize_with = "said")]
    pcrs: Option<PcrsIn>,
    #[serde(default)]
    reason: Option<Prose>,
}

/// What is there is not null: of "nothing in particular" nobody can say what is revoked.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Incoming for Revocation {
    const MOST: usize = SMALL;
}

/// What to revoke: one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Target {
    Workload(WorkloadName),
    Measurement(WorkloadName, String),
    Pcrs(Box<PcrSet>),
}

impl Revocation {
    /// The one thing, and why.
    pub(in crate::admin) fn check(self) -> Result<(Target, Option<String>), ApiError> {
        let Self { workload, measurement, pcrs, reason } = self;
        let target = match (workload, measurement, pcrs) {
            (Some(Text(workload)), None, None) => Target::Workload(workload),
            (Some(Text(workload)), Some(name), None) => {
                check_name(&name).map_err(|error| ApiError::invalid("measurement", error))?;
                Target::Measurement(workload, name)
            }
            (None, None, Some(PcrsIn(pcrs))) => Target::Pcrs(Box::new(pcrs)),
            (Some(_), _, Some(_)) => {
                return Err(ApiError::invalid(
                    "pcrs",
                    "either a workload or PCRs are revoked: PCRs are refused wherever they are",
                ));
            }
            (None, Some(_), _) => {
                return Err(ApiError::invalid(
                    "workload",
                    "missing; a measurement is named with its workload",
                ));
            }
            (None, None, None) => {
                return Err(ApiError::invalid(
                    "workload",
                    "missing; name a workload, a measurement of it, or pcrs",
                ));
            }
        };
        Ok((target, reason.map(Prose::into_string)))
    }
}

impl Target {
    pub(in crate::admin) fn change(self, reason: Option<String>) -> Change {
        match self {
            Self::Workload(workload) => Change::RevokeWorkload { workload, reason },
            Self::Measurement(workload, name) => Change::RevokeMeasurement { workload, name, reason },
            Self::Pcrs(pcrs) => Change::RevokePcrs { pcrs: *pcrs, reason },
        }
    }
}

/// What to revoke: one of these.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(in crate::admin) enum RevocationShape {
    Workload(RevokeWorkload),
    Measurement(RevokeMeasurement),
    Pcrs(Box<RevokePcrs>),
}

/// A workload with all its measurements' sessions.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(in crate::admin) struct RevokeWorkload {
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", example = "payments")]
    workload: String,
    /// Why.
    reason: Option<Prose>,
}

/// A measurement, for good: its PCRs leave a tombstone.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(in crate::admin) struct RevokeMeasurement {
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", example = "payments")]
    workload: String,
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", example = "v1.4.2")]
    measurement: String,
    /// Why.
    reason: Option<Prose>,
}

/// PCRs, in whatever workload they are or will be added.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(in crate::admin) struct RevokePcrs {
    pcrs: PcrsIn,
    /// Why.
    reason: Option<Prose>,
}

/// What a revocation did, and who has cut.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct RevocationOutcome {
    pub(in crate::admin) outcome: Outcome,
    /// Every live replica had cut when this was answered. False when nobody waited for it.
    pub(in crate::admin) acknowledged: bool,
    /// The store did not say who has cut when it was asked last. It is revoked all the same.
    pub(in crate::admin) unheard: bool,
    /// Live replicas that enforce the policy, with every tunnel cut that it does not allow.
    pub(in crate::admin) cut: Vec<Cut>,
    /// Replicas that have not said so yet.
    pub(in crate::admin) laggards: Vec<Cut>,
}
