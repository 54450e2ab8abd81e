//! What people want to see of a certificate.

use super::UnverifiedCertificate;
use crate::der::{Der, tag};
use crate::refusal::CertificateFault;
use crate::time::UnixMillis;

/// The readable part of a certificate, for display only: nothing here is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The subject's common name, or hexadecimal DER of the whole name when it has none.
    pub subject: String,
    /// The issuer's, likewise.
    pub issuer: String,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// First moment of validity.
    pub not_before: UnixMillis,
    /// Last moment of validity.
    pub not_after: UnixMillis,
}

impl CertificateSummary {
    /// Reads a certificate from exactly these bytes of DER.
    ///
    /// # Errors
    /// What makes it unreadable, or not one of AWS's profile for enclaves.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateFault> {
        let certificate = UnverifiedCertificate::parse(der)?;
        Ok(Self {
            subject: common_name(certificate.subject),
            issuer: common_name(certificate.issuer),
            serial: hex::encode(certificate.serial),
            not_before: certificate.validity.not_before,
            not_after: certificate.validity.not_after,
        })
    }
}

fn common_name(name: &[u8]) -> String {
    find_common_name(name).unwrap_or_else(|| hex::encode(name))
}

/// The first `commonName` in a Name: a sequence of sets of pairs (RFC 5280 section 4.1.2.4).
fn find_common_name(name: &[u8]) -> Option<String> {
    let what = "a name";
    let mut sets = Der::new(Der::new(name).read(tag::SEQUENCE, what).ok()?.content);
    while !sets.is_empty() {
        let mut pairs = Der::new(sets.read(tag::SET, what).ok()?.content);
        while !pairs.is_empty() {
            let mut pair = Der::new(pairs.read(tag::SEQUENCE, what).ok()?.content);
            if pair.read(tag::OBJECT_IDENTIFIER, what).ok()?.content == COMMON_NAME {
                let text =
                    pair.read(UTF8_STRING, what).or_else(|_| pair.read(PRINTABLE_STRING, what)).ok()?.content;
                return String::from_utf8(text.to_vec()).ok();
            }
        }
    }
    None
}

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
