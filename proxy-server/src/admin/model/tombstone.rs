use countersign_verifier::PcrSet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Moment, Pcrs, PcrsIn};
use crate::{
    admin::extract::{Incoming, SMALL},
    store::TombstoneRow,
};

/// A revoked set of PCRs.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct TombstoneView {
    pcrs: Pcrs,
    /// The workload it was revoked in; null when PCRs were revoked by themselves.
    workload: Option<String>,
    measurement: Option<String>,
    #[schema(minimum = 0)]
    epoch: u64,
    revoked: Moment,
    /// Who.
    author: Option<String>,
    /// Why.
    reason: Option<String>,
}

impl From<TombstoneRow> for TombstoneView {
    fn from(row: TombstoneRow) -> Self {
        let TombstoneRow { pcrs, workload, measurement, epoch, revoked, author, reason } = row;
        let named = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            pcrs: Pcrs(pcrs),
            workload: named(workload),
            measurement: named(measurement),
            epoch: epoch.0,
            revoked: Moment(revoked),
            author,
            reason,
        }
    }
}

/// Exactly the set that was revoked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct LiftTombstone {
    pcrs: PcrsIn,
}

impl Incoming for LiftTombstone {
    const MOST: usize = SMALL;
}

impl LiftTombstone {
    pub(in crate::admin) fn pcrs(self) -> PcrSet {
        let Self { pcrs: PcrsIn(pcrs) } = self;
        pcrs
    }
}
