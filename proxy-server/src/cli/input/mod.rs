//! What commands read from files, each with its bound.

mod document;
mod file;
mod pcrs;
mod rules;

pub(super) use document::document;
pub(super) use file::{open, read};
pub(super) use pcrs::{pcrs, pcrs_json};
pub(super) use rules::RulesFile;
