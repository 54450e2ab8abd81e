//! The program; everything it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use countersign_proxy::cli::{Cli, run};

/// glibc's malloc gives memory back and takes it again under bulk transfers, which
/// halves the throughput at times.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse())
}
