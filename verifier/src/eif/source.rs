//! The bytes of an image: counted, checked against the end, and summed up.

use super::error::{EifError, ImagePart};
use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};
use std::io::{ErrorKind, Read};

/// A stream of which every byte is asked for by name.
pub(super) struct Source<R> {
    reader: R,
    position: u64,
    crc: Digest<'static, u32, Table<16>>,
    buffer: Box<[u8]>,
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, position: 0, crc: CRC.digest(), buffer: vec![0; BUFFER_BYTES].into() }
    }

    /// How many bytes were read.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// The next `N` bytes, which count for the checksum.
    pub(super) fn exactly<const N: usize>(&mut self, part: ImagePart) -> Result<[u8; N], EifError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, part)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }

    /// The field that holds the checksum: the only bytes that do not count for it.
    pub(super) fn checksum(&mut self) -> Result<u32, EifError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes, ImagePart::Header)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Gives the next `size` bytes in pieces.
    pub(super) fn stream(
        &mut self,
        part: ImagePart,
        size: u64,
        mut put: impl FnMut(&[u8]),
    ) -> Result<(), EifError> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let (piece, _) = self.buffer.split_at_mut(most);
            let piece = match read(&mut self.reader, piece, self.position)? {
                [] => return Err(EifError::Truncated { part, expected: size, actual: size - left }),
                piece => piece,
            };
            self.crc.update(piece);
            put(piece);
            left -= piece.len() as u64;
            self.position += piece.len() as u64;
        }
        Ok(())
    }

    /// The checksum of all that was read; nothing may follow.
    pub(super) fn finish(mut self) -> Result<u32, EifError> {
        match read(&mut self.reader, &mut [0], self.position)? {
            [] => Ok(self.crc.finalize()),
            _ => Err(EifError::TrailingBytes { at: self.position }),
        }
    }

    fn fill(&mut self, bytes: &mut [u8], part: ImagePart) -> Result<(), EifError> {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let count = read(&mut self.reader, rest, self.position)?.len();
            if count == 0 {
                let (expected, actual) = (bytes.len() as u64, done as u64);
                return Err(EifError::Truncated { part, expected, actual });
            }
            done += count;
            self.position += count as u64;
        }
        Ok(())
    }
}

/// Some bytes; none at the end.
fn read<'b>(reader: &mut impl Read, buffer: &'b mut [u8], at: u64) -> Result<&'b [u8], EifError> {
    loop {
        match reader.read(buffer) {
            // A reader that claims more than there was room for has read what there was room for, at most.
            Ok(count) => return Ok(buffer.get(..count).unwrap_or(buffer)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(EifError::Unreadable { at, kind: error.kind() }),
        }
    }
}

/// > The crc32 checksum over the whole file except this `eif_crc32` field itself.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

const BUFFER_BYTES: usize = 128 << 10;
