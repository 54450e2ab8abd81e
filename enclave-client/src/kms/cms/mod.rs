//! `CiphertextForRecipient`: CMS EnvelopedData (RFC 5652 section 6), read as KMS really writes it.
//!
//! ```text
//!   bytes ──envelope.rs (over ber.rs)──► Envelope ──open.rs, with a RecipientKey──► plaintext
//!             ReadError: what is wrong, exactly     OpenError: for another key, or just "does not decrypt"
//! ```
//!
//! Everything that can be refused without the private key is refused before it is
//! used, with a precise reason. After that there is one reason only: an answer
//! that told OAEP failures from padding failures would be an oracle.
//!
//! Not accepted, though CMS has it: originator certificates, several recipients,
//! attributes, other ciphers, SHA-1, chunks inside chunks.

mod ber;
mod envelope;
mod error;
mod open;

pub use envelope::{Envelope, RecipientId};
pub use error::{OpenError, ReadError};

/// Bytes of an envelope at most. The largest plaintext of the five operations has 4,096 bytes
/// (KMS API reference, Decrypt); real envelopes of that size have 4,573.
pub const MAX_ENVELOPE: usize = 64 * 1024;

/// Chunks of content at most. KMS makes chunks of 1,000 bytes.
pub const MAX_CHUNKS: usize = 64;

#[cfg(test)]
mod tests;
