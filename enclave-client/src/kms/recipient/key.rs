use std::{fmt, time::Duration};

use aws_lc_rs::{
    digest,
    encoding::{AsDer, PublicKeyX509Der},
    error::Unspecified,
    rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// An RSA key to which KMS encrypts its answers.
///
/// The private half exists only inside AWS-LC's own allocation, which AWS-LC wipes when it frees it;
/// it is never encoded and never shown.
pub struct RecipientKey {
    private: OaepPrivateDecryptingKey,
    spki: Vec<u8>,
    identifier: [u8; 32],
    made: Instant,
}

impl RecipientKey {
    /// Makes a key of 2048 bits: what AWS documents for `Recipient`. Takes a tenth of a second, so not
    /// for an async task.
    ///
    /// # Errors
    /// [`RecipientKeyError`] when AWS-LC makes or encodes none.
    pub fn generate() -> Result<Self, RecipientKeyError> {
        Self::new(PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| RecipientKeyError)?)
    }

    fn new(private: PrivateDecryptingKey) -> Result<Self, RecipientKeyError> {
        let public: PublicKeyX509Der<'_> = private.public_key().as_der().map_err(|_| RecipientKeyError)?;
        let spki = public.as_ref().to_vec();
        let mut identifier = [0; 32];
        identifier.copy_from_slice(digest::digest(&digest::SHA256, &spki).as_ref());
        let private = OaepPrivateDecryptingKey::new(private).map_err(|_| RecipientKeyError)?;
        Ok(Self { private, spki, identifier, made: Instant::now() })
    }

    /// A key that somebody else made, for envelopes that were published with their key.
    #[cfg(test)]
    pub(crate) fn from_pem(pem: &[u8]) -> Self {
        use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
        Self::new(PrivateDecryptingKey::from_pkcs8(der.secret_pkcs8_der()).unwrap()).unwrap()
    }

    /// SubjectPublicKeyInfo, DER: the document's `public_key`.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SPKI: how KMS names the recipient in an envelope.
    pub fn identifier(&self) -> &[u8; 32] {
        &self.identifier
    }

    /// Since when it exists.
    pub(super) fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// Bytes of the modulus: 256.
    pub fn modulus_len(&self) -> usize {
        self.private.key_size_bytes()
    }

    /// Decrypts a content key; leaves `content_key` as it is when that fails, or gives another length.
    pub(in crate::kms) fn unwrap(
        &self,
        encrypted: &[u8],
        content_key: &mut [u8; 32],
    ) -> Result<(), Unspecified> {
        let mut room = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let plain = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut room, None)?;
        *content_key = (&*plain).try_into().map_err(|_| Unspecified)?;
        Ok(())
    }
}

/// Names the public key only.
impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecipientKey").field(&hex::encode(self.identifier)).finish()
    }
}

/// AWS-LC made no RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientKeyError;

impl fmt::Display for RecipientKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AWS-LC made no RSA key")
    }
}

impl std::error::Error for RecipientKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_the_public_key_only() {
        let key = RecipientKey::generate().unwrap();
        assert_eq!(key.modulus_len(), 256);
        let identifier = hex::encode(digest::digest(&digest::SHA256, key.spki()));
        assert_eq!(format!("{key:?}"), format!("RecipientKey({identifier:?})"));
    }
}
