//! The header of one section, and which sections an image may have in which order.

use super::error::EifError;
use super::header::Entry;
use std::fmt;

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// The kernel.
    Kernel,
    /// The kernel's command line.
    Cmdline,
    /// A ramdisk: the first boots the enclave, the others are the application.
    Ramdisk,
    /// Signatures of PCR0 with their certificates.
    Signature,
    /// Who built the image when, as JSON. Not measured.
    Metadata,
}

impl SectionKind {
    const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Kernel),
            2 => Some(Self::Cmdline),
            3 => Some(Self::Ramdisk),
            4 => Some(Self::Signature),
            5 => Some(Self::Metadata),
            // 0 is `EifSectionInvalid`.
            _ => None,
        }
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Cmdline => "cmdline",
            Self::Ramdisk => "ramdisk",
            Self::Signature => "signature",
            Self::Metadata => "metadata",
        })
    }
}

/// What of a section's header matters; its flags are "reserved for future use".
pub(super) struct SectionHeader {
    pub(super) kind: SectionKind,
    pub(super) size: u64,
}

impl SectionHeader {
    /// Reads the header of section `index`, which starts `at`, and compares it with its entry in the image's header.
    ///
    /// > It must match the corresponding section_sizes entry in the global EifHeader structure.
    ///
    /// For a signature it need not: `nitro-cli sign-eif` on a signed image replaces the signature, whose length differs
    /// from time to time, and leaves the old size in the header. Who reads either size reads the same certificate.
    pub(super) fn parse(
        bytes: &[u8; SECTION_HEADER_BYTES],
        index: usize,
        at: u64,
        entry: &Entry,
    ) -> Result<Self, EifError> {
        let [k0, k1, _, _, size @ ..] = *bytes;
        let number = u16::from_be_bytes([k0, k1]);
        let size = u64::from_be_bytes(size);
        let kind =
            SectionKind::from_number(number).ok_or(EifError::UnknownSection { index, actual: number })?;
        if entry.offset != at {
            return Err(EifError::OffsetsDiffer { index, expected: at, actual: entry.offset });
        }
        if entry.size != size && kind != SectionKind::Signature {
            return Err(EifError::SizesDiffer { index, expected: entry.size, actual: size });
        }
        Ok(Self { kind, size })
    }
}

/// The sections so far.
#[derive(Debug, Default)]
pub(super) struct Order {
    kernel: bool,
    cmdline: bool,
    signature: bool,
    metadata: bool,
    ramdisks: usize,
}

impl Order {
    /// Whether one more of this kind may come now.
    ///
    /// > Every enclave image file must contain exactly one `EifSectionKernel` section … exactly one
    /// > `EifSectionCmdline` section. … All `EifSectionRamdisk` sections must be positioned after the
    /// > `EifSectionKernel` section.
    pub(super) fn admit(&mut self, kind: SectionKind, index: usize) -> Result<(), EifError> {
        let seen = match kind {
            SectionKind::Ramdisk if !self.kernel => return Err(EifError::RamdiskBeforeKernel { index }),
            SectionKind::Ramdisk => {
                self.ramdisks += 1;
                return Ok(());
            }
            SectionKind::Kernel => &mut self.kernel,
            SectionKind::Cmdline => &mut self.cmdline,
            SectionKind::Signature => &mut self.signature,
            SectionKind::Metadata => &mut self.metadata,
        };
        if std::mem::replace(seen, true) {
            return Err(EifError::DuplicateSection { index, kind });
        }
        Ok(())
    }

    pub(super) const fn ramdisks(&self) -> usize {
        self.ramdisks
    }

    /// Whether all that must be there was there.
    ///
    /// > Version `4` introduced the `EifSectionMetadata` as a mandatory section.
    pub(super) const fn finish(self, version: u16) -> Result<(), EifError> {
        let Self { kernel, cmdline, signature: _, metadata, ramdisks: _ } = self;
        let missing = if !kernel {
            SectionKind::Kernel
        } else if !cmdline {
            SectionKind::Cmdline
        } else if !metadata && version >= WITH_METADATA {
            SectionKind::Metadata
        } else {
            return Ok(());
        };
        Err(EifError::MissingSection { kind: missing })
    }
}

/// Type, flags and size.
pub(super) const SECTION_HEADER_BYTES: usize = 12;

const WITH_METADATA: u16 = 4;
