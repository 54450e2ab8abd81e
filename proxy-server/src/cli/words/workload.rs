use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ChangeArgs, ListArgs, ReadArgs, RevokeArgs, WorkloadPath};
use crate::cli::machine::Needs;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum WorkloadCommand {
    /// List workloads, revoked ones too.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show one: its rules, and rules that wait for approval.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Which.
        workload: WorkloadPath,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Make a workload, or give it other rules.
    ///
    /// Options change what they name and leave the rest; --file replaces all
    /// rules. What somebody else changed meanwhile is not overwritten.
    #[command(after_help = SET_EXAMPLES)]
    Set(WorkloadSet),
    /// Revoke a workload: its sessions end, and every tunnel of them is cut.
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Which.
        workload: WorkloadPath,
        #[command(flatten)]
        revoke: RevokeArgs,
    },
    /// Say yes to rules that wait. Nobody approves what they wrote.
    #[command(after_help = APPROVE_EXAMPLES)]
    Approve {
        /// Which.
        workload: WorkloadPath,
        /// Only if it is at this revision still, as `workload show` prints it. Without it, as it is now.
        #[arg(long, value_name = "NUMBER")]
        if_revision: Option<u64>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take back rules that wait.
    #[command(after_help = WITHDRAW_EXAMPLES)]
    Withdraw {
        /// Which.
        workload: WorkloadPath,
        /// Only if it is at this revision still, as `workload show` prints it. Without it, as it is now.
        #[arg(long, value_name = "NUMBER")]
        if_revision: Option<u64>,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

impl WorkloadCommand {
    pub(in crate::cli) fn needs(&self) -> Needs {
        match self {
            Self::List(_) | Self::Show { .. } | Self::Revoke { .. } | Self::Withdraw { .. } => Needs::Store,
            Self::Set(_) | Self::Approve { .. } => Needs::Rules,
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WorkloadSet {
    /// Which.
    pub(in crate::cli) workload: WorkloadPath,
    /// All its rules are in this file, TOML or JSON, with the words of [[workload]] in
    /// countersign.toml; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = RULES)]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Where its tunnels may lead. Can be given again; all others go.
    #[arg(long = "destination", value_name = "HOST:PORT")]
    pub(in crate::cli) destinations: Vec<String>,
    /// Its tunnels lead nowhere.
    #[arg(long, conflicts_with = "destinations")]
    pub(in crate::cli) no_destinations: bool,
    /// A special address (loopback, link-local, metadata) that a destination's name may
    /// resolve to. Can be given again; all others go.
    #[arg(long = "address", value_name = "NETWORK")]
    pub(in crate::cli) addresses: Vec<String>,
    /// No special address.
    #[arg(long, conflicts_with = "addresses")]
    pub(in crate::cli) no_addresses: bool,
    /// The shortest lease, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(in crate::cli) lease_min: Option<u64>,
    /// The longest lease, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(in crate::cli) lease_max: Option<u64>,
    /// The most live sessions.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) max_sessions: Option<u32>,
    /// The most open tunnels of one session.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) max_tunnels_per_session: Option<u32>,
    /// For people.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) description: Option<String>,
    /// Only if it is at this revision still, as `workload show` prints it; 0: only if there is none.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) if_revision: Option<u64>,
    #[command(flatten)]
    pub(in crate::cli) change: ChangeArgs,
}

/// Options that say rules.
const RULES: [&str; 9] = [
    "destinations",
    "no_destinations",
    "addresses",
    "no_addresses",
    "lease_min",
    "lease_max",
    "max_sessions",
    "max_tunnels_per_session",
    "description",
];

const LIST_EXAMPLES: &str = "\
Examples:
  countersign-proxy workload list
  countersign-proxy workload list --server https://proxy.internal:9443 --output json";

const SHOW_EXAMPLES: &str = "\
Examples:
  countersign-proxy workload show payments
  countersign-proxy workload show payments --output json | jq .destinations";

const SET_EXAMPLES: &str = "\
Examples:
  countersign-proxy workload set payments --destination kms.eu-west-1.amazonaws.com:443
  countersign-proxy workload set payments --max-sessions 50 --dry-run
  countersign-proxy workload set payments --file payments.toml

payments.toml:
  destinations = [\"kms.eu-west-1.amazonaws.com:443\"]
  lease = { min_seconds = 30, max_seconds = 300 }
  limits = { max_sessions = 50 }";

const REVOKE_EXAMPLES: &str = "\
Examples:
  countersign-proxy workload revoke payments --dry-run
  countersign-proxy workload revoke payments --reason 'the service is gone' --wait 1s";

const APPROVE_EXAMPLES: &str = "\
Examples:
  countersign-proxy workload show payments --server https://proxy.internal:9443
  countersign-proxy workload approve payments --if-revision 4 --server https://proxy.internal:9443";

const WITHDRAW_EXAMPLES: &str = "\
Examples:
  countersign-proxy workload withdraw payments";
