use std::process::ExitCode;

use super::restored::NEEDS_THE_MACHINE;
use crate::cli::{
    client::{Call, Client},
    failure::Failure,
    show::{self, Detail, ReplicaRow},
    words::{PolicyCommand, ReplicaCommand},
};

/// `replica …`
pub(in crate::cli) async fn replica(client: &Client, command: &ReplicaCommand) -> Result<ExitCode, Failure> {
    match command {
        ReplicaCommand::List(read) => {
            show::list_whole::<ReplicaRow>(client, Call::get("/v1/replicas"), read.output).await
        }
    }
}

/// `policy …`
pub(in crate::cli) async fn policy(client: &Client, command: &PolicyCommand) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Show(read) => {
            let answer = client.ask(&Call::get("/v1/policy")).await?;
            Detail::new(&answer)?
                .field("deployment", "/deployment")
                .field("epoch", "/epoch")
                .field("committed", "/committed_at")
                .field("workloads", "/workloads")
                .field("measurements", "/measurements")
                .field("approvals", "/approvals")
                .field("trust root", "/trust_root")
                .show(read.output)
        }
        PolicyCommand::AcceptRestored(_) => Err(Failure::Usage(NEEDS_THE_MACHINE.to_owned())),
    }
}
