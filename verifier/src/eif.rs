//! Enclave image files (EIF): what an image will measure to, without building or starting it.
//!
//! ```text
//!  bytes ──header──▶ table of sections ──section by section──▶ registers ──▶ PCR0, 1, 2 and 8
//!           CRC over all of them            kernel, cmdline, ramdisks, signature, metadata
//! ```
//!
//! The format is that of AWS's "Enclave Image File (EIF) Specification" (2024-06-21, in the README of
//! `aws-nitro-enclaves-image-format`). An image is read as a stream, once and from the start; no more of it is held
//! than a buffer and its signature section. `docs/decisions/0004` says why this is ours and where it is stricter.

mod error;
mod header;
mod registers;
mod section;
mod signature;
mod source;

use crate::pcr::{PcrIndex, PcrSet};
pub use error::{EifError, ImagePart, SignatureFault};
pub use header::Architecture;
use header::{HEADER_BYTES, Header};
use registers::Registers;
pub use section::SectionKind;
use section::{Order, SECTION_HEADER_BYTES, SectionHeader};
use signature::{MAX_SIGNATURE_BYTES, signing_certificate};
use source::Source;
use std::io::Read;

/// What an enclave image file says of itself, and the PCRs that an enclave started from it will have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnclaveImage {
    version: u16,
    architecture: Architecture,
    pcrs: PcrSet,
}

impl EnclaveImage {
    /// Reads and measures an image, to its last byte. Reads are large, so no buffer is needed around `image`.
    ///
    /// The image's own signature over PCR0 is not verified: AWS does when an enclave is started from it. What counts
    /// here is the certificate, which becomes PCR8.
    ///
    /// # Errors
    /// `image` cannot be read, or is not an image as the specification has it; the first mistake, in the order of the
    /// bytes, and the checksum last.
    pub fn read(image: impl Read) -> Result<Self, EifError> {
        let mut source = Source::new(image);
        let header = Header::parse(&source.exactly::<HEADER_BYTES>(ImagePart::Header)?)?;
        let checksum = source.checksum()?;
        let mut order = Order::default();
        let mut registers = Registers::new();
        for (index, entry) in header.sections.iter().enumerate() {
            let at = source.position();
            let bytes = source.exactly::<SECTION_HEADER_BYTES>(ImagePart::SectionHeader { index })?;
            let SectionHeader { kind, size } = SectionHeader::parse(&bytes, index, at, entry)?;
            order.admit(kind, index)?;
            let part = ImagePart::Section { index, kind };
            match kind {
                SectionKind::Kernel | SectionKind::Cmdline => {
                    source.stream(part, size, |bytes| registers.boot(bytes))?;
                }
                SectionKind::Ramdisk if order.ramdisks() == 1 => {
                    source.stream(part, size, |bytes| registers.boot(bytes))?;
                }
                SectionKind::Ramdisk => source.stream(part, size, |bytes| registers.application(bytes))?,
                SectionKind::Signature => {
                    if size > MAX_SIGNATURE_BYTES {
                        return Err(EifError::SignatureTooLong { limit: MAX_SIGNATURE_BYTES, actual: size });
                    }
                    let mut section = Vec::new();
                    source.stream(part, size, |bytes| section.extend_from_slice(bytes))?;
                    registers.signer(&signing_certificate(&section).map_err(EifError::Signature)?);
                }
                // Not measured, and so not looked into: only its bytes count for the checksum.
                SectionKind::Metadata => source.stream(part, size, |_| {})?,
            }
        }
        order.finish(header.version)?;
        let actual = source.finish()?;
        if actual != checksum {
            return Err(EifError::Checksum { expected: checksum, actual });
        }
        Ok(Self { version: header.version, architecture: header.architecture, pcrs: registers.finish() })
    }

    /// The version of the format: 2 to 4.
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// The processor it is for.
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// PCR0, PCR1 and PCR2, and PCR8 when the image is signed: equal to what `nitro-cli describe-eif` prints.
    pub const fn pcrs(&self) -> &PcrSet {
        &self.pcrs
    }

    /// Whether the image carries a signature, and so has PCR8.
    pub fn is_signed(&self) -> bool {
        self.pcrs.get(PcrIndex::PCR8).is_some()
    }
}
