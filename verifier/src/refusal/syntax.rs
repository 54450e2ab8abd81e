//! Refusals of the reader: the bytes are not a document.

use super::{Refusal, Row};
use crate::pcr::PcrIndex;
use std::fmt;

/// A key of the payload's map (AWS attestation process, section 3.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `module_id`
    ModuleId,
    /// `digest`
    Digest,
    /// `timestamp`
    Timestamp,
    /// `pcrs`
    Pcrs,
    /// `certificate`
    Certificate,
    /// `cabundle`
    CaBundle,
    /// `public_key`
    PublicKey,
    /// `user_data`
    UserData,
    /// `nonce`
    Nonce,
}

impl Field {
    /// Every field, in the order AWS writes them.
    pub const ALL: [Self; 9] = [
        Self::ModuleId,
        Self::Digest,
        Self::Timestamp,
        Self::Pcrs,
        Self::Certificate,
        Self::CaBundle,
        Self::PublicKey,
        Self::UserData,
        Self::Nonce,
    ];

    /// The key as it stands in the map.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ModuleId => "module_id",
            Self::Digest => "digest",
            Self::Timestamp => "timestamp",
            Self::Pcrs => "pcrs",
            Self::Certificate => "certificate",
            Self::CaBundle => "cabundle",
            Self::PublicKey => "public_key",
            Self::UserData => "user_data",
            Self::Nonce => "nonce",
        }
    }
}

/// The part of a document that was being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// The whole input, an array of four.
    Document,
    /// The protected header.
    ProtectedHeader,
    /// The unprotected header.
    UnprotectedHeader,
    /// The payload, a byte string that holds a map.
    Payload,
    /// The signature.
    Signature,
    /// A key of the payload's map.
    Key,
    /// The value under a key.
    Value(Field),
    /// A key of the `pcrs` map.
    PcrIndex,
    /// A value of the `pcrs` map.
    Pcr,
    /// An entry of `cabundle`.
    CaBundleEntry,
    /// The signature section of an enclave image, an array of signatures.
    ImageSignature,
    /// A key of one such signature.
    ImageSignatureKey,
    /// A value of one such signature, an array of bytes.
    ImageSignatureValue,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Document => "the document",
            Self::ProtectedHeader => "the protected header",
            Self::UnprotectedHeader => "the unprotected header",
            Self::Payload => "the payload",
            Self::Signature => "the signature",
            Self::Key => "a key of the payload",
            Self::Value(field) => field.as_str(),
            Self::PcrIndex => "a PCR index",
            Self::Pcr => "a PCR",
            Self::CaBundleEntry => "an entry of cabundle",
            Self::ImageSignature => "the signature section",
            Self::ImageSignatureKey => "a key of an image signature",
            Self::ImageSignatureValue => "a value of an image signature",
        })
    }
}

/// What is wrong with the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sentence of a variant says what its fields are")]
pub enum SyntaxRefusal {
    /// The input is longer than any document.
    DocumentTooLong { limit: usize, actual: usize },
    /// The input ends inside an item.
    Truncated { item: Item },
    /// Bytes follow the end of an item that should be the last.
    TrailingBytes { item: Item, count: usize },
    /// Another CBOR type than the one required.
    UnexpectedType { item: Item, expected: &'static str, actual: &'static str },
    /// A tag where none may stand; only tag 18 around the whole document may, once.
    UnexpectedTag { item: Item, tag: u64 },
    /// A head that is not in its shortest form.
    NotShortest { item: Item },
    /// A string in chunks, or an array of unknown length where a known one is required.
    IndefiniteLength { item: Item },
    /// A head that RFC 8949 reserves.
    NotWellFormed { item: Item, initial_byte: u8 },
    /// A string shorter or longer than allowed.
    Length { item: Item, min: usize, max: usize, actual: u64 },
    /// An array or map with fewer or more entries than allowed.
    Count { item: Item, min: usize, max: usize, actual: u64 },
    /// Text that is not UTF-8.
    NotUtf8 { item: Item },
    /// A protected header other than `{1: -35}` (ES384).
    ProtectedHeader { actual: Vec<u8> },
    /// An unprotected header that is not empty.
    UnprotectedHeader { entries: u64 },
    /// A key that no enclave document has.
    UnknownKey { key: String },
    /// A key that stands twice.
    DuplicateKey { field: Field },
    /// A required key that is not there.
    MissingKey { field: Field },
    /// A document of a NitroTPM, not of an enclave.
    NitroTpm { evidence: &'static str },
    /// Another digest than `SHA384`.
    Digest { actual: String },
    /// A timestamp of zero.
    TimestampZero,
    /// A PCR index above 31.
    PcrIndexRange { actual: u64 },
    /// A PCR index that stands twice.
    DuplicatePcr { index: PcrIndex },
    /// PCR0, 1 or 2 is not there.
    MissingPcr { index: PcrIndex },
}

impl From<SyntaxRefusal> for Refusal {
    fn from(refusal: SyntaxRefusal) -> Self {
        Self::Syntax(refusal)
    }
}

impl SyntaxRefusal {
    pub(super) fn row(&self) -> Row {
        match self {
            Self::DocumentTooLong { limit, actual } => {
                Row::new("document-too-long", format!("at most {limit} bytes"), format!("{actual} bytes"))
            }
            Self::Truncated { item } => Row::new(
                "truncated",
                format!("the rest of {item}"),
                format!("the end of the bytes inside {item}"),
            ),
            Self::TrailingBytes { item, count } => {
                Row::new("trailing-bytes", format!("nothing after {item}"), format!("{count} more bytes"))
            }
            Self::UnexpectedType { item, expected, actual } => {
                Row::new("unexpected-type", format!("{item} as {expected}"), *actual)
            }
            Self::UnexpectedTag { item, tag } => Row::new(
                "unexpected-tag",
                format!("no tag at {item} (only tag 18 may stand, once, before the document)"),
                format!("tag {tag}"),
            ),
            Self::NotShortest { item } => Row::new(
                "not-shortest-form",
                format!("{item} with its head in the shortest form (RFC 8949 section 4.1)"),
                "a longer form",
            ),
            Self::IndefiniteLength { item } => Row::new(
                "indefinite-length",
                format!("{item} in one piece, its length in its head"),
                "an indefinite length",
            ),
            Self::NotWellFormed { item, initial_byte } => Row::new(
                "not-well-formed",
                format!("well-formed CBOR at {item}"),
                format!("the byte 0x{initial_byte:02x}, which cannot stand there"),
            ),
            Self::Length { item, min, max, actual } => Row::new(
                "length-out-of-range",
                format!("{item} of {}", range(*min, *max, "bytes")),
                format!("{actual} bytes"),
            ),
            Self::Count { item, min, max, actual } => Row::new(
                "count-out-of-range",
                format!("{item} with {}", range(*min, *max, "entries")),
                format!("{actual} entries"),
            ),
            Self::NotUtf8 { item } => Row::new("not-utf8", format!("{item} as UTF-8 text"), "other bytes"),
            Self::ProtectedHeader { actual } => Row::new(
                "protected-header",
                "the protected header {1: -35} (ES384), a1013822, and nothing else",
                super::excerpt(actual),
            ),
            Self::UnprotectedHeader { entries } => {
                Row::new("unprotected-header", "an empty unprotected header", format!("{entries} entries"))
            }
            Self::UnknownKey { key } => Row::new(
                "unknown-key",
                "only the nine keys of an enclave document",
                format!("the key {key:?}"),
            ),
            Self::DuplicateKey { field } => {
                Row::new("duplicate-key", format!("{} once", field.as_str()), "it twice")
            }
            Self::MissingKey { field } => {
                Row::new("missing-key", format!("the key {}", field.as_str()), "no such key")
            }
            Self::NitroTpm { evidence } => Row::new(
                "nitrotpm-document",
                "a document of a Nitro enclave",
                format!("a NitroTPM document ({evidence})"),
            ),
            Self::Digest { actual } => Row::new("digest", "the digest SHA384", format!("{actual:?}")),
            Self::TimestampZero => Row::new("timestamp-zero", "a positive timestamp in milliseconds", "0"),
            Self::PcrIndexRange { actual } => {
                Row::new("pcr-index-out-of-range", "a PCR index from 0 to 31", actual.to_string())
            }
            Self::DuplicatePcr { index } => Row::new("duplicate-pcr", format!("{index} once"), "it twice"),
            Self::MissingPcr { index } => {
                Row::new("missing-pcr", format!("{index} (0, 1 and 2 are required)"), "no such PCR")
            }
        }
    }
}

fn range(min: usize, max: usize, unit: &str) -> String {
    if min == max { format!("{min} {unit}") } else { format!("{min} to {max} {unit}") }
}
