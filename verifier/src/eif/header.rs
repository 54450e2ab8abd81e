//! The first 548 bytes: what kind of image this is, and a table of its sections.

use super::error::EifError;

/// The processor an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Intel and AMD.
    X86_64,
    /// Graviton.
    Aarch64,
}

impl Architecture {
    /// As the specification names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// What of the header matters. All numbers are big-endian.
///
/// > All reserved fields are ignored by the virtualization stack.
///
/// So are `default_mem` and `default_cpus`, which "currently" nothing uses.
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) architecture: Architecture,
    /// 2 to 32 of them, together no longer than [`MAX_IMAGE_BYTES`].
    pub(super) sections: Vec<Entry>,
}

/// Where the header says a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Of the section's own header, from the start of the file.
    pub(super) offset: u64,
    /// Without the section's own header.
    pub(super) size: u64,
}

impl Header {
    /// Reads the header but for its last field, the checksum.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, EifError> {
        let mut fields = Fields(bytes);
        let magic = fields.take();
        if magic != MAGIC {
            return Err(EifError::NotAnImage { actual: magic });
        }
        let version = fields.u16();
        if !VERSIONS.contains(&version) {
            return Err(EifError::UnsupportedVersion { actual: version });
        }
        let flags = fields.u16();
        let (_default_mem, _default_cpus, _reserved) = (fields.u64(), fields.u64(), fields.u16());
        let count = fields.u16();
        if !SECTIONS.contains(&count) {
            return Err(EifError::SectionCount { actual: count });
        }
        let offsets: [u64; MAX_SECTIONS] = std::array::from_fn(|_| fields.u64());
        let sizes: [u64; MAX_SECTIONS] = std::array::from_fn(|_| fields.u64());
        let sections: Vec<_> = offsets
            .into_iter()
            .zip(sizes)
            .map(|(offset, size)| Entry { offset, size })
            .take(count.into())
            .collect();
        let length = sections.iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.size));
        if length > MAX_IMAGE_BYTES {
            return Err(EifError::TooLong { limit: MAX_IMAGE_BYTES, actual: length });
        }
        let architecture = if flags & ARM64 == 0 { Architecture::X86_64 } else { Architecture::Aarch64 };
        Ok(Self { version, architecture, sections })
    }
}

/// What is left of the header. It has a fixed size, and so has each field.
struct Fields<'h>(&'h [u8]);

impl Fields<'_> {
    /// Zeros behind the end, where nothing here reads: the test below adds up the fields.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

/// The header without the checksum that ends it (548 bytes with it).
pub(super) const HEADER_BYTES: usize = 544;

/// `.eif`
const MAGIC: [u8; 4] = *b".eif";

/// > Versions `0` and `1` … are not supported anymore … Versions `>4` are reserved for the future.
const VERSIONS: std::ops::RangeInclusive<u16> = 2..=4;

/// Bit 0 of the flags.
const ARM64: u16 = 1;

/// `MAX_NUM_SECTIONS`, the length of both arrays.
const MAX_SECTIONS: usize = 32;

/// > The value range for this is between 2 and 32 (`MAX_NUM_SECTIONS`).
const SECTIONS: std::ops::RangeInclusive<u16> = 2..=MAX_SECTIONS as u16;

/// A limit of ours, so that a stream without end is not read for ever: 16 GiB. An image lies in the enclave's memory
/// whole, and `nitro-cli` asks for four times as much memory as the image has bytes.
const MAX_IMAGE_BYTES: u64 = 16 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_fill_the_header() {
        let unused_before_the_checksum = 4;
        let fields = 4 + 2 + 2 + 8 + 8 + 2 + 2 + 2 * 8 * MAX_SECTIONS + unused_before_the_checksum;
        assert_eq!(fields, HEADER_BYTES);
    }
}
