use std::fmt;

use countersign_protocol::{Deployment, KeyThumbprint, P256_POINT_LEN, P256_SPKI_LEN, SessionId, p256_point};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::policy::WorkloadName;

/// An enclave's TLS key K: an uncompressed P-256 point in its SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientKey([u8; P256_SPKI_LEN]);

impl ClientKey {
    /// Reads a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`NotAClientKey`] for everything else.
    pub fn from_spki(der: &[u8]) -> Result<Self, NotAClientKey> {
        p256_point(der).ok_or(NotAClientKey)?;
        der.try_into().map(Self).map_err(|_| NotAClientKey)
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
        // The point is the end of it.
        &self.0[P256_SPKI_LEN - P256_POINT_LEN..]
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
