//! `countersign-enclave`, built here so that tests find it.

use std::process::ExitCode;

use clap::Parser;
use countersign_enclave::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().execute()
}
