//! `make run`: the main job as a story, every step checked.
//!
//! ```text
//!   story ──starts──► countersign-proxy ◄──attest, tunnel── countersign-enclave ──► sh, curl
//!     │                      └──────────tunnel──────────► upstream (in this process)
//!     └──narrator: ✓ what was checked, ✗ what was expected and which log to read
//! ```
//!
//! Every program runs behind [`guard`] and in a process group of its own: none
//! outlives the demo, however that ends.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod child;
mod enclave;
mod failure;
mod guard;
mod narrator;
mod programs;
mod proxy;
mod story;
mod upstream;
mod world;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use failure::Failure;

/// Shows the main job: a proxy, three enclaves, a refusal, a revocation.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Go through the story once and exit; 0 only if every step went as told.
    #[arg(long)]
    once: bool,
    /// Working folder, made anew each time [default: .run beside target]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Becomes another program that ends with the demo.
    #[command(hide = true)]
    Guard {
        #[arg(long)]
        parent: u32,
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
}

/// What happens after the last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Stop everything.
    Stop,
    /// Stay up until a signal comes.
    Stay,
}

fn main() -> ExitCode {
    let Arguments { once, dir, role } = Arguments::parse();
    let (result, whose) = match role {
        Some(Role::Guard { parent, program }) => match program.as_slice() {
            [program, arguments @ ..] => (guard::become_program(parent, program, arguments), "guard"),
            [] => (Ok(()), "guard"),
        },
        None => (tell(if once { Ending::Stop } else { Ending::Stay }, dir), "story"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("countersign-demo: the {whose} failed: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// One thread: the kernel's signal at the demo's death ([`guard`]) is tied to
/// the thread that started the child.
fn tell(ending: Ending, dir: Option<PathBuf>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::system("an async runtime"))?.block_on(story::tell(ending, dir))
}
