use clap::{Args, Subcommand};

use super::{ChangeArgs, ListArgs, PcrSource, RevokeArgs};
use crate::cli::machine::Needs;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TombstoneCommand {
    /// List revoked sets of PCRs.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Refuse these PCRs, whether a measurement has them or not.
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        #[command(flatten)]
        pcrs: PcrSource,
        #[command(flatten)]
        revoke: RevokeArgs,
    },
    /// Let these PCRs be added again. Revoked measurements stay revoked.
    #[command(after_help = LIFT_EXAMPLES)]
    Lift(TombstoneLift),
}

impl TombstoneCommand {
    pub(in crate::cli) fn needs(&self) -> Needs {
        match self {
            Self::List(_) | Self::Add { .. } => Needs::Store,
            Self::Lift(_) => Needs::Rules,
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TombstoneLift {
    /// Its id, as the list prints it in JSON; or say the PCRs with the options below.
    #[arg(value_parser = id, conflicts_with_all = ["from", "eif"])]
    pub(in crate::cli) id: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) pcrs: PcrSource,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) change: ChangeArgs,
}

/// base64url, so that it stands in a path as it is.
fn id(text: &str) -> Result<String, &'static str> {
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fits && (66..=2_096).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("expected the id of a tombstone, as `tombstone list --output json` prints it")
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  countersign-proxy tombstone list
  countersign-proxy tombstone list --output json | jq -r '.[].id'";

const ADD_EXAMPLES: &str = "\
Examples:
  countersign-proxy tombstone add --from measurement.json --reason 'a leaked build' --wait 1s
  countersign-proxy tombstone add --eif app.eif --dry-run";

const LIFT_EXAMPLES: &str = "\
Examples:
  countersign-proxy tombstone lift --from measurement.json --reason 'revoked by mistake'
  countersign-proxy tombstone lift --pcr0 $PCR0 --pcr1 $PCR1 --pcr2 $PCR2 --dry-run";
