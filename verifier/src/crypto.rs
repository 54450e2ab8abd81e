//! The only signatures there are: ECDSA on P-384 with SHA-384, through aws-lc.
//!
//! Both halves of the curve's order are accepted for `s`: about half of AWS's signatures have the high one.

use crate::certificate::POINT_BYTES;
use crate::document::PROTECTED_HEADER;
use aws_lc_rs::digest::{Context, SHA384};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many ECDSA verifications were made: what a document costs.
#[derive(Debug, Default)]
pub(crate) struct SignatureCount(AtomicU64);

impl SignatureCount {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The key of a certificate authority, for signatures in DER.
pub(crate) struct IssuerKey(ParsedPublicKey);

impl IssuerKey {
    /// `None` when the point is not on the curve.
    pub(crate) fn new(point: &[u8; POINT_BYTES]) -> Option<Self> {
        ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point).ok().map(Self)
    }

    pub(crate) fn verify(&self, signed: &[u8], signature: &[u8], count: &SignatureCount) -> bool {
        count.add_one();
        self.0.verify_sig(signed, signature).is_ok()
    }

    /// The point this key was made of.
    pub(crate) fn point(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuerKey")
    }
}

/// Verifies a COSE_Sign1 signature of 96 bytes over this payload.
pub(crate) fn verify_document(
    point: &[u8; POINT_BYTES],
    payload: &[u8],
    signature: &[u8],
    count: &SignatureCount,
) -> bool {
    let Ok(key) = ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point) else { return false };
    let mut context = Context::new(&SHA384);
    sig_structure_head(payload.len(), |bytes| context.update(bytes));
    context.update(payload);
    count.add_one();
    key.verify_digest_sig(&context.finish(), signature).is_ok()
}

/// RFC 9052 section 4.4: `["Signature1", protected, external_aad = h'', payload]`, all but the payload's own bytes.
fn sig_structure_head(payload_length: usize, mut put: impl FnMut(&[u8])) {
    put(&[0x84, 0x6a]);
    put(b"Signature1");
    put(&[0x44]);
    put(&PROTECTED_HEADER);
    put(&[0x40]);
    // The payload has at most 16,384 bytes, so that its length fits into two. RFC 9052 section 9: shortest form.
    match payload_length {
        0..=23 => put(&[0x40 | payload_length as u8]),
        24..=0xff => put(&[0x58, payload_length as u8]),
        _ => put(&[&[0x59][..], &(payload_length as u16).to_be_bytes()].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_structure_is_that_of_rfc_9052() {
        for length in [1, 23, 24, 255, 256, 4_096, 16_384] {
            let mut ours = Vec::new();
            sig_structure_head(length, |bytes| ours.extend_from_slice(bytes));
            ours.extend(vec![7; length]);
            let mut encoder = minicbor::Encoder::new(Vec::new());
            encoder.array(4).unwrap().str("Signature1").unwrap();
            encoder
                .bytes(&[0xa1, 0x01, 0x38, 0x22])
                .unwrap()
                .bytes(&[])
                .unwrap()
                .bytes(&vec![7; length])
                .unwrap();
            assert_eq!(ours, encoder.into_writer(), "{length}");
        }
    }
}
