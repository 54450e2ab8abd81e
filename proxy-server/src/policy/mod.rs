//! Who may pass: workloads, measurements, and the snapshot that decisions read.
//!
//! ```text
//!   store ──polled──► watcher ──replaces──► PolicyHandle ──current()──► attest, gateway
//!                        │
//!                        └──ends sessions that the new policy does not allow
//! ```
//!
//! The order in the watcher matters: first the new policy is in force, then
//! sessions end. Whoever admits looks at the policy again afterwards, so that a
//! session is either seen by the watcher or not given. A policy counts as enforced,
//! and is acknowledged to the store, when the last tunnel that it ended has dropped
//! its sockets.

mod handle;
mod snapshot;
mod staleness;
mod trouble;
mod watcher;
mod window;
mod workload;

pub use handle::{Freshness, PolicyHandle};
pub(crate) use snapshot::is_narrower;
pub use snapshot::{Admitting, Policy};
pub use staleness::{CUT_AFTER, guard};
pub use watcher::Watcher;
pub(crate) use workload::check_name;
pub use workload::{BadName, Destinations, Limits, Workload, WorkloadName};

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
