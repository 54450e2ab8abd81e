//! What may leave: names and addresses, ports, deny before allow, deny by default.
//!
//! ```text
//!   text ─pattern.rs─► Target + Ports ─rule.rs─► Rule ─policy.rs─► EgressPolicy
//!                                                                   │ judge(destination)
//!                                                                   │ judge_address(destination, address)
//!                                                                   ▼
//!                                                             &Rule, or a Denial
//! ```
//!
//! The policy holds twice: for the name that was asked for, and for each address
//! that the name resolves to. Only an address that was judged may be dialled.

mod pattern;
mod policy;
mod rule;

pub use pattern::{NamePattern, Ports, Target, TargetError};
pub use policy::{Denial, EgressPolicy};
pub use rule::{Action, Rule};
