//! What each command does: one question to the API, or two, and an answer shown.

mod audit;
mod backup;
mod kms;
mod measurement;
mod others;
mod restored;
mod revoke;
mod session;
mod status;
mod token;
mod tombstone;
mod verify;
mod workload;

pub(super) use audit::audit;
pub(super) use backup::backup;
pub(super) use kms::kms;
pub(super) use measurement::measurement;
pub(super) use others::{policy, replica};
pub(super) use restored::accept_restored;
pub(super) use session::session;
pub(super) use status::{STATUS_NEEDS_A_SERVER, status};
pub(super) use token::token;
pub(super) use tombstone::tombstone;
pub(super) use verify::verify;
pub(super) use workload::workload;
