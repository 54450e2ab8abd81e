use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::{CaError, unsigned::Unsigned};

/// Name and rights of the root. They are constant, so that a root can be used
/// again without reading its certificate back, and so that one key is one root,
/// whichever replica names it.
pub(super) fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Countersign session root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub(super) fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// The root over this key as certificate paths see it: its name and its public
/// key, which is "the trust anchor information" of RFC 5280 section 6.1.1 (d).
/// Neither a validity nor a signature of the root's own certificate counts.
pub(super) fn anchor_of(key: &impl PublicKeyData) -> Result<TrustAnchor<'static>, CaError> {
    // rcgen encodes names and keys only as parts of certificates, so one is made
    // and taken apart again. Nobody ever sees it, so nobody signs it.
    let unsigned = Unsigned::new(root_params(), key, key)?;
    let certificate = unsigned.signed(Vec::new())?;
    anchor_in(&certificate).ok_or(CaError::Crypto(rcgen::Error::CouldNotParseCertificate))
}

/// The anchor that a certificate names.
pub(super) fn anchor_in(certificate: &CertificateDer<'_>) -> Option<TrustAnchor<'static>> {
    webpki::anchor_from_trusted_cert(certificate).ok().map(|anchor| anchor.to_owned())
}
