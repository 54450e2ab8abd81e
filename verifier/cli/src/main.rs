//! `countersign-verify`: what an attestation document says, and whether it holds; what an enclave image measures to.
//!
//! ```text
//! args ─▶ input (file or stdin; binary, base64 or hex) ─▶ inspect | verify ─▶ text or JSON ─▶ exit code
//!      ─▶ image (file or stdin) ─▶ eif ─▶
//! ```
//!
//! The verdict goes to standard output, what went wrong before there was one to standard error. This program reads the
//! machine's clock when no time is given; the verifier itself never does.

mod args;
mod eif;
mod input;
mod inspect;
mod output;
mod verify;

use args::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

/// How a run ended, apart from wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
}

fn main() -> ExitCode {
    // Wrong usage ends in clap with exit code 2 as well.
    let Arguments { command } = Arguments::parse();
    let outcome = match command {
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Eif(arguments) => eif::run(&arguments),
    };
    match outcome {
        Ok(Outcome::Accepted) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(1),
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
    }
}
