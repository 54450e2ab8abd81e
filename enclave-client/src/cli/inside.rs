//! What belongs to the enclave as a machine: ingress, health, log, clock, PID 1.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use countersign_protocol::wire;
use tracing::error;

use super::{EXIT_OS, RunArgs};
use crate::{
    child::ApplicationOutput,
    device::{ClockPolicy, Nsm},
    ingress::IngressListen,
    init::{self, AtEnd, Heartbeat, Inside, LogQueue, Pid1},
    log::{self, LogFormat},
    telemetry::LateLayer,
    transport::{Dial, Listen, TransportError},
};

#[derive(Debug, Args)]
pub(super) struct InsideArgs {
    /// Where the manifest's ingress ports are listened on: vsock, unix:/directory or tcp:address
    #[arg(long, value_name = "WHERE", default_value = "vsock")]
    ingress_listen: IngressListen,
    /// Where health is told over HTTP: none, vsock:port, unix:/path or tcp:address:port
    #[arg(long, value_name = "WHERE", default_value = "none", value_parser = parse_health)]
    health: HealthListen,
    /// Where the log goes
    #[arg(long, value_enum, default_value_t)]
    logs: Logs,
    /// Where the host half takes log lines; its own port by default
    #[arg(long, value_name = "TRANSPORT", requires = "logs")]
    host_logs: Option<Dial>,
    /// Where the application's standard output and error go
    #[arg(long, value_enum, default_value_t)]
    application_output: ApplicationOutput,
    /// What to do when the clock is off from the NSM's timestamps by more than 5 seconds
    #[arg(long, value_enum, default_value_t)]
    clock: ClockPolicy,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Logs {
    /// Standard error: an enclave's console, which is dark outside debug mode
    #[default]
    Stderr,
    /// The host half, which can read it
    Host,
}

#[derive(Clone, Debug)]
struct HealthListen(Option<Listen>);

impl InsideArgs {
    /// Starts the log.
    pub(super) fn start(&self, format: LogFormat) -> (Inside, Option<(LogQueue, Dial)>, LateLayer) {
        let (logs, late) = match self.logs {
            Logs::Stderr => (None, log::init(format)),
            Logs::Host => {
                let queue = LogQueue::new(format);
                let late = log::init_to(format, queue.clone());
                let host = Dial::Vsock { cid: PARENT, port: wire::HOST_LOG_PORT };
                (Some((queue, self.host_logs.clone().unwrap_or(host))), late)
            }
        };
        let inside = Inside { ingress: self.ingress_listen.clone(), health: self.health.0.clone() };
        (inside, logs, late)
    }

    pub(super) fn clock(&self) -> ClockPolicy {
        self.clock
    }

    pub(super) fn application_output(&self) -> ApplicationOutput {
        self.application_output
    }
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where the parent waits for the sign of life: none, vsock:cid:port …
    #[arg(long, value_name = "TRANSPORT", default_value = "vsock:3:9000")]
    heartbeat: Heartbeat,
    /// What to do when the application has ended
    #[arg(long, value_enum, default_value_t)]
    at_end: AtEnd,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

impl InitArgs {
    pub(super) fn execute(self, format: LogFormat) -> ExitCode {
        let first = match Pid1::check() {
            Ok(first) => first,
            Err(why) => {
                log::init(format);
                error!(code = "not-pid-1", "{why}");
                return ExitCode::from(EXIT_OS);
            }
        };
        let code = self.run.execute(format, &Prepare::Machine { first: &first, heartbeat: &self.heartbeat });
        first.end(self.at_end);
        ExitCode::from(code)
    }
}

/// What is seen to before the manifest is read.
pub(super) enum Prepare<'a> {
    /// This process's own needs.
    Process,
    /// A machine that boots with nothing.
    Machine {
        /// The proof.
        first: &'a Pid1,
        /// To the parent.
        heartbeat: &'a Heartbeat,
    },
}

impl Prepare<'_> {
    pub(super) async fn before(&self) {
        if let Self::Machine { first, heartbeat } = self {
            first.prepare_machine(heartbeat).await;
        }
        init::prepare_process();
        init::seed(&Nsm);
    }
}

/// A word for nowhere, or a place.
fn parse_health(text: &str) -> Result<HealthListen, String> {
    if text == "none" {
        return Ok(HealthListen(None));
    }
    let port = wire::ENCLAVE_HEALTH_PORT;
    let wrong = |why: TransportError| format!("{why}, or none; vsock:{port} is the convention");
    let listen = text.parse().map_err(wrong)?;
    Ok(HealthListen(Some(listen)))
}

/// The parent instance, as an enclave sees it (AWS Nitro Enclaves user guide, "vsock").
const PARENT: u32 = 3;
