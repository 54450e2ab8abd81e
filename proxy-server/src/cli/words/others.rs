use clap::Subcommand;

use super::ReadArgs;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ReplicaCommand {
    /// List every replica heard of within a day, with the policy it enforces.
    #[command(after_help = REPLICA_EXAMPLES)]
    List(ReadArgs),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PolicyCommand {
    /// Show its version, and how many workloads and measurements it has.
    #[command(after_help = POLICY_EXAMPLES)]
    Show(ReadArgs),
}

const REPLICA_EXAMPLES: &str = "\
Examples:
  countersign-proxy replica list";

const POLICY_EXAMPLES: &str = "\
Examples:
  countersign-proxy policy show --output json";
