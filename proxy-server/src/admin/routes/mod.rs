//! One file for each kind of thing, one function for each operation.
//!
//! The order in each is the same: who asks, what is asked, whether he may, then
//! the store. What he may not see does not exist.

pub(super) mod approvals;
pub(super) mod audit;
pub(super) mod audit_export;
pub(super) mod events;
pub(super) mod explain;
pub(super) mod health;
pub(super) mod measurements;
pub(super) mod metrics;
pub(super) mod policy;
pub(super) mod replicas;
pub(super) mod revocations;
pub(super) mod sessions;
pub(super) mod status;
pub(super) mod tokens;
pub(super) mod tombstones;
pub(super) mod whoami;
pub(super) mod workloads;

use crate::{
    admin::{problem::ApiError, state::Shared},
    policy::WorkloadName,
    store::{MeasurementRow, WorkloadRow},
};

/// The workload of this name. Whoever asks for it was asked whether he may.
async fn workload(api: &Shared, name: &WorkloadName) -> Result<WorkloadRow, ApiError> {
    let found = api.store.workload(name.as_str()).await?;
    found.ok_or_else(|| ApiError::not_found(format_args!("workload {name}")))
}

/// The measurement of this name. Whoever asks for it was asked whether he may.
async fn measurement(api: &Shared, workload: &WorkloadName, name: &str) -> Result<MeasurementRow, ApiError> {
    let found = api.store.measurement(workload.as_str(), name).await?;
    found.ok_or_else(|| ApiError::not_found(format_args!("measurement {workload}/{name}")))
}

/// Why something is done, in the query of a DELETE.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct ReasonParams {
    /// Check everything, change nothing, and say what would come of it.
    #[serde(default)]
    #[param(required = false, default = false)]
    dry_run: bool,
    /// Why.
    #[param(value_type = Option<String>, min_length = 1, max_length = 500, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$", nullable = false)]
    reason: Option<crate::admin::model::Prose>,
}

impl ReasonParams {
    fn take(self) -> (crate::store::Mode, Option<String>) {
        (crate::admin::extract::mode(self.dry_run), self.reason.map(crate::admin::model::Prose::into_string))
    }
}
