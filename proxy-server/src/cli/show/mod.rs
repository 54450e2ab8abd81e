//! Prints answers: a table for people, the API's own JSON for programs.

mod cell;
mod change;
mod detail;
mod explained;
mod list;
mod live_rows;
mod row;
mod rule_rows;
mod table;
mod time;

pub(super) use cell::{Cell, visible};
pub(super) use change::{Said, changed, revoked};
pub(super) use detail::Detail;
pub(super) use explained::explained;
pub(super) use list::{list, list_whole};
pub(super) use live_rows::{AuditRow, ReplicaRow, SessionRow, TokenRow};
pub(super) use row::Row;
pub(super) use rule_rows::{MeasurementRow, TombstoneRow, WorkloadRow};
pub(super) use table::{Colours, Table};
pub(super) use time::{Stamp, left};

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::failure::Failure;

/// Writes to standard output, whole.
///
/// # Errors
/// It cannot be written to.
pub(super) fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever reads the first lines and leaves has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Tells a person something that is not the result.
pub(super) fn note(text: &str) {
    for line in text.lines() {
        // There is nowhere left to say that stderr is closed.
        let _ = writeln!(io::stderr(), "note: {}", visible(line));
    }
}
