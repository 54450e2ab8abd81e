use std::{fmt, io, path::Path};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_protocol::Epoch;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use zeroize::Zeroizing;

use super::{
    AuditFileError,
    chain::{ChainName, Head},
    checkpoint::{Checkpoint, Purpose, message},
    file::{self, Place},
    public_key::AuditPublicKey,
};
use crate::store::UnixMs;

/// The key that signs checkpoints: Ed25519, made here on first use, in a file that only the proxy's user can read.
///
/// It lies outside of the database, so that whoever may write there cannot sign.
pub struct AuditKey {
    pair: Ed25519KeyPair,
    public: AuditPublicKey,
}

impl AuditKey {
    /// Reads `audit.key` in the state directory, or makes one when there is none. Never overwrites it: of two processes
    /// that make one at the same time, both use the first.
    ///
    /// # Errors
    /// [`AuditFileError`]: also for a file that others may read, and for one that holds another kind of key.
    pub fn open(directory: &Path) -> Result<Self, AuditFileError> {
        let path = directory.join(FILE);
        if let Some(key) = Self::read(&path)? {
            return Ok(key);
        }
        match file::write(&path, Self::new_pem()?.as_bytes(), Place::New) {
            Ok(()) => {}
            Err(AuditFileError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Self::read(&path)?
            .ok_or_else(|| AuditFileError::File { path, source: io::Error::from(io::ErrorKind::NotFound) })
    }

    /// What verifies signatures of the key in this state directory, if there is one. Makes none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn public_in(directory: &Path) -> Result<Option<AuditPublicKey>, AuditFileError> {
        Ok(Self::read(&directory.join(FILE))?.map(|key| key.public))
    }

    /// What verifies its signatures.
    pub fn public(&self) -> AuditPublicKey {
        self.public
    }

    /// Signs that `chain` has come to `head`.
    pub fn sign(
        &self,
        chain: ChainName,
        head: Head,
        purpose: Purpose,
        at: UnixMs,
        epoch: Epoch,
    ) -> Checkpoint {
        let key_id = self.public.id();
        let message = message(&chain, purpose, &head, at, epoch, key_id);
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&message).as_ref());
        Checkpoint { chain, purpose, seq: head.seq, hash: head.hash, at, epoch, key_id, signature }
    }

    fn read(path: &Path) -> Result<Option<Self>, AuditFileError> {
        let Some(pem) = file::read(path, OTHERS, LIMIT)? else { return Ok(None) };
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).ok();
        let pair = der.and_then(|der| Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok());
        match pair.and_then(Self::from_pair) {
            Some(key) => Ok(Some(key)),
            None => Err(AuditFileError::NotAKey { path: path.to_owned() }),
        }
    }

    pub(super) fn from_pair(pair: Ed25519KeyPair) -> Option<Self> {
        let public = pair.public_key().as_ref().try_into().ok().map(AuditPublicKey::from_bytes)?;
        Some(Self { pair, public })
    }

    /// Version 1 of PKCS #8 (RFC 5208), which every OpenSSL reads.
    fn new_pem() -> Result<Zeroizing<String>, AuditFileError> {
        let der = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
        let der = der.map_err(|_| AuditFileError::NoRandomness)?;
        let base64 = Zeroizing::new(STANDARD.encode(der.as_ref()));
        // 48 bytes are 64 digits: one line of PEM.
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64.as_str());
        Ok(Zeroizing::new(pem))
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditKey({}, key hidden)", self.public.id())
    }
}

/// The key's file in the state directory.
const FILE: &str = "audit.key";

/// All rights of all but the owner.
const OTHERS: u32 = 0o077;

/// Longer than any PEM of an Ed25519 key.
const LIMIT: u64 = 4096;
