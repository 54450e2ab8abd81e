//! Attest, and attest again before the lease lapses.
//!
//! ```text
//!   Keeper ──resolve, connect──► ProxySite ──TLS 1.3──► attestation port
//!     │                            └► AttestLink: challenge, document, answer
//!     │  schedule.rs says when, epochs.rs says whether, both pure
//!     └─publish─► Status (tokio watch) ──► pool, local proxy
//! ```

mod epochs;
mod error;
mod keeper;
mod link;
mod schedule;
mod shared_io;
mod status;

pub use epochs::Epochs;
pub use error::AttestError;
pub(crate) use error::{Remedy, chain};
pub use keeper::{Keeper, Link, Nudge, Site};
pub(crate) use link::server_name;
pub use link::{AttestLink, Boot, ProxySite, SiteConfig};
pub use schedule::{Backoff, renew_after, rotate};
pub use status::{Attested, Status, Trouble};
