//! Enclave images by AWS's library, and what it says of them.

mod describe;
mod recipe;
mod signer;

pub use describe::describe;
pub use recipe::{Recipe, Signing};
pub use signer::Signer;

/// Whatever went wrong: this is a tool.
pub type Failure = Box<dyn std::error::Error>;
