//! Peers from the command line: their configurations are made and checked where images are built, never in an enclave.

mod check;
mod config;
mod file;
mod probe;

use std::process::ExitCode;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(super) struct PeerArgs {
    #[command(subcommand)]
    command: PeerCommand,
}

#[derive(Debug, Subcommand)]
enum PeerCommand {
    /// Write an enclave's configuration for its peers, as a Kubernetes ConfigMap
    Config(Box<config::ConfigArgs>),
    /// Verify a peer's configuration: its signature or hash, its time, and what is in it
    Check(check::CheckArgs),
    /// Attest a peer that is running, and print what it proved
    Probe(probe::ProbeArgs),
}

impl PeerArgs {
    pub(super) fn execute(self) -> ExitCode {
        match self.command {
            PeerCommand::Config(args) => args.execute(),
            PeerCommand::Check(args) => args.execute(),
            PeerCommand::Probe(args) => args.execute(),
        }
    }
}

/// It was refused.
const EXIT_REFUSED: u8 = 1;
