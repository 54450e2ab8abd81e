use aws_lc_rs::{
    cipher::{AES_256, AES_256_KEY_LEN, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    iv::FixedLength,
    rand,
};
use zeroize::{Zeroize, Zeroizing};

use super::{Envelope, OpenError, RecipientId};
use crate::kms::recipient::RecipientKey;

impl Envelope<'_> {
    /// Decrypts it. The plaintext is wiped when it is dropped.
    ///
    /// Whether or not OAEP gives a content key, the content is decrypted with one (a random one if need
    /// be, as RFC 3218 section 2.3.2 advises) and there is one decision at the end: neither the error nor
    /// the work done tells which step failed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(self, key: &RecipientKey) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if let RecipientId::KeyIdentifier(identifier) = self.recipient()
            && identifier != key.identifier()
        {
            return Err(OpenError::OtherKey);
        }
        let (expected, actual) = (key.modulus_len(), self.encrypted_key().len());
        if expected != actual {
            return Err(OpenError::KeyLength { expected, actual });
        }
        let mut content_key = Zeroizing::new([0; AES_256_KEY_LEN]);
        rand::fill(&mut *content_key).map_err(|_| OpenError::Failed)?;
        let unwrapped = key.unwrap(self.encrypted_key(), &mut content_key);
        let (iv, content) = self.into_iv_and_content();
        let plaintext = decrypt(&content_key, iv, content);
        match (unwrapped, plaintext) {
            (Ok(()), Ok(plaintext)) => Ok(plaintext),
            _ => Err(OpenError::Failed),
        }
    }
}

fn decrypt(
    key: &[u8; AES_256_KEY_LEN],
    iv: [u8; 16],
    content: Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let mut content = Zeroizing::new(content);
    let failed = |_| OpenError::Failed;
    let key = UnboundCipherKey::new(&AES_256, key).map_err(failed)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(failed)?;
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let length = key.decrypt(&mut content, context).map_err(failed)?.len();
    // What the padding was stays behind the end, and is wiped as well.
    content[length..].zeroize();
    content.truncate(length);
    Ok(content)
}
