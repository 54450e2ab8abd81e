use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    ChangeArgs, Label, ListArgs, MeasurementPath, Moment, PcrSource, ReadArgs, RevokeArgs, WorkloadPath,
};
use crate::cli::machine::Needs;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MeasurementCommand {
    /// List measurements with their states.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Of this workload.
        #[arg(long, value_name = "WORKLOAD")]
        workload: Option<WorkloadPath>,
        /// In this state.
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Only those of which something waits for approval.
        #[arg(long)]
        waiting: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one, with its PCRs.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Which.
        #[arg(value_name = "WORKLOAD/NAME")]
        measurement: MeasurementPath,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Admit enclaves with these PCRs; where approvals are asked for, once others said yes.
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<MeasurementAdd>),
    /// Change what people read of a measurement, and when it admits. PCRs never change.
    #[command(after_help = EDIT_EXAMPLES)]
    Edit(Box<MeasurementEdit>),
    /// Say yes to a measurement that waits. Nobody approves what they wrote.
    #[command(after_help = APPROVE_EXAMPLES)]
    Approve {
        /// Which.
        #[arg(value_name = "WORKLOAD/NAME")]
        measurement: MeasurementPath,
        /// Only if it is at this revision still, as `measurement show` prints it. Without it, as it is now.
        #[arg(long, value_name = "NUMBER")]
        if_revision: Option<u64>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take back a measurement that waits.
    #[command(after_help = WITHDRAW_EXAMPLES)]
    Withdraw {
        /// Which.
        #[arg(value_name = "WORKLOAD/NAME")]
        measurement: MeasurementPath,
        /// Only if it is at this revision still, as `measurement show` prints it. Without it, as it is now.
        #[arg(long, value_name = "NUMBER")]
        if_revision: Option<u64>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Revoke a measurement for good: its sessions end and every tunnel of them is cut,
    /// at once, also in a proxy that runs. Prints the new epoch.
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Which.
        #[arg(value_name = "WORKLOAD/NAME")]
        measurement: MeasurementPath,
        #[command(flatten)]
        revoke: RevokeArgs,
    },
    /// Say which measurements a document matches, and what differs in the nearest one.
    /// Exit code 1 when it would not be admitted.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain {
        /// The document, or - for standard input: binary, base64 or hex, told apart by itself.
        document: PathBuf,
        #[command(flatten)]
        read: ReadArgs,
    },
}

impl MeasurementCommand {
    pub(in crate::cli) fn needs(&self) -> Needs {
        match self {
            Self::List { .. } | Self::Show { .. } | Self::Revoke { .. } | Self::Withdraw { .. } => {
                Needs::Store
            }
            Self::Add(_) | Self::Edit(_) | Self::Approve { .. } | Self::Explain { .. } => Needs::Rules,
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct MeasurementAdd {
    /// What the enclave is for.
    pub(in crate::cli) workload: WorkloadPath,
    /// Its name, unique in the workload. Without it, the version.
    #[arg(required_unless_present = "version")]
    pub(in crate::cli) name: Option<String>,
    /// For people: a release, a commit.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) version: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) pcrs: PcrSource,
    /// For people and programs. Can be given again.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(in crate::cli) labels: Vec<Label>,
    /// Admits from then on: RFC 3339, or a span from now on as 2h.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) not_before: Option<Moment>,
    /// Admits before then, and its sessions end then: RFC 3339, or a span from now on as 90d.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) expires: Option<Moment>,
    /// Your name for this request: sent again within a day, it is done once and answered again.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) idempotency_key: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) change: ChangeArgs,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(in crate::cli) struct MeasurementEdit {
    /// Which.
    #[arg(value_name = "WORKLOAD/NAME")]
    pub(in crate::cli) measurement: MeasurementPath,
    /// For people: a release, a commit.
    #[arg(long, value_name = "TEXT", group = "what")]
    pub(in crate::cli) version: Option<String>,
    /// For people and programs. Can be given again; all others go.
    #[arg(long = "label", value_name = "KEY=VALUE", group = "what")]
    pub(in crate::cli) labels: Vec<Label>,
    /// No labels.
    #[arg(long, group = "what", conflicts_with = "labels")]
    pub(in crate::cli) no_labels: bool,
    /// Admits from then on: RFC 3339, or a span from now on as 2h.
    #[arg(long, value_name = "TIME", group = "what")]
    pub(in crate::cli) not_before: Option<Moment>,
    /// Admits from the beginning.
    #[arg(long, group = "what", conflicts_with = "not_before")]
    pub(in crate::cli) no_not_before: bool,
    /// Admits before then, and its sessions end then: RFC 3339, or a span from now on as 90d.
    #[arg(long, value_name = "TIME", group = "what")]
    pub(in crate::cli) expires: Option<Moment>,
    /// Admits for ever.
    #[arg(long, group = "what", conflicts_with = "expires")]
    pub(in crate::cli) no_expires: bool,
    /// Only if it is at this revision still, as `measurement show` prints it.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) if_revision: Option<u64>,
    #[command(flatten)]
    pub(in crate::cli) change: ChangeArgs,
}

/// What a measurement is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum State {
    /// Known, and admits nobody yet.
    Pending,
    /// Admits.
    Active,
    /// Refuses whatever matches it, for good.
    Revoked,
}

impl State {
    pub(in crate::cli) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  countersign-proxy measurement list
  countersign-proxy measurement list --waiting
  countersign-proxy measurement list --workload payments --state active --output json";

const SHOW_EXAMPLES: &str = "\
Examples:
  countersign-proxy measurement show payments/1.4.2";

const ADD_EXAMPLES: &str = "\
Examples:
  nitro-cli build-enclave … > measurement.json
  countersign-proxy measurement add payments --version 1.4.2 --from measurement.json
  nitro-cli describe-eif --eif-path app.eif | countersign-proxy measurement add payments 1.4.2 --from -
  countersign-proxy measurement add payments --version 1.4.2 --eif app.eif --pcr3 $ROLE_HASH --label commit=$SHA
  countersign-proxy measurement add payments canary --eif app.eif --expires 14d --dry-run

PCR3 and 4 are not in an image: they name the parent instance's role and id. Without one of PCR3, 4, 8 and 16
anybody may run the same image on a machine of theirs.";

const EDIT_EXAMPLES: &str = "\
Examples:
  countersign-proxy measurement edit payments/1.4.1 --expires 7d
  countersign-proxy measurement edit payments/1.4.1 --label stage=old --no-expires --if-revision 3";

const APPROVE_EXAMPLES: &str = "\
Examples:
  countersign-proxy measurement show payments/1.4.2 --server https://proxy.internal:9443
  countersign-proxy measurement approve payments/1.4.2 --if-revision 1 --server https://proxy.internal:9443";

const WITHDRAW_EXAMPLES: &str = "\
Examples:
  countersign-proxy measurement withdraw payments/1.4.2";

const REVOKE_EXAMPLES: &str = "\
Examples:
  countersign-proxy measurement revoke payments/1.4.1 --dry-run
  countersign-proxy measurement revoke payments/1.4.1 --reason 'CVE-2026-1234' --wait 1s
  countersign-proxy measurement revoke payments/1.4.1 --config /etc/countersign.toml

The PCRs stay revoked, whatever the configuration lists later.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  countersign-proxy measurement explain document.cbor
  nitro-tool attest | countersign-proxy measurement explain - --output json";
