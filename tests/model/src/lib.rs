//! Models of the protocol, small enough to be explored whole.
//!
//! Each model is a state machine of honest parties and an attacker who owns the network. Nothing here runs the real
//! code: the models say what the protocol's *checks* are worth, the suites of `tests/e2e` that the code makes them.
//! docs/model.md tells what is modelled and what is not.
//!
//! ```text
//! part        the checks, and sets of them
//! protocol    what a model is: starts, steps, breaches, and which checks were ignored on the way
//! search      the questions: does it hold? what breaks it? how, in the fewest steps?
//! exchange/   the attestation exchange: enclave to proxy, and enclave to enclave both ways at once
//! later       a later connection between two peers that know each other
//! gateway     the use of a session certificate
//! ```

pub mod exchange;
pub mod gateway;
pub mod later;
mod part;
mod protocol;
pub mod search;

pub use part::{Part, Parts};
pub use protocol::Protocol;
