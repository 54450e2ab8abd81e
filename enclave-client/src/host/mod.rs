//! The untrusted half on the parent machine: it carries bytes between vsock and TCP.
//!
//! ```text
//!   enclave ──vsock──► door.rs ► egress.rs ► names.rs ──TCP──► the world
//!                                   │ limit/: the parent's own rule sets
//!   callers ──TCP────► door.rs ► ingress.rs ──vsock──► enclave
//!   enclave ──vsock──► door.rs ► logs.rs ──► standard output
//!   monitoring ─TCP──► door.rs ► health.rs ──vsock──► the enclave's health port
//!
//!   wire/: what the two halves say to each other, used by the enclave's end too (egress/host_link/)
//! ```
//!
//! Nothing here is trusted by the enclave: it judges names and addresses by its
//! own policy first, and TLS inside protects what is carried. What the host half
//! adds is a limit that the enclave cannot lift.

mod door;
mod egress;
mod entrance;
mod health;
mod ingress;
pub mod limit;
mod logs;
pub mod names;
mod options;
mod refusals;
mod serve;
pub mod wire;

pub use ingress::{IngressError, IngressRoute};
pub use options::{HostError, HostOptions, Rules};
pub use serve::Host;
