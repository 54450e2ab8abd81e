//! `countersign-enclave`: see the library of the same package.

use std::process::ExitCode;

use clap::Parser;
use countersign_enclave::cli::Cli;

/// A connection takes and gives back a dozen pieces of a few kilobytes while it is opened. glibc's
/// malloc merges free pieces before each of those that is larger than a kilobyte.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().execute()
}
