//! Faults in how the document is written down and signed.

use crate::cbor::{self, Major};
use crate::document::{Claims, Envelope, Field, ToBeSigned};
use crate::key::{Key, KeyUse};
use crate::{Fault, SimulatorError};

impl Fault {
    /// Before the payload is put together.
    pub(crate) fn alter_fields(self, claims: &Claims, fields: &mut Vec<Field>) {
        let pcr0 = || cbor::bytes(claims.pcrs.get(&0).map(Vec::as_slice).unwrap_or_default());
        match self {
            Self::TaggedTimestamp => set(fields, "timestamp", |value| {
                *value = [cbor::head(Major::Tag, 1), value.clone()].concat();
            }),
            Self::ChunkedKey => with_key(fields, "nonce", cbor::chunked_text("nonce")),
            Self::HugeCount => set(fields, "cabundle", |value| *value = cbor::head(Major::Array, 1 << 40)),
            Self::DeepNesting => set(fields, "user_data", |value| *value = nested(1000)),
            Self::DuplicateKey => fields.push(Field::new("nonce", vec![cbor::NULL])),
            Self::DuplicateKeyNonMinimal => {
                let key = [&[Major::Text as u8 | 24, 5], &b"nonce"[..]].concat();
                fields.push(Field { name: "nonce", key, value: vec![cbor::NULL] });
            }
            Self::DuplicatePcr => {
                let twice = claims.encoded_pcrs(&[(cbor::unsigned(0), pcr0())]);
                set(fields, "pcrs", |value| *value = twice);
            }
            Self::DuplicatePcrNonMinimal => {
                let twice = claims.encoded_pcrs(&[(vec![Major::Unsigned as u8 | 24, 0], pcr0())]);
                set(fields, "pcrs", |value| *value = twice);
            }
            Self::UnknownKey => fields.push(Field::new("unknown", vec![cbor::NULL])),
            Self::IntegerKey => with_key(fields, "module_id", cbor::unsigned(0)),
            Self::ModuleIdBytes => {
                set(fields, "module_id", |value| *value = cbor::bytes(claims.module_id.as_bytes()));
            }
            Self::MissingModuleId => fields.retain(|field| field.name != "module_id"),
            Self::MissingDigest => fields.retain(|field| field.name != "digest"),
            Self::NegativeTimestamp => {
                set(fields, "timestamp", |value| *value = cbor::head(Major::Negative, claims.timestamp_ms));
            }
            Self::FloatTimestamp => set(fields, "timestamp", |value| {
                *value = [&[FLOAT64][..], &(claims.timestamp_ms as f64).to_be_bytes()].concat();
            }),
            Self::NitroTpmPcrs => with_key(fields, "pcrs", cbor::text("nitrotpm_pcrs")),
            Self::UndefinedUserData => set(fields, "user_data", |value| *value = vec![cbor::UNDEFINED]),
            _ => {}
        }
    }

    /// Before the signature.
    pub(crate) fn alter_signed(self, signed: &mut ToBeSigned) {
        match self {
            Self::ProtectedTrailingByte => signed.protected.push(0),
            Self::PayloadTrailingByte => signed.payload.push(0),
            // {1: -36}
            Self::WrongAlg => signed.protected = vec![0xa1, 0x01, 0x38, 0x23],
            Self::MissingAlg => signed.protected = vec![0xa0],
            // {1: -35, 1: -35}
            Self::DuplicateAlg => signed.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x01, 0x38, 0x22],
            // {1: -35, 4: h''}
            Self::ProtectedExtra => signed.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x04, 0x40],
            // {1: -35, 2: [99]}: RFC 9052, 3.1, `crit` with a header that nobody knows
            Self::CriticalHeader => signed.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x18, 0x63],
            Self::EmptyPayload => signed.payload.clear(),
            _ => {}
        }
    }

    /// By whom, and over what.
    pub(crate) fn sign(self, leaf: &Key, signed: &ToBeSigned) -> Result<Vec<u8>, SimulatorError> {
        match self {
            // A P-256 key cannot fill 96 bytes; the curve must be refused before anybody tries the signature.
            Self::SignedByOtherKey | Self::P256Leaf => {
                Key::generate(KeyUse::Documents)?.sign(&signed.signature_structure())
            }
            Self::SignatureWithoutContext => leaf.sign(&signed.payload),
            Self::ZeroSignature => Ok(vec![0; 96]),
            _ => leaf.sign(&signed.signature_structure()),
        }
    }

    /// After the signature.
    pub(crate) fn alter_envelope(
        self,
        claims: &Claims,
        signed: &ToBeSigned,
        signature: &[u8],
        envelope: &mut Envelope,
    ) {
        match self {
            Self::TrailingByte => envelope.after.push(0),
            Self::ThreeElements => envelope.items.truncate(3),
            Self::FiveElements => envelope.items.push(vec![cbor::NULL]),
            Self::TaggedTwice => envelope.before = cbor::head(Major::Tag, COSE_SIGN1).repeat(2),
            Self::ForeignTag => envelope.before = cbor::head(Major::Tag, COSE_SIGN),
            // {4: h''}
            Self::UnprotectedNonEmpty => item(envelope, UNPROTECTED, vec![0xa1, 0x04, 0x40]),
            Self::DetachedPayload => item(envelope, PAYLOAD, vec![cbor::NULL]),
            Self::ChunkedPayload => item(envelope, PAYLOAD, cbor::chunked_bytes(&signed.payload)),
            Self::PayloadFlipped => {
                item(envelope, PAYLOAD, cbor::bytes(&flipped(&signed.payload, claims.module_id.as_bytes())));
            }
            Self::ChunkedSignature => item(envelope, SIGNATURE, cbor::chunked_bytes(signature)),
            Self::ShortSignature => {
                let short = signature.split_last().map(|(_, rest)| rest).unwrap_or_default();
                item(envelope, SIGNATURE, cbor::bytes(short));
            }
            Self::EmptySignature => item(envelope, SIGNATURE, cbor::bytes(&[])),
            _ => {}
        }
    }
}

fn set(fields: &mut [Field], name: &str, alter: impl FnOnce(&mut Vec<u8>)) {
    if let Some(field) = fields.iter_mut().find(|field| field.name == name) {
        alter(&mut field.value);
    }
}

fn with_key(fields: &mut [Field], name: &str, key: Vec<u8>) {
    if let Some(field) = fields.iter_mut().find(|field| field.name == name) {
        field.key = key;
    }
}

fn item(envelope: &mut Envelope, index: usize, encoded: Vec<u8>) {
    if let Some(item) = envelope.items.get_mut(index) {
        *item = encoded;
    }
}

/// The payload with a bit of the module id's last letter flipped: still a well-formed one.
fn flipped(payload: &[u8], module_id: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    let start = payload.windows(module_id.len().max(1)).position(|window| window == module_id);
    if let Some(letter) = start.and_then(|start| payload.get_mut(start + module_id.len() - 1)) {
        *letter ^= 1;
    }
    payload
}

/// `[[[… 0 …]]]`
fn nested(depth: usize) -> Vec<u8> {
    let mut out = vec![Major::Array as u8 | 1; depth];
    out.push(0);
    out
}

/// RFC 9052, 2.
const COSE_SIGN1: u64 = 18;
const COSE_SIGN: u64 = 98;
/// RFC 8949, 3.3: the head of a double.
const FLOAT64: u8 = 0xfb;
/// Places in the array.
const UNPROTECTED: usize = 1;
const PAYLOAD: usize = 2;
const SIGNATURE: usize = 3;
