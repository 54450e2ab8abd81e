//! The session CA: a root in a file, one issuing intermediate in memory, and
//! certificates that live as long as a lease.
//!
//! ```text
//!   root (state directory, 0600) ──► intermediate (this process) ──► session certificate over K
//! ```
//!
//! A session certificate says which session its holder may ask for, and is
//! worth nothing without the session's record: so there is no revocation list.

mod leaf;
mod root_file;
mod session_ca;
mod trial;

pub use leaf::{ClientKey, NotAClientKey, SessionCertificate};
pub use root_file::CaError;
pub use session_ca::SessionCa;
pub use trial::{TrialError, make_trial_certificate};

#[cfg(test)]
mod tests;
