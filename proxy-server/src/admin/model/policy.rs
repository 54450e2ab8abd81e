use serde::Serialize;
use utoipa::ToSchema;

use super::Moment;

/// The policy in force here.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct PolicyView {
    /// The installation's name.
    #[schema(example = "prod-eu-1")]
    pub(in crate::admin) deployment: String,
    /// The version that the store has.
    #[schema(minimum = 0)]
    pub(in crate::admin) epoch: u64,
    pub(in crate::admin) committed_at: Moment,
    /// The version in force on the replica that answers.
    #[schema(minimum = 0)]
    pub(in crate::admin) epoch_in_force: u64,
    /// Whether that replica has heard from the store lately.
    pub(in crate::admin) fresh: bool,
    /// Workloads in force that the caller sees.
    #[schema(minimum = 0)]
    pub(in crate::admin) workloads: u64,
    /// Measurements that admit, of those.
    #[schema(minimum = 0)]
    pub(in crate::admin) measurements: u64,
    /// How many people besides the author must agree to what allows more.
    #[schema(minimum = 0, maximum = 10)]
    pub(in crate::admin) approvals: u32,
    /// The root under which documents must stand.
    #[schema(example = "aws")]
    pub(in crate::admin) trust_root: String,
}
