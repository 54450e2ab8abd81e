use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::{
    CaError, SessionCertificate,
    leaf::Issued,
    root_file::{BACKDATED, Root, name},
};

/// Issues session certificates. Shared by all connections.
pub struct SessionCa {
    root: Root,
    intermediate: RwLock<Arc<Intermediate>>,
}

struct Intermediate {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// From then on a new one issues; certificates of this one hold on.
    rotate_at: OffsetDateTime,
}

impl SessionCa {
    /// Opens the root in the state directory (made on first use) and makes this
    /// process's intermediate.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn open(directory: &Path, now: OffsetDateTime) -> Result<Self, CaError> {
        let root = Root::open(directory, now)?;
        let intermediate = RwLock::new(Arc::new(Intermediate::make(&root, now)?));
        Ok(Self { root, intermediate })
    }

    /// The root's certificate: what the gateway demands of its clients.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root.certificate
    }

    /// A certificate over the enclave's key, and its issuer's.
    ///
    /// # Errors
    /// [`CaError::Crypto`] and [`CaError::NoRandomness`], neither of which has a cause in the arguments.
    pub fn issue(
        &self,
        certificate: &SessionCertificate<'_>,
        now: OffsetDateTime,
    ) -> Result<Issued, CaError> {
        let intermediate = self.intermediate(now)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&certificate.session.to_string());
        params.serial_number = Some(serial()?);
        params.not_before = now - BACKDATED;
        params.not_after = certificate.not_after;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let uri = certificate.uri().try_into().map_err(CaError::Crypto)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        let issued = params.signed_by(certificate.key, &intermediate.issuer).map_err(CaError::Crypto)?;
        Ok([issued.der().clone(), intermediate.certificate.clone()])
    }

    fn intermediate(&self, now: OffsetDateTime) -> Result<Arc<Intermediate>, CaError> {
        let current = Arc::clone(&self.intermediate.read().unwrap_or_else(PoisonError::into_inner));
        if now < current.rotate_at {
            return Ok(current);
        }
        let mut slot = self.intermediate.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have made it while this one waited.
        if now >= slot.rotate_at {
            *slot = Arc::new(Intermediate::make(&self.root, now)?);
        }
        Ok(Arc::clone(&slot))
    }
}

impl Intermediate {
    fn make(root: &Root, now: OffsetDateTime) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Crypto)?;
        let serial = serial()?;
        let mut params = CertificateParams::default();
        // Each has a name of its own: two of one name and different keys would confuse path building.
        params.distinguished_name =
            name(&format!("Countersign session issuer {}", hex::encode(serial.to_bytes())));
        params.serial_number = Some(serial);
        params.not_before = now - BACKDATED;
        params.not_after = now + LIFE;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &root.issuer).map_err(CaError::Crypto)?.der().clone();
        Ok(Self { certificate, issuer: Issuer::new(params, key), rotate_at: now + LIFE / 2 })
    }
}

/// 127 random bits: unique without counting (RFC 5280 section 4.1.2.2 wants it positive).
fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| CaError::NoRandomness)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// An intermediate lives a week and issues for the first half of it: far longer than any lease.
const LIFE: Duration = Duration::days(7);
