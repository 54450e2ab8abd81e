//! Why a file is not an enclave image.

use super::section::SectionKind;
use crate::refusal::{CertificateFault, Refusal};
use std::error::Error;
use std::fmt;
use std::io;

/// What is wrong with an image, with what was expected and what was there. Offsets and sizes are in bytes; sections are
/// counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sentence of a variant says what its fields are")]
pub enum EifError {
    /// The file could not be read on.
    Unreadable { at: u64, kind: io::ErrorKind },
    /// The file ends inside a part of that many bytes.
    Truncated { part: ImagePart, expected: u64, actual: u64 },
    /// The file does not start with `.eif`.
    NotAnImage { actual: [u8; 4] },
    /// A version that is not 2, 3 or 4.
    UnsupportedVersion { actual: u16 },
    /// Fewer than 2 or more than 32 sections.
    SectionCount { actual: u16 },
    /// Sections that are longer than any image, taken together.
    TooLong { limit: u64, actual: u64 },
    /// A section of a type that the specification does not know.
    UnknownSection { index: usize, actual: u16 },
    /// The header puts a section elsewhere than where the one before it ended.
    OffsetsDiffer { index: usize, expected: u64, actual: u64 },
    /// A section says another size than the header says of it.
    SizesDiffer { index: usize, expected: u64, actual: u64 },
    /// A second section of a kind of which there is one.
    DuplicateSection { index: usize, kind: SectionKind },
    /// A ramdisk before the kernel.
    RamdiskBeforeKernel { index: usize },
    /// A section that every image of this version has.
    MissingSection { kind: SectionKind },
    /// A signature section over its limit.
    SignatureTooLong { limit: u64, actual: u64 },
    /// A signature section that does not hold what it should.
    Signature(SignatureFault),
    /// Bytes after the last section.
    TrailingBytes { at: u64 },
    /// The checksum in the header is not that of the bytes: the file was changed or damaged.
    Checksum { expected: u32, actual: u32 },
}

/// What is wrong with the signature section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sentence of a variant says what its fields are")]
pub enum SignatureFault {
    /// Not the CBOR that it should be.
    NotCbor(Box<Refusal>),
    /// A key that is neither `signing_certificate` nor `signature`.
    UnknownKey { key: String },
    /// A key that stands twice.
    DuplicateKey { key: String },
    /// A number over 255 in an array of bytes.
    NotAByte { actual: u64 },
    /// The certificate file has no certificate in PEM.
    NotPem,
    /// The certificate is not one sequence in DER.
    NotDer(CertificateFault),
}

/// The part of an image that was being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePart {
    /// The header of the file.
    Header,
    /// The header of a section.
    SectionHeader {
        /// Which section.
        index: usize,
    },
    /// What a section holds.
    Section {
        /// Which section.
        index: usize,
        /// Of which kind.
        kind: SectionKind,
    },
}

impl EifError {
    /// The reason as a stable word in kebab-case, for programs to match on.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Truncated { .. } => "truncated",
            Self::NotAnImage { .. } => "not-an-image",
            Self::UnsupportedVersion { .. } => "unsupported-version",
            Self::SectionCount { .. } => "section-count",
            Self::TooLong { .. } => "image-too-long",
            Self::UnknownSection { .. } => "unknown-section",
            Self::OffsetsDiffer { .. } => "section-offsets-differ",
            Self::SizesDiffer { .. } => "section-sizes-differ",
            Self::DuplicateSection { .. } => "duplicate-section",
            Self::RamdiskBeforeKernel { .. } => "ramdisk-before-kernel",
            Self::MissingSection { .. } => "missing-section",
            Self::SignatureTooLong { .. } => "signature-too-long",
            Self::Signature(_) => "signature-malformed",
            Self::TrailingBytes { .. } => "trailing-bytes",
            Self::Checksum { .. } => "checksum",
        }
    }
}

impl fmt::Display for EifError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { at, kind } => write!(f, "cannot read on after {at} bytes: {kind}"),
            Self::Truncated { part, expected, actual } => {
                write!(f, "the file ends inside {part}: expected {expected} bytes, found {actual}")
            }
            Self::NotAnImage { actual } => {
                write!(f, "not an enclave image: expected .eif at its start, found {}", actual.escape_ascii())
            }
            Self::UnsupportedVersion { actual } => {
                write!(f, "an image of version {actual}: known are 2, 3 and 4")
            }
            Self::SectionCount { actual } => write!(f, "an image has 2 to 32 sections, this one {actual}"),
            Self::TooLong { limit, actual } => {
                write!(f, "sections of {actual} bytes together: no image is longer than {limit}")
            }
            Self::UnknownSection { index, actual } => {
                write!(f, "section {index} is of the unknown type {actual}: known are 1 to 5")
            }
            Self::OffsetsDiffer { index, expected, actual } => {
                write!(f, "section {index} starts at byte {expected}, and the header says {actual}")
            }
            Self::SizesDiffer { index, expected, actual } => {
                write!(f, "section {index} says that it has {actual} bytes, and the header says {expected}")
            }
            Self::DuplicateSection { index, kind } => {
                write!(f, "section {index} is a second {kind}: an image has one")
            }
            Self::RamdiskBeforeKernel { index } => {
                write!(f, "section {index} is a ramdisk, and no kernel stands before it")
            }
            Self::MissingSection { kind } => write!(f, "the image has no {kind}"),
            Self::SignatureTooLong { limit, actual } => {
                write!(f, "a signature section of {actual} bytes: at most {limit}")
            }
            Self::Signature(_) => f.write_str("the signature section does not hold what nitro-cli writes"),
            Self::TrailingBytes { at } => {
                write!(f, "bytes follow the last section, which ends at byte {at}")
            }
            Self::Checksum { expected, actual } => write!(
                f,
                "the image was changed or damaged: its checksum is {actual:08x}, and the header says {expected:08x}"
            ),
        }
    }
}

impl Error for EifError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Signature(fault) => Some(fault),
            _ => None,
        }
    }
}

impl fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCbor(_) => f.write_str("not an array of signatures in CBOR"),
            Self::UnknownKey { key } => {
                write!(f, "{key:?} is no key of a signature: those are signing_certificate and signature")
            }
            Self::DuplicateKey { key } => write!(f, "{key} stands twice"),
            Self::NotAByte { actual } => write!(f, "{actual} in an array of bytes"),
            Self::NotPem => f.write_str("the signing certificate is not a certificate in PEM"),
            Self::NotDer(fault) => write!(f, "the signing certificate is not one sequence in DER: {fault}"),
        }
    }
}

impl Error for SignatureFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotCbor(refusal) => Some(refusal.as_ref()),
            _ => None,
        }
    }
}

impl fmt::Display for ImagePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::SectionHeader { index } => write!(f, "the header of section {index}"),
            Self::Section { index, kind } => write!(f, "section {index} ({kind})"),
        }
    }
}
