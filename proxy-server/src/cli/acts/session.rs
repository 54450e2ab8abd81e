use std::process::ExitCode;

use crate::cli::{
    client::{Call, Client},
    failure::Failure,
    show::{self, Detail, Said, SessionRow},
    words::SessionCommand,
};

/// `session …`
pub(in crate::cli) async fn session(client: &Client, command: &SessionCommand) -> Result<ExitCode, Failure> {
    match command {
        SessionCommand::List { workload, measurement, list } => {
            let call = Call::get("/v1/sessions")
                .query("workload", workload.as_ref())
                .query("measurement", measurement.as_ref());
            show::list::<SessionRow>(client, call, list).await
        }
        SessionCommand::Show { session, read } => {
            let answer = client.ask(&Call::get(format!("/v1/sessions/{session}"))).await?;
            Detail::new(&answer)?
                .field("session", "/id")
                .field("workload", "/workload")
                .field("measurement", "/measurement")
                .field("module", "/module_id")
                .field("admitted", "/admitted")
                .field("lease, seconds", "/lease_seconds")
                .field("lease ends", "/lease_ends")
                .field("boot", "/boot_id")
                .field("attested", "/sequence")
                .field("key", "/key")
                .field("replica", "/replica")
                .field("epoch", "/epoch")
                .show(read.output)
        }
        SessionCommand::End { session, reason, change } => {
            let call = Call::delete(format!("/v1/sessions/{session}"))
                .dry_run(change.dry_run)
                .query("reason", reason.as_ref());
            let said = Said { done: "ended", doing: "ending", what: format!("session {session}") };
            show::changed(&client.ask(&call).await?, change.read.output, &said)
        }
    }
}
