//! PostgreSQL: one server for any number of replicas.

use super::open::{Missing, Pools};
use crate::store::StoreError;

pub(super) async fn open(_url: &str, _missing: Missing) -> Result<Pools, StoreError> {
    Err(StoreError::Address { reason: "not yet".to_owned() })
}
