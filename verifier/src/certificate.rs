//! X.509 certificates as AWS issues them for enclaves: version 3, P-384, ecdsa-with-SHA384 (RFC 5280).
//!
//! Reading one checks all that can be told from its bytes alone. What depends on the place in the chain, [`crate::chain`]
//! checks.

mod extensions;
mod summary;
mod times;

use crate::der::{Der, tag, whole_bytes};
use crate::refusal::CertificateFault;
use crate::time::UnixMillis;
use extensions::Extensions;
pub(crate) use extensions::{BasicConstraints, Criticality, KeyUsage, Subject};
pub use summary::CertificateSummary;

/// A certificate that was read and not verified.
pub(crate) struct UnverifiedCertificate<'a> {
    /// The bytes that the issuer signed, head included.
    pub(crate) signed: &'a [u8],
    /// The signature in DER (RFC 5480 and RFC 3279 section 2.2.3).
    pub(crate) signature: &'a [u8],
    /// The issuer's name, compared as bytes: stricter than RFC 5280 section 7.1, and AWS copies names exactly.
    pub(crate) issuer: &'a [u8],
    /// The subject's name, as bytes.
    pub(crate) subject: &'a [u8],
    /// The subject's key, an uncompressed point.
    pub(crate) point: &'a [u8; POINT_BYTES],
    pub(crate) serial: &'a [u8],
    pub(crate) validity: Validity,
    /// `None` when the certificate has no such extension.
    pub(crate) basic_constraints: Option<BasicConstraints>,
    /// `None` when the certificate has no such extension.
    pub(crate) key_usage: Option<KeyUsage>,
}

/// The time a certificate is good for, both ends included (RFC 5280 section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
}

impl<'a> UnverifiedCertificate<'a> {
    /// Reads a certificate from exactly these bytes.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CertificateFault> {
        let mut outer = Der::new(bytes);
        let mut certificate = Der::new(outer.read(tag::SEQUENCE, "the certificate")?.content);
        outer.finish("the certificate")?;

        let to_be_signed = certificate.read(tag::SEQUENCE, "tbsCertificate")?;
        let algorithm = certificate.read(tag::SEQUENCE, "signatureAlgorithm")?.encoding;
        let signature = certificate.read(tag::BIT_STRING, "signatureValue")?.content;
        certificate.finish("signatureValue")?;

        let mut fields = Der::new(to_be_signed.content);
        if !fields.skip_exactly(&VERSION_3) {
            return Err(CertificateFault::Version);
        }
        let serial = serial(fields.read(tag::INTEGER, "serialNumber")?.content)?;
        let signed_algorithm = fields.read(tag::SEQUENCE, "signature")?.encoding;
        if signed_algorithm != algorithm {
            return Err(CertificateFault::SignatureAlgorithmsDiffer);
        }
        if algorithm != ECDSA_WITH_SHA384 {
            return Err(CertificateFault::SignatureAlgorithm);
        }
        let issuer = name(&mut fields, "issuer")?;
        let validity = times::validity(fields.read(tag::SEQUENCE, "validity")?.content)?;
        let subject = name(&mut fields, "subject")?;
        let point = public_key(fields.read(tag::SEQUENCE, "subjectPublicKeyInfo")?.encoding)?;
        // issuerUniqueID and subjectUniqueID, which RFC 5280 section 4.1.2.8 forbids, are met here as another tag.
        let mut explicit = Der::new(fields.read(tag::EXTENSIONS, "extensions")?.content);
        fields.finish("extensions")?;
        let extensions = Extensions::parse(explicit.read(tag::SEQUENCE, "extensions")?.content)?;
        explicit.finish("extensions")?;

        let Extensions { basic_constraints, key_usage } = extensions;
        let signature = whole_bytes(signature, "signatureValue")?;
        Ok(Self {
            signed: to_be_signed.encoding,
            signature,
            issuer,
            subject,
            point,
            serial,
            validity,
            basic_constraints,
            key_usage,
        })
    }
}

/// RFC 5280 section 4.1.2.2: positive, at most 20 bytes, to which DER may add a zero.
fn serial(content: &[u8]) -> Result<&[u8], CertificateFault> {
    match content {
        [0, second, ..] if *second >= 0x80 && content.len() <= 21 => Ok(content),
        [1..=0x7f, ..] if content.len() <= 20 => Ok(content),
        _ => Err(CertificateFault::Serial),
    }
}

fn name<'a>(fields: &mut Der<'a>, what: &'static str) -> Result<&'a [u8], CertificateFault> {
    let element = fields.read(tag::SEQUENCE, what)?;
    if element.content.is_empty() { Err(CertificateFault::Name) } else { Ok(element.encoding) }
}

/// The point of a SubjectPublicKeyInfo whose every other byte is fixed: id-ecPublicKey on secp384r1, uncompressed
/// (RFC 5480 section 2). Whether the point is on the curve, the cryptography decides.
fn public_key(info: &[u8]) -> Result<&[u8; POINT_BYTES], CertificateFault> {
    info.strip_prefix(&P384_INFO)
        .and_then(|point| point.first_chunk().filter(|_| point.len() == POINT_BYTES))
        .filter(|point: &&[u8; POINT_BYTES]| point.first() == Some(&UNCOMPRESSED))
        .ok_or(CertificateFault::PublicKeyAlgorithm)
}

/// One byte for the form and two coordinates of 48.
pub(crate) const POINT_BYTES: usize = 97;

const UNCOMPRESSED: u8 = 4;

/// `version [0] EXPLICIT INTEGER 2`
const VERSION_3: [u8; 5] = [0xa0, 3, 2, 1, 2];

/// `SEQUENCE { 1.2.840.10045.4.3.3 }`, without parameters (RFC 5758 section 3.2).
const ECDSA_WITH_SHA384: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];

/// All of a P-384 SubjectPublicKeyInfo before its point: 1.2.840.10045.2.1 with 1.3.132.0.34, and a BIT STRING's head.
const P384_INFO: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
