//! Tokens that are really signed, by a provider that really listens.

mod claims;
mod forgery;
mod keys;
pub(in crate::admin) mod signer;
mod transport;
pub(in crate::admin) mod world;
