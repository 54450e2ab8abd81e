use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The attestation-gated proxy for AWS Nitro Enclaves.
#[derive(Debug, Parser)]
#[command(name = "countersign-proxy", version, after_help = TOP_EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the proxy until SIGTERM or SIGINT; SIGHUP reads the workloads again.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve {
        #[command(flatten)]
        config: ConfigFile,
        /// Write the bound addresses here, as JSON, once both ports accept.
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
    },
    /// Look at a configuration without using it.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List and revoke measurements.
    #[command(subcommand)]
    Measurement(MeasurementCommand),
    /// List sessions.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Make the root that several replicas share.
    #[command(subcommand)]
    SessionCa(SessionCaCommand),
    /// Make a CA and a server certificate for trials: ca.pem (the anchor in the
    /// enclave's manifest), server.pem and server.key.
    #[command(after_help = CERTIFICATE_EXAMPLES)]
    DevCertificate {
        /// Where to write the files; it is made when it is missing.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// A name or address under which enclaves reach the proxy. Can be given again.
        #[arg(long = "name", value_name = "HOST", required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Name every mistake, with line and column. Exit code 0: none; 1: some; 2: cannot read the file.
    Check(ConfigFile),
}

#[derive(Debug, Subcommand)]
pub(super) enum MeasurementCommand {
    /// Revoke a measurement for good: its sessions end and every tunnel of them is cut,
    /// at once, also in a proxy that runs. Prints the new epoch.
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Which one, as WORKLOAD/NAME.
        #[arg(value_name = "WORKLOAD/NAME")]
        measurement: MeasurementPath,
        #[command(flatten)]
        config: ConfigFile,
        /// Why, for the audit.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// List measurements with their states.
    List(ListArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List sessions whose lease has not lapsed.
    List(ListArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionCaCommand {
    /// Write a new root, certificate and key, to a file that only its owner can read (mode 0600).
    /// A file that stands there is never written over.
    #[command(after_help = SESSION_CA_EXAMPLES)]
    Make {
        /// The file, as the configuration's [session_ca] file names it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file.
    #[arg(
        long = "config",
        value_name = "FILE",
        default_value = "countersign.toml",
        env = "COUNTERSIGN_CONFIG"
    )]
    pub(super) path: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
}

/// `workload/measurement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MeasurementPath {
    pub(super) workload: String,
    pub(super) name: String,
}

impl FromStr for MeasurementPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((workload, name)) if !workload.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { workload: workload.to_owned(), name: name.to_owned() })
            }
            _ => Err("expected WORKLOAD/NAME, as payments/v1.2"),
        }
    }
}

const TOP_EXAMPLES: &str = "\
Examples:
  countersign-proxy dev-certificate --dir . --name localhost --name 127.0.0.1
  countersign-proxy config check --config countersign.toml
  countersign-proxy serve --config countersign.toml
  countersign-proxy measurement revoke payments/v1.2 --reason 'key leaked'
  countersign-proxy session list --output json

Exit codes: 0 done, 1 refused or failed, 2 wrong usage or unreadable file.";

const SERVE_EXAMPLES: &str = "\
Examples:
  countersign-proxy serve --config countersign.toml
  countersign-proxy serve --config trial.toml --ready-file ready.json
  kill -HUP $(pidof countersign-proxy)     # read the workloads again

Log lines go to stderr; RUST_LOG narrows them (default: info).";

const REVOKE_EXAMPLES: &str = "\
Examples:
  countersign-proxy measurement revoke payments/v1.2
  countersign-proxy measurement revoke payments/v1.2 --config /etc/countersign.toml --reason 'CVE-2026-1234'

The PCRs stay revoked, whatever the configuration lists later.";

const SESSION_CA_EXAMPLES: &str = "\
Examples:
  countersign-proxy session-ca make --out session-ca.pem
  kubectl create secret generic session-ca --from-file=session-ca.pem

Whoever holds the file can issue session certificates, which are worth nothing without a session's record.";

const CERTIFICATE_EXAMPLES: &str = "\
Examples:
  countersign-proxy dev-certificate --dir trial --name localhost
  countersign-proxy dev-certificate --dir trial --name proxy.internal --name 10.0.0.7";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_measurement_has_a_workload_and_a_name() {
        let path =
            |workload: &str, name: &str| MeasurementPath { workload: workload.into(), name: name.into() };
        assert_eq!("payments/v1.2".parse(), Ok(path("payments", "v1.2")));
        for bad in ["payments", "/v1", "payments/", "a/b/c", ""] {
            assert!(bad.parse::<MeasurementPath>().is_err(), "{bad}");
        }
    }
}
