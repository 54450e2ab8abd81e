//! The enclave's end of the way through the host half (`docs/host.md`).
//!
//! The host half is not trusted: what it answers is parsed strictly and bounded,
//! and decides nothing but whether bytes get through and where. Whether they may
//! leave is judged here, for the name and for each address, before anything is dialled.

mod cache;
#[cfg(test)]
pub(super) mod fake;
mod line;
mod link;
#[cfg(test)]
mod tests;
mod trunks;

pub use link::HostLink;
