use clap::Subcommand;

use super::{ChangeArgs, ListArgs, ReadArgs, ShortId, WorkloadPath};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SessionCommand {
    /// List sessions whose lease has not lapsed.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Of this workload.
        #[arg(long, value_name = "WORKLOAD")]
        workload: Option<WorkloadPath>,
        /// Of the measurement of this name.
        #[arg(long, value_name = "NAME")]
        measurement: Option<WorkloadPath>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Its id.
        session: ShortId,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// End a session on every replica: its tunnels are cut. The enclave may attest again.
    #[command(after_help = END_EXAMPLES)]
    End {
        /// Its id.
        session: ShortId,
        /// Why, for the audit.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

const LIST_EXAMPLES: &str = "\
Examples:
  countersign-proxy session list
  countersign-proxy session list --workload payments --measurement 1.4.1 --output json";

const SHOW_EXAMPLES: &str = "\
Examples:
  countersign-proxy session show 5d1f0a9cc4e1b7a25d1f0a9cc4e1b7a2";

const END_EXAMPLES: &str = "\
Examples:
  countersign-proxy session end 5d1f0a9cc4e1b7a25d1f0a9cc4e1b7a2 --reason 'stuck'

To keep the enclave out, revoke its measurement: countersign-proxy measurement revoke WORKLOAD/NAME";
