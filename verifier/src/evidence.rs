//! A document whose signature and chain hold.

use crate::appraisal::{Admitted, DebugMode, ReferenceValues};
use crate::document::UnverifiedDocument;
use crate::pcr::PcrSet;
use crate::refusal::Refusal;
use crate::time::UnixMillis;

/// What AWS's hypervisor says of one enclave. Only [`Verifier::verify`](crate::Verifier::verify) makes it.
///
/// Evidence tells who the enclave is, and not yet that it may pass: that takes [`Evidence::appraise`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence<'a> {
    document: UnverifiedDocument<'a>,
    not_after: UnixMillis,
}

impl<'a> Evidence<'a> {
    /// Only the verifier calls this, after every check.
    pub(crate) const fn new(document: UnverifiedDocument<'a>, not_after: UnixMillis) -> Self {
        Self { document, not_after }
    }

    /// The enclave's PCRs.
    pub fn pcrs(&self) -> &PcrSet {
        self.document.pcrs()
    }

    /// The enclave's id.
    pub fn module_id(&self) -> &'a str {
        self.document.module_id()
    }

    /// When the document was made.
    pub fn timestamp(&self) -> UnixMillis {
        self.document.timestamp()
    }

    /// The last moment at which every certificate of the chain is valid; nothing that rests on this evidence lives longer.
    pub const fn not_after(&self) -> UnixMillis {
        self.not_after
    }

    /// The key the enclave put into the document.
    pub fn public_key(&self) -> Option<&'a [u8]> {
        self.document.public_key()
    }

    /// The data the enclave put into the document.
    pub fn user_data(&self) -> Option<&'a [u8]> {
        self.document.user_data()
    }

    /// The challenge the enclave answered.
    pub fn nonce(&self) -> Option<&'a [u8]> {
        self.document.nonce()
    }

    /// The signer's certificate in DER; [`CertificateSummary`](crate::CertificateSummary) makes it readable.
    pub fn leaf(&self) -> &'a [u8] {
        self.document.certificate()
    }

    /// The certificates in DER from the root to the leaf.
    pub fn chain(&self) -> impl Iterator<Item = &'a [u8]> {
        self.document.cabundle().iter().copied().chain([self.document.certificate()])
    }

    /// Compares the PCRs with the measurements that may pass.
    ///
    /// # Errors
    /// A refusal of the stage [`Appraisal`](crate::Stage::Appraisal): debug mode, no reference values at all, or none
    /// that fits, with the closest one named.
    pub fn appraise<'e>(
        &'e self,
        references: &'e ReferenceValues,
        debug: DebugMode,
    ) -> Result<Admitted<'e>, Refusal> {
        references.appraise(self.pcrs(), debug).map(|measurement| Admitted::new(self, measurement))
    }
}
