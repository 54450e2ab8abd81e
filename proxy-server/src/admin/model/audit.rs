use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Moment;
use crate::store::{AuditEvent, AuditRow, ChainRow};

/// One row of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct AuditEntry {
    /// `policy`, or `replica/<hex>`.
    chain: String,
    /// Its place in the chain.
    #[schema(minimum = 1)]
    seq: u64,
    /// Of this row and all before it.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
    at: Moment,
    /// `admission`, `refusal`, `end`, `policy` or `access`.
    kind: String,
    code: String,
    #[schema(minimum = 0)]
    epoch: u64,
    workload: Option<String>,
    measurement: Option<String>,
    #[schema(pattern = "^[0-9a-f]{32}$")]
    session: Option<String>,
    request_id: Option<String>,
    /// Who asked, where it is not the enclave itself.
    actor: Option<String>,
    /// What changed, as it was.
    before: Option<Value>,
    /// As it is.
    after: Option<Value>,
    /// SHA-256 of the document.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    evidence: Option<String>,
    detail: Option<String>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        let AuditRow { chain, seq, event, hash } = row;
        let AuditEvent {
            at,
            kind,
            code,
            epoch,
            workload,
            measurement,
            session,
            request_id,
            actor,
            before,
            after,
            evidence,
            detail,
        } = event;
        Self {
            chain,
            seq,
            hash: hex::encode(hash),
            at: Moment(at),
            kind: kind.into_owned(),
            code: code.into_owned(),
            epoch: epoch.0,
            workload,
            measurement,
            session: session.map(|id| id.to_string()),
            request_id,
            actor,
            before: before.map(readable),
            after: after.map(readable),
            evidence: evidence.map(hex::encode),
            detail,
        }
    }
}

/// JSON as JSON, and anything else as the text it is.
fn readable(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// Where a chain of the audit stands.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Chain {
    name: String,
    /// Its last row.
    #[schema(minimum = 0)]
    seq: u64,
    /// The hash of that row.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
}

impl From<ChainRow> for Chain {
    fn from(row: ChainRow) -> Self {
        let ChainRow { name, seq, hash } = row;
        Self { name, seq, hash: hex::encode(hash) }
    }
}
