//! `countersign-proxy`, built here so that tests find it: cargo tells an
//! integration test only where its own package's programs are.

use std::process::ExitCode;

use clap::Parser;
use countersign_proxy::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
