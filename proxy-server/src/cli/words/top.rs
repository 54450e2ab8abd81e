use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    Asked, AuditCommand, KmsCommand, MeasurementCommand, PolicyCommand, ReplicaCommand, SessionCommand,
    TokenCommand, TombstoneCommand, WorkloadCommand,
};

/// The attestation-gated proxy for AWS Nitro Enclaves.
#[derive(Debug, Parser)]
#[command(name = "countersign-proxy", version, after_help = TOP_EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub(in crate::cli) command: Command,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Run the proxy until SIGTERM or SIGINT; SIGHUP reads the workloads again.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve {
        #[command(flatten)]
        config: ConfigFile,
        /// Write the bound addresses here, as JSON, once every port accepts.
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
    },
    /// Look at a configuration without using it.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Workloads: what enclaves are for, and where they may go.
    Workload(Asked<WorkloadCommand>),
    /// Measurements: which enclaves are admitted.
    Measurement(Asked<MeasurementCommand>),
    /// Sessions: enclaves that are admitted now.
    Session(Asked<SessionCommand>),
    /// API tokens: who may ask the admin API.
    Token(Asked<TokenCommand>),
    /// Revoked sets of PCRs, which no measurement can bring back by accident.
    Tombstone(Asked<TombstoneCommand>),
    /// The proxies that serve one store.
    Replica(Asked<ReplicaCommand>),
    /// The policy in force.
    Policy(Asked<PolicyCommand>),
    /// The audit: list, export and verify it.
    Audit(Asked<AuditCommand>),
    /// Key policies of AWS KMS: what they should say of the measurements, and whether they do.
    Kms(Asked<KmsCommand>),
    /// Copy the store, as it is at one moment, to a new file; the proxy goes on serving.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup {
        #[command(flatten)]
        config: ConfigFile,
        /// The new file; it is never written over. Only its owner can read it (mode 0600).
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
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
pub(in crate::cli) enum ConfigCommand {
    /// Name every mistake, with line and column. Exit code 0: none; 1: some; 2: cannot read the file.
    Check(ConfigFile),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SessionCaCommand {
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
pub(in crate::cli) struct ConfigFile {
    /// The configuration file.
    #[arg(
        long = "config",
        value_name = "FILE",
        default_value = "countersign.toml",
        env = "COUNTERSIGN_CONFIG"
    )]
    pub(in crate::cli) path: PathBuf,
}

const TOP_EXAMPLES: &str = "\
Examples:
  countersign-proxy dev-certificate --dir . --name localhost --name 127.0.0.1
  countersign-proxy config check --config countersign.toml
  countersign-proxy serve --config countersign.toml
  countersign-proxy measurement add payments --version 1.4.2 --from describe-eif.json
  countersign-proxy measurement revoke payments/1.4.1 --reason 'key leaked' --wait 1s
  countersign-proxy session list --output json

Where a command acts:
  without --server   on this machine, in the store that --config FILE names (countersign.toml):
                     whoever may write there needs no token
  --server URL       at a proxy's admin API, as https://proxy.internal:9443, with a token:
                     COUNTERSIGN_TOKEN, COUNTERSIGN_TOKEN_FILE or --token-file

Exit codes: 0 done, 1 refused or failed, 2 wrong usage or unreadable file.";

const SERVE_EXAMPLES: &str = "\
Examples:
  countersign-proxy serve --config countersign.toml
  countersign-proxy serve --config trial.toml --ready-file ready.json
  kill -HUP $(pidof countersign-proxy)     # read the workloads again

Log lines go to stderr; RUST_LOG narrows them (default: info).";

const BACKUP_EXAMPLES: &str = "\
Examples:
  countersign-proxy backup --config countersign.toml --out countersign-$(date +%F).db

It puts every session, destination and audit row into one file. PostgreSQL is copied by pg_dump: the command says how.";

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
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_words_are_consistent() {
        Cli::command().debug_assert();
    }

    /// Somebody in a hurry reads the examples.
    #[test]
    fn every_command_has_examples() {
        fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
            let path = format!("{path} {}", command.get_name());
            match command.get_subcommands().count() {
                0 => {
                    found.push((path, command.get_after_help().map(ToString::to_string).unwrap_or_default()))
                }
                _ => command.get_subcommands().for_each(|inner| leaves(inner, &path, found)),
            }
        }
        let mut found = Vec::new();
        leaves(&Cli::command(), "", &mut found);
        assert!(found.len() > 25, "{}", found.len());
        for (path, help) in found {
            assert!(help.contains(path.trim()) || path.ends_with("config check"), "{path}: {help}");
        }
    }

    /// A token on the command line is in every process list and shell history.
    #[test]
    fn no_option_takes_a_token() {
        for wrong in ["--token", "--password", "--secret"] {
            let line = ["countersign-proxy", "session", "list", wrong, "cst_x"];
            assert!(Cli::try_parse_from(line).is_err(), "{wrong}");
        }
    }
}
