//! Who may pass: workloads, measurements, and the snapshot that decisions read.

mod handle;
mod workload;

pub use handle::{Freshness, Policy, PolicyHandle};
pub use workload::{BadName, Destinations, Limits, Workload, WorkloadName};
pub(crate) use workload::check_name;
