use clap::{Args, Subcommand, ValueEnum};

use super::{ChangeArgs, ListArgs, ReadArgs, ShortId, Span, WorkloadPath};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokenCommand {
    /// Make an API token. Its secret is printed once, alone on standard output.
    #[command(after_help = CREATE_EXAMPLES)]
    Create(TokenCreate),
    /// List tokens, without their secrets.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Revoke a token: it is worth nothing from now on.
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Its id.
        token: ShortId,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TokenCreate {
    /// For people; unique among live tokens.
    pub(in crate::cli) name: String,
    /// What its holder may do. Can be given again.
    #[arg(long = "role", value_enum, required = true)]
    pub(in crate::cli) roles: Vec<RoleWord>,
    /// On this workload only. Can be given again; without it, on all and on the installation itself.
    #[arg(long = "workload", value_name = "WORKLOAD")]
    pub(in crate::cli) workloads: Vec<WorkloadPath>,
    /// How long it lives: 1m to 366d.
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = life)]
    pub(in crate::cli) expires: Span,
    /// Make none, and say whether one could be made.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    #[command(flatten)]
    pub(in crate::cli) read: ReadArgs,
}

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum RoleWord {
    /// Sees, changes nothing.
    Viewer,
    /// Revokes and ends sessions.
    Operator,
    /// Approves what others changed.
    Approver,
    /// Changes everything and manages tokens.
    Admin,
}

impl RoleWord {
    pub(in crate::cli) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

fn life(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    let fits = (MINUTE..=LONGEST).contains(&span.millis()) && span.millis().is_multiple_of(1_000);
    if fits { Ok(span) } else { Err("expected whole seconds, 1m to 366d".to_owned()) }
}

/// Milliseconds.
const MINUTE: u64 = 60_000;
const LONGEST: u64 = 366 * 86_400_000;

const CREATE_EXAMPLES: &str = "\
Examples:
  countersign-proxy token create first --role admin --config countersign.toml > admin.token
  countersign-proxy token create 'night shift' --role operator --expires 30d
  countersign-proxy token create release --role admin --workload payments --server https://proxy.internal:9443

The first one is made on the machine, where no token is needed.";

const LIST_EXAMPLES: &str = "\
Examples:
  countersign-proxy token list";

const REVOKE_EXAMPLES: &str = "\
Examples:
  countersign-proxy token revoke 9cc4e1b7a25d1f0a";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_a_minute_to_a_year() {
        for good in ["60s", "1m", "366d"] {
            assert!(life(good).is_ok(), "{good}");
        }
        for bad in ["59s", "367d", "60500ms", "forever"] {
            assert!(life(bad).is_err(), "{bad}");
        }
    }
}
