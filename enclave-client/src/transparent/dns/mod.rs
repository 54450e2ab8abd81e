//! The resolver on loopback: it knows the names that the policy allows, and answers
//! each with an address of this machine. It asks nobody.
//!
//! ```text
//!   udp.rs, tcp.rs ──bytes──► message.rs ──► Names (the directory) ──► message.rs ──bytes──►
//! ```

mod message;
mod tcp;
mod udp;

use std::net::IpAddr;

pub use super::addresses::Family;
pub use message::answer;
pub(super) use tcp::serve_tcp;
pub(super) use udp::{listen_udp, serve_udp};

/// What the resolver asks for its answers.
pub trait Names {
    /// An address for a normalised name (lower case, no trailing dot).
    fn address(&self, name: &str, family: Family) -> Found;

    /// Whether the name exists: the answer to a question for any other kind of record.
    fn exists(&self, name: &str) -> Existence;

    /// The name that an address stands for now.
    fn name_of(&self, address: IpAddr) -> Option<Box<str>>;
}

/// What there is to say about a name's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This one.
    Address(IpAddr),
    /// The name exists, without an address of the family.
    NoData,
    /// The name is not allowed, so it does not exist here.
    NoName,
    /// The name is allowed and there is no room for it now.
    NoRoom,
}

/// Whether a name exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// The policy allows it at some port.
    Exists,
    /// It does not.
    NoName,
}
