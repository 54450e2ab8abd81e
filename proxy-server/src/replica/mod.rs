//! One replica among others: who it is, what it tells them, and what they know of
//! its sessions.
//!
//! ```text
//!   attest at A ──► store ──► gateway of B: no session here ──► Neighbours ──► Sessions::adopt
//!                     │
//!                     ├──► Leases: once a second, what A renewed ──► Sessions::follow
//!                     └──◄ Heartbeat: who serves, which policy is enforced here, what it holds
//! ```
//!
//! | module | what |
//! |---|---|
//! | `identity` | 16 random bytes in the state directory, and a name |
//! | `find` | the session of an id and a key, here or elsewhere |
//! | `heartbeat` | says that this replica lives, and which epoch it enforces |
//! | `neighbours` | looks up sessions that other replicas admitted |
//! | `leases` | follows renewals that other replicas gave |
//! | `row` | what a stored session is worth under the policy in force |
//! | `unknown` | what was not found a moment ago |
//!
//! It trusts nothing but the store: replicas do not talk to each other. A session that
//! is looked up counts only as far as the policy *here* has what admitted it.
//! Decisions: `docs/decisions/0041-replicas.md`.

mod find;
mod heartbeat;
mod identity;
mod leases;
mod neighbours;
mod row;
mod unknown;

pub(crate) use find::Absent;
pub use heartbeat::Heartbeat;
pub use identity::{IdentityError, ReplicaId, ReplicaIdentity};
pub use leases::Leases;
pub use neighbours::{Elsewhere, LookupError, Neighbours};
pub use row::{NotWorth, admission, ends};

#[cfg(test)]
mod tests;
