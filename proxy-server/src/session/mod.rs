//! Sessions: who may hold tunnels now, and until when.
//!
//! ```text
//!   admit ──► Session ──register_tunnel──► TunnelPermit (held by the tunnel)
//!               │                              ▲
//!               │ lease lapses, revocation,    │ wakes every one of them
//!               ▼ an administrator             │
//!              end ────────────────────────────┘
//! ```
//!
//! A session is a record and nothing else: no task, no timer, no channel of
//! its own. One heap of deadlines serves all of them, and a session's tunnels
//! are woken through their own wakers, so that a revocation costs one wake for
//! each tunnel. Decisions: `docs/decisions/0021-session-registry.md`.
//!
//! It holds no policy: whether a destination is allowed is asked where the
//! tunnel is opened, of the policy in force then.

mod admit;
mod census;
mod cut;
mod deadlines;
mod elsewhere;
mod end;
mod ends;
mod epitaphs;
mod error;
mod instances;
mod lapse;
mod lapsing;
mod permit;
mod record;
mod registry;
mod tables;
mod watchers;

pub use admit::{Admission, Granted, Renewal};
pub use census::{Census, Holding};
pub use end::{EndReason, Ended};
pub use ends::SessionEnd;
pub use error::{AdmitError, RegisterError};
pub use instances::Instance;
pub use lapse::{LastLook, NobodyElse};
pub use lapsing::Lapsing;
pub use permit::{SessionWatch, TunnelPermit};
pub use record::{Session, SessionView};
pub use registry::{Sessions, SessionsLimits};

#[cfg(test)]
mod model;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod races;
