//! The PCRs of an image while it is read.

use crate::pcr::{Pcr, PcrIndex, PcrSet};
use aws_lc_rs::digest::{Context, Digest, SHA384, digest};

/// > `PCR0`: kernel, command line and all ramdisks. `PCR1`: kernel, command line and the first ramdisk. `PCR2`: all
/// > ramdisks excluding the first. `PCR8`: the DER of the certificate that signed.
///
/// > The order of elements in that calculation depends on the order of sections in the EIF. Only the data for each
/// > section is part of the calculation, the headers are excluded.
pub(super) struct Registers {
    image: Context,
    boot: Context,
    application: Context,
    signer: Option<Digest>,
}

impl Registers {
    pub(super) fn new() -> Self {
        let context = || Context::new(&SHA384);
        Self { image: context(), boot: context(), application: context(), signer: None }
    }

    /// More of the kernel, the command line or the first ramdisk.
    pub(super) fn boot(&mut self, bytes: &[u8]) {
        self.image.update(bytes);
        self.boot.update(bytes);
    }

    /// More of a later ramdisk.
    pub(super) fn application(&mut self, bytes: &[u8]) {
        self.image.update(bytes);
        self.application.update(bytes);
    }

    /// The certificate that signed the image, in DER.
    pub(super) fn signer(&mut self, der: &[u8]) {
        self.signer = Some(digest(&SHA384, der));
    }

    pub(super) fn finish(self) -> PcrSet {
        let Self { image, boot, application, signer } = self;
        let mut pcrs = PcrSet::EMPTY;
        let values = [
            (PcrIndex::PCR0, Some(image.finish())),
            (PcrIndex::PCR1, Some(boot.finish())),
            (PcrIndex::PCR2, Some(application.finish())),
            (PcrIndex::PCR8, signer),
        ];
        for (index, content) in values {
            if let Some(content) = content {
                // Each index stands once in the list above.
                let _ = pcrs.insert(index, extended(&content));
            }
        }
        pcrs
    }
}

/// A register that held zeros and was extended once.
///
/// > `PCRX = sha384sum( initial_digest.content_digest )`, where `initial_digest` … consists of 48 zero-bytes.
fn extended(content: &Digest) -> Pcr {
    let mut context = Context::new(&SHA384);
    context.update(Pcr::ZERO.as_bytes());
    context.update(content.as_ref());
    let mut pcr = [0; Pcr::LEN];
    // SHA-384 gives as many bytes as a PCR has.
    pcr.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    Pcr::new(pcr)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PCR2 of every image with one ramdisk, known from many attestation documents.
    #[test]
    fn nothing_measures_to_a_known_value() {
        let pcrs = Registers::new().finish();
        let nothing = "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a";
        assert_eq!(pcrs.get(PcrIndex::PCR2).map(ToString::to_string).as_deref(), Some(nothing));
        assert_eq!(pcrs.get(PcrIndex::PCR8), None);
    }
}
