//! The messages of the attestation port: the three of the attestation exchange, and two about AWS credentials.
//!
//! Each is one definite CBOR array (RFC 8949) whose first element names message
//! and version, so that a reader of another version refuses it by name. Reading
//! is strict: exact length, exact types, no chunked strings, no trailing byte.

mod credentials;

use std::fmt;

use minicbor::{Decoder, Encoder, data::Type};

use crate::{BootId, Deployment, Epoch, Lease, LeaseBounds, Nonce, SessionId, wire};

pub use credentials::{AskCredentials, IssuedCredentials};

/// The proxy's answer to `POST /v1/challenge`:
/// `["countersign-challenge-v1", nonce, deployment, epoch, lease_min, lease_max]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// To be answered within [`wire::NONCE_LIFETIME`], once, on this connection.
    pub nonce: Nonce,
    /// Part of the binder.
    pub deployment: Deployment,
    /// The proxy's policy version; a client remembers the highest it has seen.
    pub epoch: Epoch,
    /// The shortest and longest lease any workload is given here.
    pub lease_bounds: LeaseBounds,
}

/// The body of `POST /v1/attest`:
/// `["countersign-attest-v1", document, lease_seconds, boot_id, sequence]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attest<'a> {
    /// The NSM's answer, untouched.
    pub document: &'a [u8],
    /// The lease wished for; the proxy clamps it to the workload's bounds.
    pub lease: Lease,
    /// This boot of the client.
    pub boot_id: BootId,
    /// Greater than in any earlier attestation of this boot.
    pub sequence: u64,
}

/// The proxy's answer to an accepted `POST /v1/attest`:
/// `["countersign-grant-v1", session_id, lease_seconds, epoch, [certificate, issuer…]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The session; kept when a live session attests again.
    pub session: SessionId,
    /// Counted by the proxy from the moment it answered.
    pub lease: Lease,
    /// The policy version that admitted the enclave.
    pub epoch: Epoch,
    /// Certificate over K and the certificates of its issuers, without the root, DER.
    pub certificates: Vec<Vec<u8>>,
}

impl Challenge {
    /// The message as CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let Self { nonce, deployment, epoch, lease_bounds } = self;
        encode(160, |e| {
            e.array(6)?
                .str(CHALLENGE)?
                .bytes(nonce.as_bytes())?
                .str(deployment.as_str())?
                .u64(epoch.0)?
                .u64(lease_bounds.min().as_secs())?
                .u64(lease_bounds.max().as_secs())?
                .ok()
        })
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// [`MessageError`] naming the field that is not as it must be.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::open(bytes, CHALLENGE, 6)?;
        let message = Self {
            nonce: Nonce::from_bytes(reader.array("nonce")?),
            deployment: reader.text("deployment")?.parse().map_err(|_| reader.bad("deployment"))?,
            epoch: Epoch(reader.number("epoch")?),
            lease_bounds: {
                let min = reader.lease("lease_min")?;
                let max = reader.lease("lease_max")?;
                LeaseBounds::new(min, max).map_err(|_| reader.bad("lease_max"))?
            },
        };
        reader.close(message)
    }
}

impl<'a> Attest<'a> {
    /// The message as CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let Self { document, lease, boot_id, sequence } = self;
        encode(document.len() + 80, |e| {
            e.array(5)?
                .str(ATTEST)?
                .bytes(document)?
                .u64(lease.as_secs())?
                .bytes(boot_id.as_bytes())?
                .u64(*sequence)?
                .ok()
        })
    }

    /// Reads a whole message; the document stays where it is.
    ///
    /// # Errors
    /// [`MessageError`] naming the field that is not as it must be.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::open(bytes, ATTEST, 5)?;
        let document = reader.bytes("document")?;
        if document.len() > wire::MAX_DOCUMENT {
            return Err(MessageError::DocumentTooLong { len: document.len() });
        }
        let message = Self {
            document,
            lease: reader.lease("lease_seconds")?,
            boot_id: BootId::from_bytes(reader.array("boot_id")?),
            sequence: reader.number("sequence")?,
        };
        reader.close(message)
    }
}

impl Grant {
    /// The most certificates a grant carries: the session's and two issuers.
    pub const MAX_CERTIFICATES: u64 = 3;

    /// The message as CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let Self { session, lease, epoch, certificates } = self;
        encode(1536, |e| {
            e.array(5)?
                .str(GRANT)?
                .bytes(session.as_bytes())?
                .u64(lease.as_secs())?
                .u64(epoch.0)?
                .array(certificates.len() as u64)?;
            for certificate in certificates {
                e.bytes(certificate)?;
            }
            Ok(())
        })
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// [`MessageError`] naming the field that is not as it must be.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::open(bytes, GRANT, 5)?;
        let session = SessionId::from_bytes(reader.array("session_id")?);
        let lease = reader.lease("lease_seconds")?;
        let epoch = Epoch(reader.number("epoch")?);
        let count = reader.length("certificates")?;
        if !(1..=Self::MAX_CERTIFICATES).contains(&count) {
            return Err(reader.bad("certificates"));
        }
        let certificates =
            (0..count).map(|_| reader.bytes("certificates").map(<[u8]>::to_vec)).collect::<Result<_, _>>()?;
        reader.close(Self { session, lease, epoch, certificates })
    }
}

/// Why bytes are no message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// Not a definite array of the right length that begins with this label.
    NotThis {
        /// The label expected.
        label: &'static str,
    },
    /// A field of the wrong type, or out of its range.
    Field {
        /// The message's label.
        label: &'static str,
        /// The field's name in the documentation.
        field: &'static str,
    },
    /// A document over [`wire::MAX_DOCUMENT`].
    DocumentTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Bytes after the message.
    Trailing {
        /// The message's label.
        label: &'static str,
        /// How many.
        extra: usize,
    },
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThis { label } => write!(f, "body is no CBOR array that begins with \"{label}\""),
            Self::Field { label, field } => {
                write!(f, "field {field} of {label} has the wrong type or is out of range")
            }
            Self::DocumentTooLong { len } => {
                write!(f, "document has {len} bytes, the limit is {}", wire::MAX_DOCUMENT)
            }
            Self::Trailing { label, extra } => write!(f, "{extra} bytes follow {label}"),
        }
    }
}

impl std::error::Error for MessageError {}

const CHALLENGE: &str = "countersign-challenge-v1";
const ATTEST: &str = "countersign-attest-v1";
const GRANT: &str = "countersign-grant-v1";

pub(crate) type Encoded = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

pub(crate) fn encode(capacity: usize, write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Encoded) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(capacity));
    let written = write(&mut encoder);
    // A Vec takes every write: its error type has no value.
    debug_assert!(written.is_ok());
    encoder.into_writer()
}

/// A strict walk over one message.
pub(crate) struct Reader<'a> {
    decoder: Decoder<'a>,
    label: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn open(bytes: &'a [u8], label: &'static str, length: u64) -> Result<Self, MessageError> {
        let mut reader = Self { decoder: Decoder::new(bytes), label };
        let matches = reader.length(label) == Ok(length) && reader.text(label) == Ok(label);
        if matches { Ok(reader) } else { Err(MessageError::NotThis { label }) }
    }

    pub(crate) fn bad(&self, field: &'static str) -> MessageError {
        MessageError::Field { label: self.label, field }
    }

    pub(crate) fn length(&mut self, field: &'static str) -> Result<u64, MessageError> {
        self.decoder.array().ok().flatten().ok_or(self.bad(field))
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str, MessageError> {
        match self.decoder.datatype() {
            Ok(Type::String) => self.decoder.str().map_err(|_| self.bad(field)),
            _ => Err(self.bad(field)),
        }
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], MessageError> {
        match self.decoder.datatype() {
            Ok(Type::Bytes) => self.decoder.bytes().map_err(|_| self.bad(field)),
            _ => Err(self.bad(field)),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], MessageError> {
        self.bytes(field)?.try_into().map_err(|_| self.bad(field))
    }

    pub(crate) fn number(&mut self, field: &'static str) -> Result<u64, MessageError> {
        self.decoder.u64().map_err(|_| self.bad(field))
    }

    pub(crate) fn lease(&mut self, field: &'static str) -> Result<Lease, MessageError> {
        Lease::from_secs(self.number(field)?).map_err(|_| self.bad(field))
    }

    pub(crate) fn close<T>(self, message: T) -> Result<T, MessageError> {
        match self.decoder.input().len() - self.decoder.position() {
            0 => Ok(message),
            extra => Err(MessageError::Trailing { label: self.label, extra }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_wire() {
        let challenge = challenge();
        assert_eq!(Challenge::decode(&challenge.encode()), Ok(challenge));
        let attest = attest(&[7; 4400]);
        assert_eq!(Attest::decode(&attest.encode()), Ok(attest));
        let grant = grant();
        assert_eq!(Grant::decode(&grant.encode()), Ok(grant));
    }

    #[test]
    fn every_truncation_and_every_extension_is_refused() {
        let whole = attest(&[7; 40]).encode();
        for end in 0..whole.len() {
            assert!(Attest::decode(&whole[..end]).is_err(), "{end} bytes");
        }
        let mut longer = whole;
        longer.push(0);
        let label = ATTEST;
        assert_eq!(Attest::decode(&longer), Err(MessageError::Trailing { label, extra: 1 }));
    }

    #[test]
    fn a_message_of_another_kind_or_version_is_refused_by_name() {
        let error = Err(MessageError::NotThis { label: ATTEST });
        assert_eq!(Attest::decode(&challenge().encode()), error);
        let mut other = attest(&[7]).encode();
        let digit = other.iter().position(|&b| b == b'1').unwrap();
        other[digit] = b'2';
        assert_eq!(Attest::decode(&other), error);
        assert_eq!(Attest::decode(b""), error);
        // An indefinite array, a huge one.
        assert_eq!(Attest::decode(&[0x9f, 0xff]), error);
        assert_eq!(Attest::decode(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), error);
    }

    #[test]
    fn fields_keep_their_bounds() {
        let field = |label, field| Err(MessageError::Field { label, field });
        let body = |lease: u64, boot: usize| {
            encode(0, |e| {
                e.array(5)?.str(ATTEST)?.bytes(&[1])?.u64(lease)?.bytes(&[0; 32][..boot])?.u64(1)?.ok()
            })
        };
        assert!(Attest::decode(&body(30, 16)).is_ok());
        assert_eq!(Attest::decode(&body(29, 16)), field(ATTEST, "lease_seconds"));
        assert_eq!(Attest::decode(&body(601, 16)), field(ATTEST, "lease_seconds"));
        assert_eq!(Attest::decode(&body(30, 15)), field(ATTEST, "boot_id"));
        let long = vec![0; wire::MAX_DOCUMENT + 1];
        assert_eq!(
            Attest::decode(&attest(&long).encode()),
            Err(MessageError::DocumentTooLong { len: long.len() })
        );
        let mut many = grant();
        many.certificates = vec![vec![1]; 4];
        let error = MessageError::Field { label: GRANT, field: "certificates" };
        assert_eq!(Grant::decode(&many.encode()), Err(error));
    }

    fn challenge() -> Challenge {
        Challenge {
            nonce: Nonce::from_bytes([1; 32]),
            deployment: "demo".parse().unwrap(),
            epoch: Epoch(7),
            lease_bounds: LeaseBounds::default(),
        }
    }

    fn attest(document: &[u8]) -> Attest<'_> {
        Attest { document, lease: Lease::MIN, boot_id: BootId::from_bytes([2; 16]), sequence: 1 }
    }

    fn grant() -> Grant {
        Grant {
            session: SessionId::from_bytes([3; 16]),
            lease: Lease::MAX,
            epoch: Epoch(8),
            certificates: vec![vec![4; 500], vec![5; 400]],
        }
    }
}
