use std::process::ExitCode;

use serde_json::Value;

use crate::cli::{
    client::{Call, Client},
    failure::Failure,
    show::Detail,
    words::ReadArgs,
};

/// `status`
pub(in crate::cli) async fn status(client: &Client, read: &ReadArgs) -> Result<ExitCode, Failure> {
    let answer = client.ask(&Call::get("/v1/status")).await?;
    let told: Value = answer.json()?;
    Detail::new(&answer)?
        .field("state", "/state")
        .field("store", "/checks/0/detail")
        .field("session CA", "/checks/1/detail")
        .field("clock", "/checks/2/detail")
        .field("deployment", "/deployment")
        .field("version", "/version")
        .field("sessions", "/sessions")
        .field("lapsing", "/lapsing/count")
        .field("tunnels", "/tunnels")
        .field("admitted", "/totals/admitted")
        .field("renewed", "/totals/renewed")
        .field("attestations refused", "/totals/refused")
        .field("tunnels opened", "/totals/tunnels_opened")
        .field("tunnels refused", "/totals/tunnels_refused")
        .field("bytes up", "/totals/bytes_up")
        .field("bytes down", "/totals/bytes_down")
        .show(read.output)?;
    let ready = told.get("state").and_then(Value::as_str) == Some("ready");
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

pub(in crate::cli) const STATUS_NEEDS_A_SERVER: &str = "\
how a proxy does only the proxy itself can say: give --server URL (or COUNTERSIGN_SERVER) and a token; \
what replicas told the store is in `countersign-proxy replica list`";
