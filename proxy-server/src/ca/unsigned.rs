use std::cell::RefCell;

use rcgen::{CertificateParams, Error, Issuer, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls::pki_types::CertificateDer;

use super::{CaError, anchor::root_params};

/// A certificate under the root that lacks nothing but the root's signature,
/// which a key elsewhere makes in its own time.
///
/// rcgen wants a signature at once. So the certificate is encoded twice: once to
/// see the bytes to be signed, and once more around the signature. Both come out
/// the same, because serial number and times stand in `params`.
pub(super) struct Unsigned<'a, S, R> {
    params: CertificateParams,
    subject: &'a S,
    root: &'a R,
    tbs: Vec<u8>,
}

impl<'a, S: PublicKeyData, R: PublicKeyData> Unsigned<'a, S, R> {
    /// Over the key `subject`, to be signed by `root`'s.
    pub(super) fn new(params: CertificateParams, subject: &'a S, root: &'a R) -> Result<Self, CaError> {
        let listener = Listener { root, heard: RefCell::default() };
        params.signed_by(subject, &Issuer::new(root_params(), &listener)).map_err(CaError::Crypto)?;
        let tbs = listener.heard.into_inner();
        Ok(Self { params, subject, root, tbs })
    }

    /// TBSCertificate (RFC 5280 section 4.1), DER: what is signed.
    #[cfg(feature = "aws")]
    pub(super) fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The certificate with this signature, which is not checked here.
    pub(super) fn signed(self, signature: Vec<u8>) -> Result<CertificateDer<'static>, CaError> {
        let Self { params, subject, root, tbs } = self;
        let answer = Answer { root, tbs, signature };
        let issuer = Issuer::new(root_params(), answer);
        Ok(params.signed_by(subject, &issuer).map_err(CaError::Crypto)?.der().clone())
    }
}

/// Hears what is to be signed.
struct Listener<'a, R> {
    root: &'a R,
    heard: RefCell<Vec<u8>>,
}

/// Knows one signature, and over what.
struct Answer<'a, R> {
    root: &'a R,
    tbs: Vec<u8>,
    signature: Vec<u8>,
}

impl<R: PublicKeyData> SigningKey for &Listener<'_, R> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.heard.replace(message.to_vec());
        Ok(Vec::new())
    }
}

impl<R: PublicKeyData> SigningKey for Answer<'_, R> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        // Otherwise the signature would be over something else than the certificate.
        if message == self.tbs { Ok(self.signature.clone()) } else { Err(Error::RemoteKeyError) }
    }
}

impl<R: PublicKeyData> PublicKeyData for &Listener<'_, R> {
    fn der_bytes(&self) -> &[u8] {
        self.root.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.root.algorithm()
    }
}

impl<R: PublicKeyData> PublicKeyData for Answer<'_, R> {
    fn der_bytes(&self) -> &[u8] {
        self.root.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.root.algorithm()
    }
}
