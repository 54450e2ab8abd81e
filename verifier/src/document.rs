//! From bytes to a document: COSE_Sign1 around a map of nine fields. Nothing here is verified.

mod payload;

use crate::cbor::Reader;
use crate::pcr::PcrSet;
use crate::refusal::{Item, Refusal, SyntaxRefusal};
use crate::time::UnixMillis;
use payload::Payload;

/// What a document says, before anybody checked that AWS says so too.
///
/// It borrows the bytes it was parsed from and copies only the PCRs. Every rule of syntax holds: the whole input was read,
/// each field is there once, in its type and within its limits (AWS attestation process section 3.2.2; the list is in
/// `docs/decisions/0001`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedDocument<'a> {
    /// The payload's bytes: what the signature is over.
    payload_bytes: &'a [u8],
    signature: &'a [u8],
    payload: Payload<'a>,
}

impl<'a> UnverifiedDocument<'a> {
    /// Reads a document from exactly these bytes.
    ///
    /// # Errors
    /// A refusal of the stage [`Syntax`](crate::Stage::Syntax), for any input that is not a whole document of a Nitro enclave.
    /// A NitroTPM's document is refused by name (`nitrotpm-document`).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(
                SyntaxRefusal::DocumentTooLong { limit: MAX_DOCUMENT_BYTES, actual: bytes.len() }.into()
            );
        }
        let mut reader = Reader::new(bytes);
        // AWS writes no tag; RFC 9052 section 4.2 allows tag 18 for COSE_Sign1. A second one is met as an unexpected tag.
        reader.skip_tag(COSE_SIGN1_TAG, Item::Document)?;
        reader.array_of(Item::Document, 4)?;
        protected_header(&mut reader)?;
        match reader.definite_map(Item::UnprotectedHeader)? {
            0 => {}
            entries => return Err(SyntaxRefusal::UnprotectedHeader { entries }.into()),
        }
        let payload_bytes = reader.bytes(Item::Payload, 1..=MAX_PAYLOAD_BYTES)?;
        let signature = reader.bytes(Item::Signature, SIGNATURE_BYTES..=SIGNATURE_BYTES)?;
        reader.finish(Item::Document)?;
        Ok(Self { payload_bytes, signature, payload: Payload::parse(payload_bytes)? })
    }

    /// The enclave's id, such as `i-1234567890abcdef0-enc9876543210abcde`; never empty.
    pub fn module_id(&self) -> &'a str {
        self.payload.module_id
    }

    /// When the document was made, by the hypervisor's clock.
    pub fn timestamp(&self) -> UnixMillis {
        self.payload.timestamp
    }

    /// The PCRs: at least 0, 1 and 2.
    pub fn pcrs(&self) -> &PcrSet {
        &self.payload.pcrs
    }

    /// The key the enclave asked to have in its document; `None` when null or absent, and possibly empty.
    pub fn public_key(&self) -> Option<&'a [u8]> {
        self.payload.public_key
    }

    /// The data the enclave asked to have in its document; `None` when null or absent, and possibly empty.
    pub fn user_data(&self) -> Option<&'a [u8]> {
        self.payload.user_data
    }

    /// The challenge the enclave answered; `None` when null or absent, and possibly empty.
    pub fn nonce(&self) -> Option<&'a [u8]> {
        self.payload.nonce
    }

    /// The signer's certificate in DER, 1 to 1024 bytes.
    pub fn certificate(&self) -> &'a [u8] {
        self.payload.certificate
    }

    /// The issuing certificates in DER, root first: 1 to 10 of 1 to 1024 bytes each.
    pub fn cabundle(&self) -> &[&'a [u8]] {
        self.payload.cabundle.as_slice()
    }

    /// What the signature is over, besides the fixed words of RFC 9052.
    pub(crate) fn payload_bytes(&self) -> &'a [u8] {
        self.payload_bytes
    }

    /// `r` and `s` in 48 bytes each.
    pub(crate) fn signature(&self) -> &'a [u8] {
        self.signature
    }
}

/// "Protected exactly `{1: -35}`": with one spelling for each head, that map has one encoding, and bytes can be compared.
fn protected_header(reader: &mut Reader<'_>) -> Result<(), SyntaxRefusal> {
    let actual = reader.bytes(Item::ProtectedHeader, 0..=MAX_PAYLOAD_BYTES)?;
    if actual == PROTECTED_HEADER {
        Ok(())
    } else {
        Err(SyntaxRefusal::ProtectedHeader { actual: actual.to_vec() })
    }
}

/// More than a payload of full length and all that stands around it (16,494 bytes).
pub const MAX_DOCUMENT_BYTES: usize = 32 * 1024;

/// AWS attestation process section 3.2.2: "payload … 1 to 2^14 bytes".
const MAX_PAYLOAD_BYTES: usize = 16_384;

/// P-384: two numbers of 48 bytes (RFC 9053 section 2.1).
const SIGNATURE_BYTES: usize = 96;

/// RFC 9052 section 2, table 1.
const COSE_SIGN1_TAG: u64 = 18;

/// `{1: -35}`: the algorithm is ES384 (RFC 9053 section 2.1).
pub(crate) const PROTECTED_HEADER: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];
