use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::{
    ConnectionTrafficSecrets,
    crypto::cipher::{AeadKey, Iv},
};

use super::RecordError;

/// One direction's AEAD key, its IV and the number of the next record.
///
/// The number is private and only grows: no nonce is used twice under one key.
pub(super) struct TrafficKey {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    next: u64,
}

impl TrafficKey {
    /// The key of these secrets, from record `next` on.
    pub(super) fn new(next: u64, secrets: ConnectionTrafficSecrets) -> Result<Self, RecordError> {
        let (algorithm, key, iv) = parts(secrets)?;
        let key = key.as_ref().get(..algorithm.key_len()).ok_or(RecordError::Suite)?;
        let aead = UnboundKey::new(algorithm, key).map_err(|_| RecordError::Suite)?;
        let iv = iv.as_ref().try_into().map_err(|_| RecordError::Suite)?;
        Ok(Self { aead: LessSafeKey::new(aead), iv, next })
    }

    pub(super) fn aead(&self) -> &LessSafeKey {
        &self.aead
    }

    /// The next record's nonce: "The 64-bit record sequence number is encoded in
    /// network byte order and padded to the left with zeros to iv_length. The
    /// padded sequence number is XORed with [...] write_iv" (RFC 8446 section 5.3).
    pub(super) fn next_nonce(&mut self) -> Result<Nonce, RecordError> {
        let number = self.next;
        // "If a TLS implementation would need to wrap a sequence number, it MUST
        // either rekey [...] or terminate the connection" (same section).
        self.next = number.checked_add(1).ok_or(RecordError::SequenceEnds)?;
        let mut nonce = self.iv;
        let [_, _, _, _, tail @ ..] = &mut nonce;
        tail.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// How many records the key has protected once there are `more`.
    pub(super) fn sealed_after(&self, more: u64) -> u64 {
        self.next.saturating_add(more)
    }
}

fn parts(secrets: ConnectionTrafficSecrets) -> Result<(&'static Algorithm, AeadKey, Iv), RecordError> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => Ok((&AES_128_GCM, key, iv)),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => Ok((&AES_256_GCM, key, iv)),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((&CHACHA20_POLY1305, key, iv)),
        _ => Err(RecordError::Suite),
    }
}
