//! Benchmarks: ours beside what a user would pick instead, in one run.
//!
//! ```text
//!   core 1: this process (load, upstream)  ──loopback──►  core 0: one server under test, never two at work at once
//!             │                                             countersign-proxy │ HAProxy │ nginx
//!             └── verifiers, ours in this process, the others as children on the same core, in turns
//! ```
//!
//! `run.sh` builds everything, starts this on core 1 and says how. Each part prints its table; all figures go to
//! `target/bench/report.json`, where a part that is run alone replaces its own names only.
//!
//! A server's rate is taken from the wall clock where the load kept its core busy, and from its own CPU time (user and
//! system) where it did not; the unit says which. A ratio compares two figures of the same kind.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod attest;
mod child;
mod competitor;
mod cores;
mod egress;
mod egress_policy;
mod enclave;
mod failure;
mod far;
mod fleet;
mod herd;
mod http1;
mod identity;
mod junk;
mod kms;
mod memory;
mod peers;
mod proxy;
mod replicas;
mod report;
mod revocation;
mod settings;
mod stats;
mod store;
mod telemetry;
mod tls;
mod tunnel;
mod upstream;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;
use crate::report::Report;
use crate::settings::{Part, Settings};

fn main() -> ExitCode {
    if far::is_meant() {
        return far::serve();
    }
    let settings = Settings::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&Failure::new(format!("no runtime: {error}"))),
    };
    // Servers are started by this thread and are told when it ends: `child.rs`.
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = run(&settings) => ended,
            _ = tokio::signal::ctrl_c() => Err(Failure::new("interrupted")),
        }
    });
    // Threads that move bytes end with their sockets, or with the process.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => refuse(&failure),
    }
}

async fn run(settings: &Settings) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for part in settings.parts() {
        println!("\n== {part}: {}", part.summary());
        let mut report = Report::default();
        let ended = match part {
            Part::Verify => verify::run(settings, &mut report).await,
            Part::Attest => attest::run(settings, &mut report).await,
            Part::Junk => junk::run(settings, &mut report).await,
            Part::Tunnel => tunnel::run(settings, &mut report).await,
            Part::Revocation => revocation::run(settings, &mut report).await,
            Part::Replicas => replicas::run(settings, &mut report).await,
            Part::Herd => herd::run(settings, &mut report).await,
            Part::Memory => memory::run(settings, &mut report).await,
            Part::Kms => kms::run(settings, &mut report).await,
            Part::Peers => peers::run(settings, &mut report).await,
            Part::Store => store::run(settings, &mut report).await,
            Part::Telemetry => telemetry::run(settings, &mut report).await,
            Part::Egress => egress::run(settings, &mut report).await,
            Part::EgressPolicy => egress_policy::run(settings, &mut report),
        };
        // What a part measured before it failed is as good as any.
        report.print();
        report.merge_into(&settings.report)?;
        if let Err(failure) = ended {
            eprintln!("countersign-bench: {part}: {failure}");
            failed.push(part.to_string());
        }
    }
    println!("\nfigures: {}", settings.report.display());
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("failed: {}", failed.join(", ")))) }
}

fn refuse(failure: &Failure) -> ExitCode {
    eprintln!("countersign-bench: {failure}");
    ExitCode::FAILURE
}
