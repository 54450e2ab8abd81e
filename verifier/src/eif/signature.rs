//! The signature section: who signed an image.

use super::error::SignatureFault;
use crate::cbor::Reader;
use crate::der::{Der, tag};
use crate::refusal::{Item, SyntaxRefusal};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::ops::RangeInclusive;

/// The certificate of the first signature, in DER.
///
/// > The CBOR data contains an array of two-tuples, each containing a serialized signing certificate and a serialized
/// > … COSE Sign1 object … only the first of these objects is currently verified against PCR0.
///
/// nitro-cli writes the certificate as the PEM file it was given, as an array of numbers. Whatever stands in that file
/// around the first certificate counts for nothing: only its DER is measured.
pub(super) fn signing_certificate(section: &[u8]) -> Result<Vec<u8>, SignatureFault> {
    let mut reader = Reader::new(section);
    let mut signatures = reader.array(Item::ImageSignature, SIGNATURES)?;
    let mut first = None;
    while reader.next_entry(Item::ImageSignature, &mut signatures)? {
        let pem = certificate_file(&mut reader)?;
        first.get_or_insert(pem);
    }
    reader.finish(Item::ImageSignature)?;
    // The bounds of the array say that there is one.
    certificate(&first.unwrap_or_default())
}

/// One signature: a map of `signing_certificate` and `signature`.
fn certificate_file(reader: &mut Reader<'_>) -> Result<Vec<u8>, SignatureFault> {
    let (mut certificate, mut signature) = (None, None);
    let mut entries = reader.map(Item::ImageSignature, KEYS)?;
    while reader.next_entry(Item::ImageSignature, &mut entries)? {
        let key = reader.text(Item::ImageSignatureKey, 0..=LONGEST_KEY)?;
        let place = match key {
            CERTIFICATE => &mut certificate,
            SIGNATURE => &mut signature,
            _ => return Err(SignatureFault::UnknownKey { key: key.to_owned() }),
        };
        if place.replace(bytes(reader)?).is_some() {
            return Err(SignatureFault::DuplicateKey { key: key.to_owned() });
        }
    }
    // Two keys, both known and not the same: so both are there.
    Ok(certificate.unwrap_or_default())
}

/// Bytes as serde writes a `Vec<u8>`: an array of numbers below 256.
fn bytes(reader: &mut Reader<'_>) -> Result<Vec<u8>, SignatureFault> {
    let mut bytes = Vec::new();
    let mut entries = reader.array(Item::ImageSignatureValue, BYTES)?;
    while reader.next_entry(Item::ImageSignatureValue, &mut entries)? {
        let number = reader.unsigned(Item::ImageSignatureValue)?;
        bytes.push(u8::try_from(number).map_err(|_| SignatureFault::NotAByte { actual: number })?);
    }
    Ok(bytes)
}

/// The first certificate of a PEM file (RFC 7468). Its DER is one sequence; what it says, AWS judges.
fn certificate(pem: &[u8]) -> Result<Vec<u8>, SignatureFault> {
    let der = CertificateDer::from_pem_slice(pem).map_err(|_| SignatureFault::NotPem)?;
    let mut outer = Der::new(&der);
    outer.read(tag::SEQUENCE, "the signing certificate").map_err(SignatureFault::NotDer)?;
    outer.finish("the signing certificate").map_err(SignatureFault::NotDer)?;
    Ok(der.to_vec())
}

impl From<SyntaxRefusal> for SignatureFault {
    fn from(refusal: SyntaxRefusal) -> Self {
        Self::NotCbor(Box::new(refusal.into()))
    }
}

/// > The section data has a maximum size of 32768 bytes (`SIGNATURE_MAX_SIZE`).
pub(super) const MAX_SIGNATURE_BYTES: u64 = 32_768;

/// A limit of ours: as many as there are PCRs that could be signed.
const SIGNATURES: RangeInclusive<usize> = 1..=32;
const KEYS: RangeInclusive<usize> = 2..=2;
/// One byte of CBOR at least for each.
const BYTES: RangeInclusive<usize> = 1..=MAX_SIGNATURE_BYTES as usize;
const CERTIFICATE: &str = "signing_certificate";
const SIGNATURE: &str = "signature";
/// Longer than both; an unknown key up to here is named.
const LONGEST_KEY: usize = 64;
