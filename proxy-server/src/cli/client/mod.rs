//! Asks the admin API, wherever it is.
//!
//! ```text
//!   Call ──► Client ──► Transport ─┬─ Remote ── TLS ──► a proxy's admin port
//!                                  └─ Machine ────────► the same routes, in this process
//!   Answer ◄── status, head, body within a bound; a problem becomes Refused
//! ```

mod answer;
mod call;
mod pages;
mod problem;
mod remote;
mod token;
mod transport;

pub(super) use answer::Answer;
pub(super) use call::{Call, Deadline};
pub(super) use pages::Pages;
pub(super) use problem::Refused;
pub(super) use transport::{Client, Unreached};
