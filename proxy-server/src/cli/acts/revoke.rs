use std::process::ExitCode;

use serde_json::{Map, Value};

use crate::cli::{
    client::{Call, Client},
    failure::Failure,
    show::{self, Said},
    words::RevokeArgs,
};

/// Revokes what `target` says: a workload, a measurement of it, or PCRs.
/// Whoever revokes need not have read anything before: one person stops
/// something at once.
pub(super) async fn revoke(
    client: &Client,
    mut target: Map<String, Value>,
    what: String,
    args: &RevokeArgs,
) -> Result<ExitCode, Failure> {
    let RevokeArgs { reason, wait, change } = args;
    if let Some(reason) = reason {
        target.insert("reason".to_owned(), reason.clone().into());
    }
    let call = Call::post("/v1/revocations")
        .dry_run(change.dry_run)
        .query("wait", wait.as_ref())
        .waits(wait.map(|wait| wait.duration()).unwrap_or_default())
        .json(&target.into());
    let answer = client.ask(&call).await?;
    let said = Said { done: "revoked", doing: "revoking", what };
    let waited = wait.map(|wait| wait.to_string());
    show::revoked(&answer, change.read.output, &said, waited.as_deref())
}
