use clap::{Args, Subcommand};

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
    /// Go on with an older copy of the store that was put back on purpose. On its machine only, while no proxy serves
    /// from its state directory.
    #[command(after_help = ACCEPT_EXAMPLES)]
    AcceptRestored(AcceptRestored),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AcceptRestored {
    /// Do it. Without it nothing is changed: what it would do is said, with exit code 1.
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    /// An epoch that was in force, where this machine does not know it (a new state directory): enclaves and replicas
    /// never follow a lower one.
    #[arg(long, value_name = "EPOCH", value_parser = clap::value_parser!(u64).range(1..=MOST_ABOVE))]
    pub(in crate::cli) above: Option<u64>,
}

const REPLICA_EXAMPLES: &str = "\
Examples:
  countersign-proxy replica list";

const POLICY_EXAMPLES: &str = "\
Examples:
  countersign-proxy policy show --output json";

const ACCEPT_EXAMPLES: &str = "\
Examples:
  countersign-proxy policy accept-restored --config countersign.toml          # what would be lost
  countersign-proxy policy accept-restored --config countersign.toml --yes

What was revoked after the copy was made passes again, until it is revoked again.";

/// An epoch never goes back: a slip of the finger must leave room for all that come.
const MOST_ABOVE: u64 = 1 << 48;
