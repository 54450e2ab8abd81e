//! The extensions of a certificate: two that decide, and those that may be passed over (RFC 5280 section 4.2).

use crate::der::{Der, tag};
use crate::refusal::CertificateFault;

/// What the extensions say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) basic_constraints: Option<BasicConstraints>,
    pub(super) key_usage: Option<KeyUsage>,
}

/// RFC 5280 section 4.2.1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) subject: Subject,
    pub(crate) criticality: Criticality,
}

/// Who the certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `cA FALSE`
    EndEntity,
    /// `cA TRUE`, with how many issuers may stand below it, when it says.
    Issuer { path_length: Option<u64> },
}

/// Whether a reader that does not know the extension must refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Criticality {
    Critical,
    NotCritical,
}

/// RFC 5280 section 4.2.1.3: the first byte of the bits; decipherOnly, the ninth, permits nothing asked for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyUsage(u8);

impl KeyUsage {
    pub(crate) const fn digital_signature(self) -> bool {
        self.0 & 0x80 != 0
    }

    pub(crate) const fn key_cert_sign(self) -> bool {
        self.0 & 0x04 != 0
    }
}

impl Extensions {
    /// Reads the content of the `Extensions` sequence, which has at least one entry.
    pub(super) fn parse(content: &[u8]) -> Result<Self, CertificateFault> {
        let mut list = Der::new(content);
        if list.is_empty() {
            return Err(CertificateFault::Extensions { what: "an empty list" });
        }
        let mut extensions = Self::default();
        let mut seen: [&[u8]; MAX_EXTENSIONS] = [&[]; MAX_EXTENSIONS];
        let mut count = 0;
        while !list.is_empty() {
            let (id, criticality, value) = extension(list.read(tag::SEQUENCE, "an extension")?.content)?;
            if seen.iter().take(count).any(|&earlier| earlier == id) {
                return Err(CertificateFault::Extensions { what: "one of them twice" });
            }
            *seen.get_mut(count).ok_or(CertificateFault::Extensions { what: "more than 16 of them" })? = id;
            count += 1;
            match (id, criticality) {
                (BASIC_CONSTRAINTS, _) => {
                    extensions.basic_constraints = Some(basic_constraints(value, criticality)?)
                }
                (KEY_USAGE, _) => extensions.key_usage = Some(key_usage(value)?),
                (EXTENDED_KEY_USAGE, _) => return Err(CertificateFault::ExtendedKeyUsage),
                (_, Criticality::Critical) => return Err(CertificateFault::UnknownCriticalExtension),
                // Key identifiers help to build a path, and this path is given. CRL points: the attestation process says
                // "CRL must be disabled"; a certificate here lives for hours or days.
                (_, Criticality::NotCritical) => {}
            }
        }
        Ok(extensions)
    }
}

/// `SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue }`; DER never writes a default, so the only boolean is TRUE.
fn extension(content: &[u8]) -> Result<(&[u8], Criticality, &[u8]), CertificateFault> {
    let mut fields = Der::new(content);
    let id = fields.read(tag::OBJECT_IDENTIFIER, "extnID")?.content;
    let criticality = if fields.peek(tag::BOOLEAN) {
        true_boolean(&mut fields, "critical")?;
        Criticality::Critical
    } else {
        Criticality::NotCritical
    };
    let value = fields.read(tag::OCTET_STRING, "extnValue")?.content;
    fields.finish("extnValue")?;
    Ok((id, criticality, value))
}

fn basic_constraints(value: &[u8], criticality: Criticality) -> Result<BasicConstraints, CertificateFault> {
    let mut outer = Der::new(value);
    let mut fields = Der::new(outer.read(tag::SEQUENCE, "basicConstraints")?.content);
    outer.finish("basicConstraints")?;
    let subject = if fields.is_empty() {
        Subject::EndEntity
    } else {
        true_boolean(&mut fields, "cA")?;
        let path_length = if fields.is_empty() { None } else { Some(path_length(&mut fields)?) };
        Subject::Issuer { path_length }
    };
    fields.finish("basicConstraints")?;
    Ok(BasicConstraints { subject, criticality })
}

/// A small unsigned INTEGER: genuine ones are 0, 1 and 2, and more than 127 would not fit into one byte.
fn path_length(fields: &mut Der<'_>) -> Result<u64, CertificateFault> {
    match fields.read(tag::INTEGER, "pathLenConstraint")?.content {
        &[small @ 0..=0x7f] => Ok(u64::from(small)),
        _ => Err(CertificateFault::NotDer { what: "pathLenConstraint" }),
    }
}

fn true_boolean(fields: &mut Der<'_>, what: &'static str) -> Result<(), CertificateFault> {
    match fields.read(tag::BOOLEAN, what)?.content {
        [0xff] => Ok(()),
        _ => Err(CertificateFault::NotDer { what }),
    }
}

/// A BIT STRING of named bits: no trailing zero bits (X.690 section 11.2.2), and "at least one of the bits MUST be set".
fn key_usage(value: &[u8]) -> Result<KeyUsage, CertificateFault> {
    let fault = CertificateFault::NotDer { what: "keyUsage" };
    let mut outer = Der::new(value);
    let content = outer.read(tag::BIT_STRING, "keyUsage")?.content;
    outer.finish("keyUsage")?;
    let (&unused, bits) = content.split_first().ok_or(fault)?;
    match *bits {
        [first] if first != 0 && first.trailing_zeros() == u32::from(unused) => Ok(KeyUsage(first)),
        [first, 0x80] if unused == 7 => Ok(KeyUsage(first)),
        _ => Err(fault),
    }
}

/// Genuine certificates have 2 to 5.
const MAX_EXTENSIONS: usize = 16;

/// 2.5.29.19
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// 2.5.29.15
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// 2.5.29.37
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
