//! The attestation port: a challenge, a document that answers it, a session.
//!
//! ```text
//!   port (TLS accept, deadlines) ──► router (HTTP) ──► admission (the checks, in order)
//!        │                              │                   │
//!     stream (exporter)            connection (challenge)   ├─► verifier, policy
//!        │                                                  ├─► session registry
//!     tls (any P-256 key may knock)                         └─► session CA, journal
//!                                       └──► credentials::Desk (AWS credentials for a session that stands)
//! ```
//!
//! Checks run from cheap to dear, so that a flood of junk costs microseconds
//! and no write. A nonce is taken out of the connection before anything is
//! looked at: whatever becomes of the answer, it is used up.

mod admission;
mod connection;
mod finish;
mod gate;
mod http1_io;
mod instance_rate;
mod judgement;
mod port;
mod router;
mod stream;
mod tls;
mod told;

pub use admission::{Admitter, AdmitterParts};
pub use port::{AttestationPort, PortLimits};

#[cfg(test)]
mod tests;
