//! From claims to a signed document, in the shape AWS has signed since August 2025.
//!
//! The steps are apart, so that a fault can break exactly one of them.

use std::collections::BTreeMap;

use crate::cbor::{self, Major};

/// What the document says. All nine are always present; an unused optional is null.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) module_id: String,
    pub(crate) digest: &'static str,
    pub(crate) timestamp_ms: u64,
    pub(crate) pcrs: BTreeMap<u8, Vec<u8>>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) cabundle: Vec<Vec<u8>>,
    pub(crate) public_key: Option<Vec<u8>>,
    pub(crate) user_data: Option<Vec<u8>>,
    pub(crate) nonce: Option<Vec<u8>>,
}

/// One entry of the payload map, both halves encoded.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// What the leaf's key signs.
#[derive(Clone, Debug)]
pub(crate) struct ToBeSigned {
    /// The protected header, without the byte string around it.
    pub(crate) protected: Vec<u8>,
    /// The payload, without the byte string around it.
    pub(crate) payload: Vec<u8>,
}

/// The document: encoded items, so that a fault can replace any of them by something else.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// Tags before the array; none in AWS's documents.
    pub(crate) before: Vec<u8>,
    /// Protected header, unprotected header, payload, signature.
    pub(crate) items: Vec<Vec<u8>>,
    /// Bytes after the array.
    pub(crate) after: Vec<u8>,
}

impl Claims {
    /// In AWS's order.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let cabundle: Vec<Vec<u8>> =
            self.cabundle.iter().map(|certificate| cbor::bytes(certificate)).collect();
        vec![
            Field::new("module_id", cbor::text(&self.module_id)),
            Field::new("digest", cbor::text(self.digest)),
            Field::new("timestamp", cbor::unsigned(self.timestamp_ms)),
            Field::new("pcrs", self.encoded_pcrs(&[])),
            Field::new("certificate", cbor::bytes(&self.certificate)),
            Field::new("cabundle", cbor::array(&cabundle)),
            Field::new("public_key", optional(self.public_key.as_deref())),
            Field::new("user_data", optional(self.user_data.as_deref())),
            Field::new("nonce", optional(self.nonce.as_deref())),
        ]
    }

    /// The PCRs, and entries that no map of ours can hold.
    pub(crate) fn encoded_pcrs(&self, extra: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut out = cbor::head(Major::Map, (self.pcrs.len() + extra.len()) as u64);
        for (index, value) in &self.pcrs {
            out.extend(cbor::unsigned((*index).into()));
            out.extend(cbor::bytes(value));
        }
        out.extend(extra.iter().flat_map(|(index, value)| [index.as_slice(), value.as_slice()].concat()));
        out
    }
}

impl Field {
    pub(crate) fn new(name: &'static str, value: Vec<u8>) -> Self {
        Self { name, key: cbor::text(name), value }
    }
}

impl ToBeSigned {
    /// The payload map is indefinite, unlike everything in it.
    pub(crate) fn new(fields: &[Field]) -> Self {
        let mut payload = vec![Major::Map as u8 | cbor::INDEFINITE];
        for Field { name: _, key, value } in fields {
            payload.extend_from_slice(key);
            payload.extend_from_slice(value);
        }
        payload.push(cbor::BREAK);
        Self { protected: PROTECTED.to_vec(), payload }
    }

    /// RFC 9052, 4.4: `Sig_structure = [context: "Signature1", body_protected, external_aad, payload]`.
    pub(crate) fn signature_structure(&self) -> Vec<u8> {
        cbor::array(&[
            cbor::text("Signature1"),
            cbor::bytes(&self.protected),
            cbor::bytes(&[]),
            cbor::bytes(&self.payload),
        ])
    }
}

impl Envelope {
    pub(crate) fn new(signed: &ToBeSigned, signature: &[u8]) -> Self {
        let unprotected = cbor::head(Major::Map, 0);
        let items = vec![
            cbor::bytes(&signed.protected),
            unprotected,
            cbor::bytes(&signed.payload),
            cbor::bytes(signature),
        ];
        Self { before: Vec::new(), items, after: Vec::new() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.before.clone(), cbor::array(&self.items), self.after.clone()].concat()
    }
}

fn optional(value: Option<&[u8]>) -> Vec<u8> {
    value.map_or_else(|| vec![cbor::NULL], cbor::bytes)
}

/// RFC 9053, 2.1: `{1: -35}`, ES384.
const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];
