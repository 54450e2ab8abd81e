//! Refusals of the certificates.

use super::{Refusal, Row};
use crate::time::UnixMillis;
use std::fmt;

/// Which certificate of the chain: 0 is the root, and the leaf comes after the last entry of `cabundle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// An entry of `cabundle`, counted from 0, the root.
    CaBundle(usize),
    /// The signer of the document, `certificate`.
    Leaf,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaBundle(0) => f.write_str("the root (cabundle[0])"),
            Self::CaBundle(index) => write!(f, "cabundle[{index}]"),
            Self::Leaf => f.write_str("the leaf certificate"),
        }
    }
}

/// What makes a certificate unreadable, or one that AWS's profile does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the sentence of a variant says what its fields are")]
pub enum CertificateFault {
    /// Not DER: wrong tag, wrong length, not the shortest form, or the bytes end too early.
    NotDer { what: &'static str },
    /// Bytes after the end of something.
    TrailingBytes { what: &'static str },
    /// Not version 3.
    Version,
    /// A serial number that is negative, zero or longer than 20 bytes (RFC 5280 section 4.1.2.2).
    Serial,
    /// Not signed with ecdsa-with-SHA384.
    SignatureAlgorithm,
    /// The two signature algorithms differ (RFC 5280 section 4.1.1.2).
    SignatureAlgorithmsDiffer,
    /// An empty name.
    Name,
    /// A time that is neither a strict UTCTime nor a strict GeneralizedTime (RFC 5280 section 4.1.2.5).
    Time,
    /// Not an uncompressed point of P-384.
    PublicKeyAlgorithm,
    /// A point that is not on the curve.
    PublicKey,
    /// An extension that stands twice, or more of them than any genuine certificate has.
    Extensions { what: &'static str },
    /// A critical extension that this verifier does not know (RFC 5280 section 4.2).
    UnknownCriticalExtension,
    /// An extended key usage: none of the registered purposes is attestation, so each one forbids it.
    ExtendedKeyUsage,
}

/// "expected version 3, found another version": for whoever reads a certificate that is no part of a document.
impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, expected, actual) = self.code_and_words();
        write!(f, "expected {expected}, found {actual}")
    }
}

impl std::error::Error for CertificateFault {}

impl CertificateFault {
    fn code_and_words(self) -> (&'static str, &'static str, String) {
        match self {
            Self::NotDer { what } => {
                ("certificate-malformed", "strict DER", format!("bytes that are not, at {what}"))
            }
            Self::TrailingBytes { what } => {
                ("certificate-trailing-bytes", "nothing after its end", format!("more bytes after {what}"))
            }
            Self::Version => ("certificate-version", "X.509 version 3", "another version".into()),
            Self::Serial => {
                ("certificate-serial", "a positive serial number of at most 20 bytes", "another one".into())
            }
            Self::SignatureAlgorithm => {
                ("certificate-signature-algorithm", "ecdsa-with-SHA384", "another algorithm".into())
            }
            Self::SignatureAlgorithmsDiffer => (
                "certificate-signature-algorithm",
                "the same signature algorithm inside and outside",
                "two that differ".into(),
            ),
            Self::Name => ("certificate-name", "names of issuer and subject", "an empty name".into()),
            Self::Time => {
                ("certificate-time", "times as RFC 5280 section 4.1.2.5 writes them", "another form".into())
            }
            Self::PublicKeyAlgorithm => {
                ("certificate-key-algorithm", "an uncompressed public key on P-384", "another key".into())
            }
            Self::PublicKey => {
                ("certificate-key-invalid", "a point on P-384", "a point that is not on the curve".into())
            }
            Self::Extensions { what } => {
                ("certificate-extensions", "each extension once, in strict DER", what.into())
            }
            Self::UnknownCriticalExtension => (
                "certificate-critical-extension",
                "no critical extension but basicConstraints and keyUsage",
                "another one".into(),
            ),
            Self::ExtendedKeyUsage => {
                ("certificate-extended-key-usage", "no extended key usage", "one".into())
            }
        }
    }
}

/// What is wrong with the path from the anchor to the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sentence of a variant says what its fields are")]
pub enum ChainRefusal {
    /// `cabundle[0]` is not the trust anchor, byte for byte.
    UntrustedRoot { anchor: String },
    /// The trust anchor itself could not be read. Never for the anchors built in.
    UnusableAnchor { fault: CertificateFault },
    /// A certificate could not be read.
    Malformed { position: Position, fault: CertificateFault },
    /// A certificate's issuer is not the subject of the one before it.
    NameMismatch { position: Position },
    /// An intermediate certificate that names itself as its issuer.
    SelfIssued { position: Position },
    /// Not valid yet at the caller's time.
    NotYetValid { position: Position, not_before: UnixMillis, at: UnixMillis },
    /// No longer valid at the caller's time.
    Expired { position: Position, not_after: UnixMillis, at: UnixMillis },
    /// An issuer without a critical basicConstraints of `CA:TRUE`.
    NotACa { position: Position },
    /// An issuer whose pathLen allows fewer certificates below it.
    PathTooLong { position: Position, limit: u64, below: usize },
    /// An issuer whose keyUsage lacks keyCertSign.
    MayNotSignCertificates { position: Position },
    /// A leaf without a basicConstraints of `CA:FALSE`.
    LeafIsCa,
    /// A leaf whose keyUsage lacks digitalSignature.
    LeafMayNotSign,
    /// A certificate whose issuer's key did not sign it.
    Signature { position: Position },
    /// The document's timestamp lies outside the leaf's validity.
    TimestampOutsideLeaf { timestamp: UnixMillis, not_before: UnixMillis, not_after: UnixMillis },
}

impl From<ChainRefusal> for Refusal {
    fn from(refusal: ChainRefusal) -> Self {
        Self::Chain(refusal)
    }
}

impl ChainRefusal {
    pub(super) fn row(&self) -> Row {
        match self {
            Self::UntrustedRoot { anchor } => Row::new(
                "untrusted-root",
                format!("the trust anchor {anchor:?} as the first entry of cabundle, byte for byte"),
                "another certificate",
            ),
            Self::UnusableAnchor { fault } => {
                let (_, expected, actual) = fault.code_and_words();
                Row::new("unusable-anchor", format!("the trust anchor with {expected}"), actual)
            }
            Self::Malformed { position, fault } => {
                let (code, expected, actual) = fault.code_and_words();
                Row::new(code, format!("{position} with {expected}"), actual)
            }
            Self::NameMismatch { position } => Row::new(
                "certificate-name-mismatch",
                format!("{position} issued by the certificate before it"),
                "the name of another issuer",
            ),
            Self::SelfIssued { position } => Row::new(
                "self-issued-certificate",
                format!("{position} issued to another name than its issuer's"),
                "the same name twice",
            ),
            Self::NotYetValid { position, not_before, at } => Row::new(
                "certificate-not-yet-valid",
                format!("{position} valid at {at}"),
                format!("one valid from {not_before}"),
            ),
            Self::Expired { position, not_after, at } => Row::new(
                "certificate-expired",
                format!("{position} valid at {at}"),
                format!("one that ended at {not_after}"),
            ),
            Self::NotACa { position } => Row::new(
                "issuer-not-a-ca",
                format!("{position} with a critical basicConstraints CA:TRUE"),
                "no such thing",
            ),
            Self::PathTooLong { position, limit, below } => Row::new(
                "path-length-exceeded",
                format!("at most {limit} certificate authorities below {position} (pathLen)"),
                below.to_string(),
            ),
            Self::MayNotSignCertificates { position } => Row::new(
                "issuer-key-usage",
                format!("{position} with keyCertSign in its keyUsage"),
                "no keyCertSign",
            ),
            Self::LeafIsCa => Row::new(
                "leaf-is-a-ca",
                "the leaf certificate with basicConstraints CA:FALSE",
                "no such thing",
            ),
            Self::LeafMayNotSign => Row::new(
                "leaf-key-usage",
                "the leaf certificate with digitalSignature in its keyUsage",
                "no digitalSignature",
            ),
            Self::Signature { position } => Row::new(
                "certificate-signature",
                format!("{position} signed by the key of the certificate before it"),
                "a signature that does not verify",
            ),
            Self::TimestampOutsideLeaf { timestamp, not_before, not_after } => Row::new(
                "timestamp-outside-leaf",
                format!("a timestamp within the leaf's validity, {not_before} to {not_after}"),
                timestamp.to_string(),
            ),
        }
    }
}
