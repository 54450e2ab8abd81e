use clap::{Args, ValueEnum};

use super::Span;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Output {
    /// For people.
    Table,
    /// For programs: what the admin API answers.
    Json,
}

/// What every command that shows one thing takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReadArgs {
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(in crate::cli) output: Output,
}

/// What every list takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Print so many rows at most. Without it all are printed, and more than 200000 are an error.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(in crate::cli) limit: Option<u32>,
    #[command(flatten)]
    pub(in crate::cli) read: ReadArgs,
}

/// What every change takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct ChangeArgs {
    /// Check everything, change nothing, and say what would come of it.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    #[command(flatten)]
    pub(in crate::cli) read: ReadArgs,
}

/// What every revocation takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArgs {
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
    /// Wait so long for every replica to say that it has cut, as 1s or 500ms (10s at most).
    /// Exit code 1 when one has not.
    #[arg(long, value_name = "DURATION", value_parser = wait, conflicts_with = "dry_run")]
    pub(in crate::cli) wait: Option<Span>,
    #[command(flatten)]
    pub(in crate::cli) change: ChangeArgs,
}

fn wait(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if (1..=LONGEST_WAIT).contains(&span.millis()) { Ok(span) } else { Err("expected 1ms to 10s".to_owned()) }
}

/// Milliseconds: the API's own bound.
const LONGEST_WAIT: u64 = 10_000;
