//! Decisions about changes: what clashes, what waits, who may approve. Pure.

mod checks;
mod people;
mod place;
mod rules;
mod validity;

pub(super) use checks::{check_edit, check_new, invalid};
pub(super) use people::may_approve;
pub(super) use place::{Standing, covers, might_match, place};
pub(super) use rules::{allows_more, meet, nothing_allowed};
pub(super) use validity::Validity;
