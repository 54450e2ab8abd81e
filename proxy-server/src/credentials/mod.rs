//! AWS credentials for attested sessions: nobody carries a secret into an enclave.
//!
//! ```text
//!   attest/credentials.rs ──key proved, session named──► Desk ─┬─ the session stands, its measurement admits now
//!     (POST /v1/credentials)                                   ├─ kept ones that live long enough
//!                                                              └─ else one turn: STS (sts.rs) ─► audit row ─► kept
//!   config/sts.rs ──► Roles: which role a workload has (role.rs), with which session policy (session_policy.rs)
//! ```
//!
//! The role and the policy are the configuration file's, never the API's: who may add a measurement must not be
//! able to give it another role. What is issued goes to the connection that proved the session's key and nowhere
//! else; it is kept in memory, masked in `Debug`, and wiped. Decision: `docs/decisions/0061-credentials-for-sessions.md`.

mod assumption;
mod desk;
mod error;
mod issued;
mod refusals;
mod role;
mod rows;
mod session_policy;
mod slot;
#[cfg(feature = "aws")]
mod sts;

pub use assumption::{AssumeRole, Assuming, Assumption};
pub use desk::{Desk, DeskParts};
pub use error::StsError;
pub use issued::Issued;
pub use role::{BadRole, Role, RoleArn, Roles};
pub use session_policy::{BadSessionPolicy, SessionPolicy};
#[cfg(feature = "aws")]
pub use sts::{Sts, StsPlace};

#[cfg(test)]
mod tests;
