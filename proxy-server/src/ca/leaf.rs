use std::fmt;

use countersign_protocol::{Deployment, KeyThumbprint, SessionId};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::policy::WorkloadName;

/// An enclave's TLS key K: an uncompressed P-256 point in its SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientKey([u8; SPKI_LEN]);

impl ClientKey {
    /// Reads a SubjectPublicKeyInfo. There is one encoding of such a key in DER
    /// (RFC 5480 section 2), so this compares and does not parse.
    ///
    /// # Errors
    /// [`NotAClientKey`] for everything else.
    pub fn from_spki(der: &[u8]) -> Result<Self, NotAClientKey> {
        let bytes: [u8; SPKI_LEN] = der.try_into().map_err(|_| NotAClientKey)?;
        if bytes.starts_with(&SPKI_PREFIX) { Ok(Self(bytes)) } else { Err(NotAClientKey) }
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> &[u8] {
        &self.0
    }

    /// Which key, in 32 bytes.
    pub fn thumbprint(&self) -> KeyThumbprint {
        KeyThumbprint::of_spki(&self.0)
    }
}

impl PublicKeyData for ClientKey {
    fn der_bytes(&self) -> &[u8] {
        // The point: the last 65 bytes, its form first.
        &self.0[SPKI_PREFIX.len() - 1..]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({})", self.thumbprint())
    }
}

/// A key that is not an uncompressed P-256 point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAClientKey;

impl fmt::Display for NotAClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an uncompressed P-256 key (RFC 5480)")
    }
}

impl std::error::Error for NotAClientKey {}

/// What a session certificate says.
#[derive(Clone, Copy, Debug)]
pub struct SessionCertificate<'a> {
    /// The enclave's key.
    pub key: &'a ClientKey,
    /// The installation.
    pub deployment: &'a Deployment,
    /// The session's workload.
    pub workload: &'a WorkloadName,
    /// The session.
    pub session: SessionId,
    /// The end of the lease, or of the NSM's certificate when that is sooner.
    pub not_after: OffsetDateTime,
}

impl SessionCertificate<'_> {
    /// `countersign://<deployment>/workload/<name>/session/<id>`. The names have
    /// no character that a URI would have to escape.
    pub(super) fn uri(&self) -> String {
        let Self { deployment, workload, session, .. } = self;
        format!("countersign://{deployment}/workload/{workload}/session/{session}")
    }
}

/// A session's certificate and its issuer, DER, as they go into the grant.
pub(super) type Issued = [CertificateDer<'static>; 2];

/// id-ecPublicKey, secp256r1, a bit string of 65 bytes, and the form byte of an uncompressed point.
const SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

const SPKI_LEN: usize = SPKI_PREFIX.len() + 64;
