//! The command line: what was typed, and which exit code comes of it.

mod check;
mod explain;
mod host;
mod host_way;
mod inside;
mod kms;
mod learn;
mod peer;
mod reports;
mod run;
mod runtime;
mod telemetry;
mod transparent;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use countersign_protocol::egress::Rule;
use tracing::{error, info, warn};

use crate::{
    child::Application,
    device::Device,
    init::Inside,
    log::{self, LogFormat},
    manifest::{self, Manifest, ManifestError},
    peers::config::Verifiers,
    telemetry::{LateLayer, NamedBy},
    transparent::AddressPool,
};

pub use host_way::{HostWay, HostWayError};
use inside::{InitArgs, InsideArgs, Prepare};
pub use kms::KmsStartError;
pub use reports::ReportsError;
pub use run::{Outcome, RunError, RunOptions, TelemetryOptions, run};
pub use transparent::TransparentOptions;

/// Attests this enclave to its proxies and carries the application's traffic.
#[derive(Debug, Parser)]
#[command(name = "countersign-enclave", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Format of the log, which goes to standard error. Its level: COUNTERSIGN_LOG=debug
    #[arg(long, value_enum, default_value_t, global = true)]
    log: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the application once the enclave is attested, and exit with its code
    Run(RunArgs),
    /// On the parent machine: carry bytes between the enclave and the network
    Host(Box<host::HostArgs>),
    /// The same as PID 1 of an enclave: prepare the machine first, and end it with the application
    Init(InitArgs),
    /// Print every mistake in a manifest with line and column, or "ok" and what is in it
    Check(check::CheckArgs),
    /// Name the rule that decides for a destination, and for the addresses it leads to
    Explain(explain::ExplainArgs),
    /// Who a peer enclave may be: write it, verify it, and ask one that is running
    Peer(peer::PeerArgs),
    /// Print the JSON Schema of the manifest, for editors
    Schema,
}

#[derive(Debug, Args)]
struct ManifestArg {
    /// The manifest: what may be reached, and how
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Where ConfigMaps are mounted, as DIR/name/key: for destinations whose name stands in one
    #[arg(long, value_name = "DIR")]
    config_maps: Option<PathBuf>,
}

/// What a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    manifest: ManifestArg,
    /// How long to wait for every proxy's first grant before the application starts; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=3600))]
    wait_attested: u64,
    /// What to do when that time is over
    #[arg(long, value_enum, default_value_t)]
    if_unattested: IfUnattested,
    /// How bytes leave: auto (through the host half at vsock:3:12280 in an enclave, else direct),
    /// direct, or where the host half listens (vsock:3:PORT, unix:/path, tcp:host:port)
    #[arg(long, value_name = "WAY", default_value_t)]
    host: HostWay,
    #[command(flatten)]
    inside: InsideArgs,
    #[command(flatten)]
    transparent: TransparentOptions,
    #[command(flatten)]
    learn: learn::LearnArgs,
    #[command(flatten)]
    telemetry: telemetry::TelemetryArgs,
    #[cfg(feature = "simulator")]
    #[command(flatten)]
    danger: DangerArgs,
    /// The application and its arguments. `--` before it may be left out, and must be on a kernel's command line
    #[arg(required = true, value_name = "APP", trailing_var_arg = true)]
    application: Vec<OsString>,
}

/// Development only; these flags exist in no release build.
#[cfg(feature = "simulator")]
#[derive(Debug, Args)]
struct DangerArgs {
    /// DEVELOPMENT ONLY: sign documents in software under the root in this directory. Proves nothing
    #[arg(long, value_name = "DIR", requires = "danger_image")]
    danger_software_nsm: Option<PathBuf>,
    /// DEVELOPMENT ONLY: the image whose measurements the software module shows
    #[arg(long, value_name = "NAME", requires = "danger_software_nsm")]
    danger_image: Option<String>,
}

/// What `run` does when attestation takes too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum IfUnattested {
    /// Start the application; until it is attested its connections are refused with the reason
    #[default]
    Start,
    /// Exit with code 69
    Exit,
}

impl Cli {
    /// Does what was asked for.
    pub fn execute(self) -> ExitCode {
        match self.command {
            Command::Check(args) => {
                log::init(self.log);
                args.execute()
            }
            Command::Explain(args) => {
                log::init(self.log);
                args.execute()
            }
            Command::Peer(args) => args.execute(),
            Command::Schema => {
                println!("{:#}", manifest::schema());
                ExitCode::SUCCESS
            }
            Command::Host(args) => args.execute(log::init(self.log)),
            Command::Run(args) => ExitCode::from(args.execute(self.log, &Prepare::Process)),
            Command::Init(args) => args.execute(self.log),
        }
    }
}

impl ManifestArg {
    fn load(&self) -> Result<Manifest, ManifestError> {
        Manifest::load(&self.manifest, self.config_maps.as_deref())
    }

    /// The lines that a person reads.
    fn lines(&self, error: &ManifestError) -> Vec<String> {
        error.lines(&self.manifest.display().to_string())
    }
}

/// The manifest's rules and those of `run` itself: nothing outside is at an address of the pool.
fn rules_in_force(manifest: &Manifest) -> Vec<Rule> {
    manifest.rules.iter().cloned().chain(AddressPool::default().denying_rules()).collect()
}

impl RunArgs {
    /// The exit code.
    fn execute(self, format: LogFormat, prepare: &Prepare<'_>) -> u8 {
        let runtime = match runtime::runtime() {
            Ok(runtime) => runtime,
            Err(why) => {
                log::init(format);
                error!(code = "os-failed", "no runtime: {why}");
                return EXIT_OS;
            }
        };
        let (inside, logs, late) = self.inside.start(format);
        // Also before the application runs, and after it has ended: a mistake must be heard.
        let delivery = logs.clone().map(|(queue, to)| {
            let stop = tokio_util::sync::CancellationToken::new();
            runtime.spawn(queue.deliver(to, stop.clone()));
            stop.drop_guard()
        });
        runtime.block_on(prepare.before());
        let code = self.supervise(&runtime, inside, late);
        info!(code = "run-ended", exit_code = code, "ends with {code}");
        if let Some((queue, _)) = logs {
            runtime.block_on(queue.drained(LAST_WORDS));
        }
        drop(delivery);
        // A call to the device may still block; the application is gone, so nobody waits for it.
        runtime.shutdown_background();
        code
    }

    fn supervise(self, runtime: &tokio::runtime::Runtime, inside: Inside, late: LateLayer) -> u8 {
        let mut manifest = match self.manifest.load() {
            Ok(manifest) => manifest,
            Err(error) => {
                for line in self.manifest.lines(&error) {
                    error!(code = "manifest-invalid", "{line}");
                }
                return EXIT_USAGE;
            }
        };
        manifest.rules = rules_in_force(&manifest);
        for warning in &manifest.warnings {
            warn!(code = "manifest-warning", "{}:{warning}", self.manifest.manifest.display());
        }
        let device = match self.device() {
            Ok(device) => device.with_clock(self.inside.clock()),
            Err(error) => {
                error!(code = "device-failed", "{}", crate::attest::chain(&error));
                return EXIT_OS;
            }
        };
        let peer_roots = match self.peer_roots() {
            Ok(roots) => roots,
            Err(why) => {
                error!(code = "device-failed", "{why}");
                return EXIT_OS;
            }
        };
        let mut words = self.application.iter().cloned();
        let Some(program) = words.next() else {
            return EXIT_USAGE;
        };
        let output = self.inside.application_output();
        let application = Application { program, arguments: words.collect(), output };
        let enforcement = match self.learn.enforcement(&manifest) {
            Ok(enforcement) => enforcement,
            Err(why) => {
                error!(code = "manifest-invalid", "{why}");
                return EXIT_USAGE;
            }
        };
        let collector = match self.telemetry.collector(SERVICE, manifest.telemetry.as_ref()) {
            Ok(collector) => collector,
            Err(why) if why.by == NamedBy::Operator => {
                error!(code = "telemetry-invalid", "{why}");
                return EXIT_USAGE;
            }
            Err(why) => {
                warn!(code = "telemetry-invalid", "nothing is told: {why}");
                None
            }
        };
        let options = RunOptions {
            host: self.host,
            transparent: self.transparent,
            wait_attested: Duration::from_secs(self.wait_attested),
            if_unattested: self.if_unattested,
            enforcement: enforcement.clone(),
            peer_roots,
            inside,
            telemetry: TelemetryOptions { collector, late },
        };
        self.learn.start(&enforcement, runtime);
        let outcome = runtime.block_on(run(manifest, device, &application, options));
        self.learn.finish(&enforcement);
        exit_code(outcome)
    }

    #[cfg(not(feature = "simulator"))]
    fn device(&self) -> Result<Device, crate::device::DeviceError> {
        Ok(Device::new(crate::device::Nsm))
    }

    #[cfg(not(feature = "simulator"))]
    fn peer_roots(&self) -> Result<Verifiers, String> {
        Ok(Verifiers::aws())
    }

    /// Peers of an enclave with a software module have one as well, under the same root.
    #[cfg(feature = "simulator")]
    fn peer_roots(&self) -> Result<Verifiers, String> {
        let Some(directory) = &self.danger.danger_software_nsm else { return Ok(Verifiers::aws()) };
        let root = std::fs::read(directory.join("root.der")).map_err(|why| why.to_string())?;
        Verifiers::danger_simulated(&root).map_err(|why| format!("the simulated root: {why:?}"))
    }

    #[cfg(feature = "simulator")]
    fn device(&self) -> Result<Device, crate::device::DeviceError> {
        match (&self.danger.danger_software_nsm, &self.danger.danger_image) {
            (Some(directory), Some(image)) => {
                warn!(
                    code = "danger-software-nsm",
                    %image,
                    "DEVELOPMENT ONLY: documents are signed in software, they prove nothing about this machine"
                );
                Ok(Device::new(crate::device::Software::danger_load(directory, image)?))
            }
            _ => Ok(Device::new(crate::device::Nsm)),
        }
    }
}

fn exit_code(outcome: Result<Outcome, RunError>) -> u8 {
    match outcome {
        Ok(Outcome::Ended(ended)) => ended.code(),
        Ok(Outcome::Stopped(signal)) => 128 + signal,
        Ok(Outcome::Unattested) => EXIT_UNATTESTED,
        Err(error) => {
            error!(code = "run-failed", "{}", crate::attest::chain(&error));
            match error {
                RunError::Start(error) => error.code(),
                RunError::ConfigMaps | RunError::Collector(_) => EXIT_USAGE,
                _ => EXIT_OS,
            }
        }
    }
}

/// What this program is called at a collector.
const SERVICE: &str = "countersign-enclave";

/// For the last lines of the log, and what else is told, to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Wrong usage or a wrong manifest, as clap has it.
const EXIT_USAGE: u8 = 2;

/// sysexits(3) EX_UNAVAILABLE: not attested in time.
const EXIT_UNATTESTED: u8 = 69;

/// sysexits(3) EX_OSERR: a port is taken, there is no device.
const EXIT_OS: u8 = 71;

const EXAMPLES: &str = "\
Examples:
  countersign-enclave check --manifest countersign.yaml
  countersign-enclave explain --manifest countersign.yaml evil.com:443 db.internal:5432=10.0.0.7
  countersign-enclave run --manifest countersign.yaml -- /app/server --port 8001
  countersign-enclave init --manifest /countersign.yaml --logs host -- /app/server
  countersign-enclave run --manifest countersign.yaml --if-unattested exit -- curl https://kms.us-west-2.amazonaws.com

Exit codes: the application's own (128 + signal if one ended it); 2 wrong usage or manifest;
69 not attested in time (--if-unattested exit); 71 the system refused something;
126 the application cannot be executed; 127 it was not found.";

#[cfg(test)]
mod tests {
    use super::*;

    fn application(words: &[&str]) -> Vec<OsString> {
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(args) | Command::Init(InitArgs { run: args, .. }) => args.application,
            _ => panic!("neither run nor init"),
        }
    }

    /// Linux, kernel/params.c, `parse_args`: "Stop at --". The kernel hands on what stands behind the first one, and
    /// stops at the second: process 1 never sees it, nor what stands behind it.
    #[test]
    fn the_application_begins_at_the_first_word_that_is_no_option() {
        let app = ["/app/server", "--port", "8001", "--manifest", "its own", "--", "-x"];
        for before in [&["--"][..], &[]] {
            for command in ["run", "init"] {
                let ours = ["countersign-enclave", command, "--manifest", "/m.yaml", "--logs", "host"];
                assert_eq!(application(&[&ours, before, &app].concat()), app, "{command} {before:?}");
            }
        }
    }

    #[test]
    fn a_mistyped_option_is_no_application() {
        for words in [
            ["run", "--manifest", "/m.yaml", "--log-s", "host"],
            ["run", "--manifest", "/m.yaml", "-x", "app"],
        ] {
            assert!(Cli::try_parse_from(["countersign-enclave"].iter().chain(&words)).is_err(), "{words:?}");
        }
    }
}
