use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ListArgs, Moment, ReadArgs, ShortId, WorkloadPath};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// List what was decided, newest first.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        filter: AuditFilter,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Write the whole audit as JSON lines, with its hashes, checkpoints and keys.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        /// Write it here, and not on standard output. A file that is there is not overwritten.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Check every hash, checkpoint and head. Exit code 1 when the audit does not hold.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(AuditVerify),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditFilter {
    /// Of this workload.
    #[arg(long, value_name = "WORKLOAD")]
    pub(in crate::cli) workload: Option<WorkloadPath>,
    /// Of this session.
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) session: Option<ShortId>,
    /// Of this kind.
    #[arg(long, value_enum)]
    pub(in crate::cli) kind: Option<Kind>,
    /// With this code, as measurement-revoked.
    #[arg(long, value_name = "CODE")]
    pub(in crate::cli) code: Option<String>,
    /// By this actor, as token:9cc4e1b7a25d1f0a or local:root.
    #[arg(long, value_name = "WHO")]
    pub(in crate::cli) actor: Option<String>,
    /// From then on: RFC 3339, or a span ago as 2h.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) from: Option<Moment>,
    /// Before then: RFC 3339, or a span ago as 2h.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) until: Option<Moment>,
}

/// What kind of decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// An enclave was admitted.
    Admission,
    /// An enclave was refused.
    Refusal,
    /// AWS credentials were issued to a session.
    Credentials,
    /// A session ended.
    End,
    /// The policy changed.
    Policy,
    /// Somebody signed in, or tried to; tokens.
    Access,
}

impl Kind {
    pub(in crate::cli) fn as_str(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Refusal => "refusal",
            Self::Credentials => "credentials",
            Self::End => "end",
            Self::Policy => "policy",
            Self::Access => "access",
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditVerify {
    /// An exported file, or - for standard input. Without it, the store on this machine or the server's export.
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Believe checkpoints that this public key signed, PEM or one line of base64url. Can be given again.
    #[arg(long = "key", value_name = "FILE")]
    pub(in crate::cli) keys: Vec<PathBuf>,
    /// What a replica noted outside of the store: audit-heads of its state directory. Can be given again.
    #[arg(long = "known-heads", value_name = "FILE")]
    pub(in crate::cli) known_heads: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) read: ReadArgs,
}

const LIST_EXAMPLES: &str = "\
Examples:
  countersign-proxy audit list --limit 20
  countersign-proxy audit list --kind refusal --from 2h
  countersign-proxy audit list --kind policy --from 2026-11-22T00:00:00Z --output json
  countersign-proxy audit list --session 5d1f0a9cc4e1b7a25d1f0a9cc4e1b7a2";

const EXPORT_EXAMPLES: &str = "\
Examples:
  countersign-proxy audit export --file audit.jsonl
  countersign-proxy audit export | zstd > audit.jsonl.zst";

const VERIFY_EXAMPLES: &str = "\
Examples:
  countersign-proxy audit verify
  countersign-proxy audit verify audit.jsonl --key replica-a.pem --known-heads audit-heads

Without --key the hashes are checked and no signature is believed. On this machine the key and the known heads of
its state directory are used as well.";
