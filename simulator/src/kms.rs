//! What KMS puts into `CiphertextForRecipient`: CMS EnvelopedData in BER, as the real one writes it.
//!
//! Indefinite lengths outside, one recipient by its key identifier, content in chunks of 1,000 bytes.

use aws_lc_rs::{
    cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    digest, rand,
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey},
};

use crate::{
    SimulatorError,
    der::{octet_string, oid, sequence, set, value},
};

/// Encrypts to the RSA key of a document's `public_key` (SubjectPublicKeyInfo, DER).
///
/// # Errors
/// [`SimulatorError::Crypto`] when that is no RSA key.
pub fn seal_for_recipient(spki: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SimulatorError> {
    let failed = |operation| move |_| SimulatorError::Crypto { operation };
    let mut content_key = [0; 32];
    rand::fill(&mut content_key).map_err(failed("random content key"))?;
    let public = PublicEncryptingKey::from_der(spki)
        .map_err(|_| SimulatorError::Crypto { operation: "reading the recipient's RSA key" })?;
    let public = OaepPublicEncryptingKey::new(public).map_err(failed("RSA-OAEP"))?;
    let mut room = vec![0; public.ciphertext_size()];
    let encrypted_key =
        public.encrypt(&OAEP_SHA256_MGF1SHA256, &content_key, &mut room, None).map_err(failed("RSA-OAEP"))?;
    let sealing = UnboundCipherKey::new(&AES_256, &content_key).map_err(failed("AES-256"))?;
    let mut content = plaintext.to_vec();
    let context = PaddedBlockEncryptingKey::cbc_pkcs7(sealing)
        .and_then(|key| key.encrypt(&mut content))
        .map_err(failed("AES-256-CBC"))?;
    let DecryptionContext::Iv128(iv) = context else {
        return Err(SimulatorError::Crypto { operation: "AES-256-CBC" });
    };
    let recipient = sequence(&[
        &value(0x02, &[2]),
        &value(0x80, digest::digest(&digest::SHA256, spki).as_ref()),
        &oaep_sha256(),
        &octet_string(encrypted_key),
    ]);
    let chunks: Vec<u8> = content.chunks(CHUNK).flat_map(octet_string).collect();
    let cipher = sequence(&[&oid(AES_256_CBC), &octet_string(iv.as_ref())]);
    let info = indefinite(0x30, &[&oid(DATA), &cipher, &indefinite(0xa0, &[&chunks])]);
    let data = indefinite(0x30, &[&value(0x02, &[2]), &set(&recipient), &info]);
    Ok(indefinite(0x30, &[&oid(ENVELOPED_DATA), &indefinite(0xa0, &[&data])]))
}

fn oaep_sha256() -> Vec<u8> {
    let sha256 = sequence(&[&oid(SHA256), &value(0x05, &[])]);
    let mgf1 = sequence(&[&oid(MGF1), &sha256]);
    sequence(&[&oid(RSAES_OAEP), &sequence(&[&value(0xa0, &sha256), &value(0xa1, &mgf1)])])
}

fn indefinite(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[tag, 0x80], parts.concat().as_slice(), &[0, 0]].concat()
}

const CHUNK: usize = 1000;

/// 1.2.840.113549.1.7.3 (RFC 5652 section 6.1)
const ENVELOPED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
/// 1.2.840.113549.1.7.1 (RFC 5652 section 4)
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
/// 1.2.840.113549.1.1.7 (RFC 8017 appendix A.2.1)
const RSAES_OAEP: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07";
/// 1.2.840.113549.1.1.8 (RFC 8017 appendix B.2.1)
const MGF1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
/// 2.16.840.1.101.3.4.2.1 (RFC 8017 appendix B.1)
const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
/// 2.16.840.1.101.3.4.1.42 (RFC 3565 section 4.1)
const AES_256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
