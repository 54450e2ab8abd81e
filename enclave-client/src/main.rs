//! `countersign-enclave`: see the library of the same package.

use std::process::ExitCode;

use clap::Parser;
use countersign_enclave::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().execute()
}
