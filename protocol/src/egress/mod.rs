//! What may leave: names and addresses, ports, deny before allow, deny by default.
//!
//! ```text
//!   text ─entry.rs─► Entry: Target + Ports ─┐
//!                                           ├─► Rule ──► EgressPolicy
//!   text ─rule_set.rs─► RuleSetTarget ──────┘              │ judge(destination)
//!                                                          │ judge_address(destination, address)
//!                                                          ▼
//!                                                    &Rule, or a Denial
//! ```
//!
//! The policy holds twice: for the name that was asked for, and for each address
//! that the name resolves to. Only an address that was judged may be dialled.
//! `docs/egress.md` says all of it for users.

mod compiled;
mod denial;
mod entry;
mod error;
mod explanation;
mod pattern;
mod policy;
mod ports;
mod rule;
mod rule_set;
mod target;

pub use denial::{Denial, PolicyError};
pub use entry::Entry;
pub use error::TargetError;
pub use explanation::{But, Explanation, Near};
pub use pattern::NamePattern;
pub use policy::EgressPolicy;
pub use ports::Ports;
pub use rule::{Action, Rule};
pub use rule_set::{RuleSetTarget, RuleSetTargetError};
pub use target::Target;
