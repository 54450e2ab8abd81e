use serde::Serialize;
use utoipa::ToSchema;

use super::Moment;
use crate::store::SessionRow;

/// A live session.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct SessionView {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    workload: String,
    measurement: String,
    /// SHA-256 of the enclave's key.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    key: String,
    /// The enclave's boot.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    boot_id: String,
    /// How often that boot attested.
    #[schema(minimum = 0)]
    sequence: u64,
    #[schema(minimum = 30, maximum = 600)]
    lease_seconds: u64,
    lease_ends: Moment,
    admitted: Moment,
    /// The policy that admitted it.
    #[schema(minimum = 0)]
    epoch: u64,
    /// The EC2 instance and enclave that the evidence names.
    module_id: Option<String>,
    /// The id of the replica that admitted or renewed it last.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    replica: Option<String>,
}

impl From<SessionRow> for SessionView {
    fn from(row: SessionRow) -> Self {
        let SessionRow {
            id,
            key,
            workload,
            measurement,
            boot_id,
            sequence,
            lease,
            lease_ends,
            epoch,
            module_id,
            replica,
            admitted,
        } = row;
        Self {
            id: id.to_string(),
            workload,
            measurement,
            key: key.to_string(),
            boot_id: boot_id.to_string(),
            sequence,
            lease_seconds: lease.as_secs(),
            lease_ends: Moment(lease_ends),
            admitted: Moment(admitted),
            epoch: epoch.0,
            module_id,
            replica: replica.map(hex::encode),
        }
    }
}
