use crate::Failure;
use aws_nitro_enclaves_image_format::utils::SignKeyData;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509NameBuilder};
use std::fs;
use std::path::Path;

/// A fresh key with a self-signed certificate.
pub struct Signer {
    key: PKey<Private>,
    /// The certificate file as it goes into the image.
    pub certificate_file: Vec<u8>,
}

impl Signer {
    /// Makes a P-384 key, and a certificate over it for this name.
    pub fn new(name: &str) -> Result<Self, Failure> {
        let key = PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::SECP384R1)?)?)?;
        let mut subject = X509NameBuilder::new()?;
        subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
        let subject = subject.build();
        let mut certificate = X509::builder()?;
        certificate.set_version(2)?;
        certificate.set_serial_number(&*BigNum::from_u32(1)?.to_asn1_integer()?)?;
        certificate.set_subject_name(&subject)?;
        certificate.set_issuer_name(&subject)?;
        certificate.set_not_before(&*Asn1Time::days_from_now(0)?)?;
        certificate.set_not_after(&*Asn1Time::days_from_now(3650)?)?;
        certificate.set_pubkey(&key)?;
        certificate.sign(&key, MessageDigest::sha384())?;
        Ok(Self { key, certificate_file: certificate.build().to_pem()? })
    }

    pub(crate) fn key_data(&self, scratch: &Path) -> Result<SignKeyData, Failure> {
        let (key, certificate) = (scratch.join("key.pem"), scratch.join("certificate.pem"));
        fs::write(&key, self.key.private_key_to_pem_pkcs8()?)?;
        fs::write(&certificate, &self.certificate_file)?;
        Ok(SignKeyData::new(key.to_str().ok_or("a path that is not UTF-8")?, &certificate)?)
    }
}
