//! The attestation exchange: an enclave attests to the proxy, or two enclaves to each other, both ways at once.
//!
//! Symbolic, as Dolev and Yao have it: cryptography is ideal, the attacker is the network. TLS connections are made first
//! (that depends on keys alone, so nothing is lost), then honest ends ask, answer and take documents in every order.
//! Challenges and documents are no secrets: the attacker knows each one from the moment it exists. Keys are.
//!
//! ```text
//! parties   who there is, keys, what an end of a connection is there for
//! setting   what exists in one exploration: connections, leaked keys, deployments, bounds
//! world     the state, and how it changes
//! moves     what can happen next
//! kind      the kinds of evidence, and what each says
//! checks    what a verifier compares
//! breaches  what must never be
//! words     runs for people
//! ```

mod breaches;
mod checks;
mod kind;
mod moves;
mod parties;
mod setting;
mod words;
mod world;

pub use breaches::Breach;
pub use parties::{Connection, Deployment, End, Key, Party, Place, Purpose, Side};
pub use setting::{Bounds, Naming, PeerBinder, SecondDeployment, Setting};
pub use world::{Acceptance, Challenge, Document, Evidence, Nonce, Step, World};
