use super::ReadError;

/// The elements inside one constructed element, or the one element of a whole input.
///
/// BER (X.690 section 8.1): low tag numbers only, lengths of at most four bytes, definite or
/// indefinite. Nothing recurses: how deep a reader goes is written in the code that uses it.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    end: End,
}

/// How the elements end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the bytes (X.690 section 8.1.3.3).
    OfBytes,
    /// With two zero bytes (section 8.1.5).
    OfContents,
}

impl<'a> Elements<'a> {
    /// Exactly one element in these bytes, read by `read`.
    pub(super) fn only<T>(
        bytes: &'a [u8],
        read: impl FnOnce(&mut Self) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut elements = Self { rest: bytes, end: End::OfBytes };
        let value = read(&mut elements)?;
        elements.finish("the envelope")?;
        Ok(value)
    }

    /// The bytes of a primitive element with this tag.
    pub(super) fn primitive(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], ReadError> {
        self.tag(tag, what)?;
        match self.length(what)? {
            Some(length) => self.take(length, what),
            None => Err(ReadError::Length { what }),
        }
    }

    /// A constructed element with this tag: `read` must consume all that is in it.
    pub(super) fn constructed<T>(
        &mut self,
        tag: u8,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        self.tag(tag, what)?;
        match self.length(what)? {
            Some(length) => {
                let mut inner = Self { rest: self.take(length, what)?, end: End::OfBytes };
                let value = read(&mut inner)?;
                inner.finish(what)?;
                Ok(value)
            }
            None => {
                let mut inner = Self { rest: self.rest, end: End::OfContents };
                let value = read(&mut inner)?;
                self.rest = inner.finish(what)?;
                Ok(value)
            }
        }
    }

    /// The next tag, if there is another element.
    pub(super) fn peek(&self) -> Option<u8> {
        // A single zero byte at the end of the input is half of the mark.
        let ended = self.rest.starts_with(&END_OF_CONTENTS) || self.rest == [0];
        self.rest.first().copied().filter(|_| self.end == End::OfBytes || !ended)
    }

    /// What follows these elements.
    fn finish(self, what: &'static str) -> Result<&'a [u8], ReadError> {
        match self.end {
            End::OfBytes if self.rest.is_empty() => Ok(self.rest),
            End::OfBytes => Err(ReadError::Trailing { what }),
            End::OfContents if self.rest.len() < END_OF_CONTENTS.len() => Err(ReadError::Truncated { what }),
            End::OfContents => self.rest.strip_prefix(&END_OF_CONTENTS).ok_or(ReadError::Trailing { what }),
        }
    }

    fn tag(&mut self, expected: u8, what: &'static str) -> Result<(), ReadError> {
        match self.peek() {
            Some(actual) if actual == expected => {
                self.rest = &self.rest[1..];
                Ok(())
            }
            Some(actual) => Err(ReadError::Tag { what, expected, actual }),
            None if self.rest.starts_with(&END_OF_CONTENTS) => Err(ReadError::Missing { what }),
            None => Err(ReadError::Truncated { what }),
        }
    }

    /// `None`: indefinite. A length need not be in its shortest form in BER.
    fn length(&mut self, what: &'static str) -> Result<Option<usize>, ReadError> {
        let [first] = *self.take(1, what)? else { return Err(ReadError::Length { what }) };
        let width = match first {
            0..=0x7f => return Ok(Some(first.into())),
            0x80 => return Ok(None),
            long => usize::from(long & 0x7f),
        };
        if width > MAX_LENGTH_BYTES {
            return Err(ReadError::Length { what });
        }
        let length = self.take(width, what)?.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        Ok(Some(length))
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], ReadError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ReadError::Truncated { what })?;
        self.rest = rest;
        Ok(taken)
    }
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// `[number]`, primitive.
pub(super) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// `[number]`, constructed.
pub(super) const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

const END_OF_CONTENTS: [u8; 2] = [0, 0];

/// Enough for 4 GiB, far over any envelope; fits `usize` wherever this runs.
const MAX_LENGTH_BYTES: usize = 4;
