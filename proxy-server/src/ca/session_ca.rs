use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use rustls::pki_types::TrustAnchor;
use time::OffsetDateTime;

use super::{
    CaError, SessionCertificate, SessionRoot,
    anchor::name,
    intermediate::{Intermediate, serial},
    leaf::Issued,
    root::Root,
    root_file::{BACKDATED, FileRoot},
};

/// Issues session certificates. Shared by all connections.
///
/// To issue never waits: the root is asked for the next intermediate in the
/// background, days ahead ([`Self::rotate_loop`]).
pub struct SessionCa {
    pub(super) root: Root,
    intermediate: RwLock<Arc<Intermediate>>,
}

impl SessionCa {
    /// Opens the root and makes this process's intermediate.
    ///
    /// # Errors
    /// [`CaError`].
    pub async fn start(
        source: &SessionRoot,
        state_directory: &Path,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let root = Root::open(source, state_directory, now).await?;
        let intermediate = root.intermediate(now).await?;
        Ok(Self::new(root, intermediate))
    }

    /// [`Self::start`] with the root in the state directory (made on first use), which waits for nobody.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn open(state_directory: &Path, now: OffsetDateTime) -> Result<Self, CaError> {
        let root = FileRoot::in_state(state_directory, now)?;
        let intermediate = root.intermediate(now)?;
        Ok(Self::new(Root::File(root), intermediate))
    }

    pub(super) fn new(root: Root, intermediate: Intermediate) -> Self {
        Self { root, intermediate: RwLock::new(Arc::new(intermediate)) }
    }

    /// The root's name and key: what the gateway demands of its clients. The
    /// same on every replica with this root.
    pub fn anchor(&self) -> &TrustAnchor<'static> {
        self.root.anchor()
    }

    /// When the present intermediate ends: no certificate is issued beyond.
    pub fn ends(&self) -> OffsetDateTime {
        self.present().not_after
    }

    /// A certificate over the enclave's key, and its issuer's.
    ///
    /// # Errors
    /// [`CaError::Crypto`] and [`CaError::NoRandomness`], neither of which has a cause in the
    /// arguments; [`CaError::IntermediateEnds`] when the rotation has failed for days.
    pub fn issue(
        &self,
        certificate: &SessionCertificate<'_>,
        now: OffsetDateTime,
    ) -> Result<Issued, CaError> {
        let intermediate = self.present();
        if certificate.not_after > intermediate.not_after {
            return Err(CaError::IntermediateEnds);
        }
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

    pub(super) fn present(&self) -> Arc<Intermediate> {
        Arc::clone(&self.intermediate.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, next: Intermediate) {
        *self.intermediate.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}
