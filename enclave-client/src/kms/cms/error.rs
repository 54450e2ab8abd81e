use std::fmt;

use super::{MAX_CHUNKS, MAX_ENVELOPE};

/// Why bytes are no envelope that KMS would make. Says nothing about any secret: no key was used yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// More than [`MAX_ENVELOPE`].
    TooLarge {
        /// Bytes.
        len: usize,
    },
    /// The bytes end inside this part.
    Truncated {
        /// The part.
        what: &'static str,
    },
    /// The surrounding element ends where this part should begin.
    Missing {
        /// The part.
        what: &'static str,
    },
    /// Something follows where this part ends.
    Trailing {
        /// The part.
        what: &'static str,
    },
    /// Another element than the one expected.
    Tag {
        /// The part.
        what: &'static str,
        /// Its tag byte.
        expected: u8,
        /// The one that is there.
        actual: u8,
    },
    /// A length that this part cannot have: indefinite where it is primitive, over four bytes long, or
    /// of another value than the one possible.
    Length {
        /// The part.
        what: &'static str,
    },
    /// A version that does not go with how the recipient is named (RFC 5652 sections 6.1 and 6.2.1).
    Version {
        /// The part.
        what: &'static str,
    },
    /// Another content type or algorithm than the one KMS uses, by its object identifier.
    Identifier {
        /// The part.
        what: &'static str,
        /// The one expected, by name.
        expected: &'static str,
    },
    /// An OAEP parameter is absent: its default is SHA-1 (RFC 8017 appendix A.2.1).
    Sha1 {
        /// Which parameter.
        what: &'static str,
    },
    /// More than one recipient.
    Recipients,
    /// More than [`MAX_CHUNKS`] chunks of content.
    Chunks,
    /// The content is empty or no whole number of AES blocks.
    Content {
        /// Bytes.
        len: usize,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len } => write!(f, "the envelope has {len} bytes, the limit is {MAX_ENVELOPE}"),
            Self::Truncated { what } => write!(f, "the bytes end inside {what}"),
            Self::Missing { what } => write!(f, "{what} is missing"),
            Self::Trailing { what } => write!(f, "something follows {what}"),
            Self::Tag { what, expected, actual } => {
                write!(f, "{what} has the tag {actual:#04x}, not {expected:#04x}")
            }
            Self::Length { what } => write!(f, "{what} has an impossible length"),
            Self::Version { what } => write!(f, "the version of {what} does not go with its recipient"),
            Self::Identifier { what, expected } => write!(f, "{what} is not {expected}"),
            Self::Sha1 { what } => write!(f, "{what} is absent, which means SHA-1"),
            Self::Recipients => f.write_str("more than one recipient"),
            Self::Chunks => write!(f, "the content has more than {MAX_CHUNKS} chunks"),
            Self::Content { len } => write!(f, "the content has {len} bytes: no whole number of AES blocks"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Why an envelope was not opened.
///
/// The first two are said before the private key is used. [`OpenError::Failed`] is the only thing that
/// anybody learns about a decryption: whether OAEP, the content key or the padding was wrong is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Made for another key: its identifier is another one.
    OtherKey,
    /// The encrypted key has another length than the recipient's modulus.
    KeyLength {
        /// Bytes of the modulus.
        expected: usize,
        /// Bytes of the encrypted key.
        actual: usize,
    },
    /// It does not decrypt.
    Failed,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKey => f.write_str("the envelope was made for another key"),
            Self::KeyLength { expected, actual } => {
                write!(f, "the encrypted key has {actual} bytes, and the recipient's modulus {expected}")
            }
            Self::Failed => f.write_str("the envelope does not decrypt"),
        }
    }
}

impl std::error::Error for OpenError {}
