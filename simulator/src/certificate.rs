//! Certificates of the profile that AWS's Nitro root issues (RFC 5280, P-384, SHA-384).

use aws_lc_rs::rand;

use crate::SimulatorError;
use crate::der;
use crate::key::Key;

/// Everything the issuer signs but the signature. Faults alter it before it is signed.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) hash: Hash,
    /// DER of the issuer's name.
    pub(crate) issuer: Vec<u8>,
    /// DER of the subject's name.
    pub(crate) subject: Vec<u8>,
    pub(crate) validity: Validity,
    /// DER of the SubjectPublicKeyInfo.
    pub(crate) public_key: Vec<u8>,
    pub(crate) extensions: Vec<Extension>,
}

/// The hash of the issuer's signature.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hash {
    Sha384,
    Sha256,
}

/// Both ends included, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

/// One extension (RFC 5280, 4.2).
#[derive(Clone, Debug)]
pub(crate) struct Extension {
    /// Content of the OBJECT IDENTIFIER.
    pub(crate) oid: &'static [u8],
    pub(crate) criticality: Criticality,
    /// DER of the extension's own value.
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Criticality {
    Critical,
    NotCritical,
}

impl Template {
    /// The certificate as DER.
    pub(crate) fn sign(&self, issuer: &Key) -> Result<Vec<u8>, SimulatorError> {
        let algorithm = der::sequence(&[&der::oid(match self.hash {
            Hash::Sha384 => OID_ECDSA_SHA384,
            Hash::Sha256 => OID_ECDSA_SHA256,
        })]);
        let extensions: Vec<u8> = self.extensions.iter().flat_map(Extension::encode).collect();
        let to_be_signed = der::sequence(&[
            &der::context(0, &der::integer(&[2])), // version 3
            &der::integer(&serial_number()?),
            &algorithm,
            &self.issuer,
            &der::sequence(&[&der::time(self.validity.not_before)?, &der::time(self.validity.not_after)?]),
            &self.subject,
            &self.public_key,
            &der::context(3, &der::sequence(&[&extensions])),
        ]);
        let signature = match self.hash {
            Hash::Sha384 => issuer.sign(&to_be_signed)?,
            Hash::Sha256 => issuer.sign_sha256(&to_be_signed)?,
        };
        Ok(der::sequence(&[&to_be_signed, &algorithm, &der::bit_string(0, &signature)]))
    }

    /// Replaces the extension of the same kind; the certificate must have one.
    pub(crate) fn replace(&mut self, extension: Extension) {
        if let Some(found) = self.extensions.iter_mut().find(|found| found.oid == extension.oid) {
            *found = extension;
        }
    }

    pub(crate) fn remove(&mut self, oid: &[u8]) {
        self.extensions.retain(|extension| extension.oid != oid);
    }
}

impl Extension {
    pub(crate) fn new(oid: &'static [u8], criticality: Criticality, value: Vec<u8>) -> Self {
        Self { oid, criticality, value }
    }

    /// RFC 5280, 4.2.1.9, of a CA.
    pub(crate) fn authority(path_length: Option<u8>) -> Self {
        let length = path_length.map(|length| der::integer(&[length])).unwrap_or_default();
        Self::new(OID_BASIC_CONSTRAINTS, Criticality::Critical, der::sequence(&[&der::TRUE, &length]))
    }

    /// RFC 5280, 4.2.1.9, of an end entity: `cA` has the value FALSE by default, so the sequence is empty.
    pub(crate) fn end_entity() -> Self {
        Self::new(OID_BASIC_CONSTRAINTS, Criticality::Critical, der::sequence(&[]))
    }

    /// RFC 5280, 4.2.1.3.
    pub(crate) fn key_usage(criticality: Criticality, usage: KeyUsage) -> Self {
        Self::new(OID_KEY_USAGE, criticality, der::bit_string(usage.0.trailing_zeros() as u8, &[usage.0]))
    }

    /// RFC 5280, 4.2.1.2.
    pub(crate) fn subject_key_identifier(identifier: &[u8]) -> Self {
        Self::new(OID_SUBJECT_KEY_ID, Criticality::NotCritical, der::octet_string(identifier))
    }

    /// RFC 5280, 4.2.1.1, by key identifier.
    pub(crate) fn authority_key_identifier(identifier: &[u8]) -> Self {
        let value = der::sequence(&[&der::context_primitive(0, identifier)]);
        Self::new(OID_AUTHORITY_KEY_ID, Criticality::NotCritical, value)
    }

    /// RFC 5280, 4.2.1.13, one URL.
    pub(crate) fn crl_distribution_point(url: &str) -> Self {
        let full_name = der::context(0, &der::context_primitive(6, url.as_bytes()));
        let point = der::sequence(&[&der::context(0, &full_name)]);
        Self::new(OID_CRL_POINTS, Criticality::NotCritical, der::sequence(&[&point]))
    }

    fn encode(&self) -> Vec<u8> {
        let critical: &[u8] = match self.criticality {
            Criticality::Critical => &der::TRUE,
            Criticality::NotCritical => &[],
        };
        der::sequence(&[&der::oid(self.oid), critical, &der::octet_string(&self.value)])
    }
}

/// The bits of RFC 5280, 4.2.1.3, as the first octet of the BIT STRING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyUsage(u8);

impl KeyUsage {
    /// digitalSignature, keyCertSign, cRLSign: the root, the regional and the zonal CA.
    pub(crate) const AUTHORITY: Self = Self(0b1000_0110);
    /// keyCertSign: the instance CA.
    pub(crate) const CERT_SIGN: Self = Self(0b0000_0100);
    /// digitalSignature, nonRepudiation: the leaf.
    pub(crate) const SIGNATURE: Self = Self(0b1100_0000);
    /// cRLSign.
    pub(crate) const CRL_SIGN: Self = Self(0b0000_0010);
    /// nonRepudiation.
    pub(crate) const NON_REPUDIATION: Self = Self(0b0100_0000);
}

/// The attributes of a name (RFC 4519) that AWS's chain uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    CommonName = 3,
    Country = 6,
    Locality = 7,
    State = 8,
    Organization = 10,
    Unit = 11,
}

/// DER of a name with one attribute in each part, in the order given.
pub(crate) fn name(parts: &[(Attribute, &str)]) -> Vec<u8> {
    let encoded: Vec<u8> =
        parts.iter().flat_map(|(attribute, text)| relative_name(*attribute, text)).collect();
    der::sequence(&[&encoded])
}

fn relative_name(attribute: Attribute, text: &str) -> Vec<u8> {
    let value = match attribute {
        Attribute::Country => der::printable(text),
        _ => der::utf8(text),
    };
    der::set(&der::sequence(&[&der::oid(&[0x55, 0x04, attribute as u8]), &value]))
}

/// RFC 5280, 4.1.2.2: positive, at most 20 octets. Random, so that no two certificates share one.
fn serial_number() -> Result<[u8; 16], SimulatorError> {
    let mut serial = [0; 16];
    rand::fill(&mut serial).map_err(|_| SimulatorError::Crypto { operation: "draw a serial number" })?;
    Ok(serial)
}

/// 1.2.840.10045.4.3.3
const OID_ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// 1.2.840.10045.4.3.2
const OID_ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// 2.5.29.14
const OID_SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
/// 2.5.29.15
const OID_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// 2.5.29.19
pub(crate) const OID_BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// 2.5.29.31
const OID_CRL_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
/// 2.5.29.35
const OID_AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes AWS's own certificates carry (regional CA, instance CA, leaf of 2026-08).
    #[test]
    fn extensions_are_those_of_aws() {
        assert_eq!(hex::encode(Extension::authority(Some(2)).value), "30060101ff020102");
        assert_eq!(hex::encode(Extension::authority(None).value), "30030101ff");
        assert_eq!(hex::encode(Extension::end_entity().value), "3000");
        let usage = |usage| hex::encode(Extension::key_usage(Criticality::Critical, usage).value);
        assert_eq!(usage(KeyUsage::AUTHORITY), "03020186");
        assert_eq!(usage(KeyUsage::CERT_SIGN), "03020204");
        assert_eq!(usage(KeyUsage::SIGNATURE), "030206c0");
    }

    #[test]
    fn a_name_is_that_of_aws() {
        let parts = [
            (Attribute::Country, "US"),
            (Attribute::Organization, "Amazon"),
            (Attribute::Unit, "AWS"),
            (Attribute::CommonName, "aws.nitro-enclaves"),
        ];
        assert_eq!(
            hex::encode(name(&parts)),
            "3049310b3009060355040613025553310f300d060355040a0c06416d617a6f6e310c300a060355040b0c03415753\
             311b301906035504030c126177732e6e6974726f2d656e636c61766573"
        );
    }
}
