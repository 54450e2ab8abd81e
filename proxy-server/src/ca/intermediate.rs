use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::{CaError, anchor::name, root_file::BACKDATED};

/// Signs session certificates. Its key never leaves this process.
pub(super) struct Intermediate {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

impl Intermediate {
    /// Whether another one is due. Half its life is left then: certificates of
    /// this one hold on, and so does issuing while no other can be had.
    pub(super) fn is_due(&self, now: OffsetDateTime) -> bool {
        now >= self.not_after - LIFE / 2 || now < self.not_before
    }
}

/// An intermediate that the root has not signed yet.
pub(super) struct Draft {
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
}

impl Draft {
    pub(super) fn new(now: OffsetDateTime) -> Result<Self, CaError> {
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
        Ok(Self { params, key })
    }

    /// The intermediate, with the certificate that the root made of this draft.
    pub(super) fn certified(self, certificate: CertificateDer<'static>) -> Intermediate {
        let Self { params, key } = self;
        let (not_before, not_after) = (params.not_before, params.not_after);
        Intermediate { certificate, issuer: Issuer::new(params, key), not_before, not_after }
    }
}

/// 127 random bits: unique without counting (RFC 5280 section 4.1.2.2 wants it positive).
pub(super) fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| CaError::NoRandomness)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// An intermediate lives a week and another follows after the first half of it: far
/// longer than any lease, and days for a root that cannot be asked to come back.
const LIFE: Duration = Duration::days(7);
