//! A reader for the part of CBOR that attestation documents use (RFC 8949), bounded and strict.
//!
//! It knows unsigned integers, byte and text strings, arrays, maps and null, and walks only where its caller names what
//! comes next. So nesting is as deep as the document's own shape and no deeper, nothing is allocated, and a length is
//! compared with its limit before a byte is taken. Heads must be in their shortest form; strings come in one piece.
//! `docs/decisions/0001` says why this is ours.

use crate::refusal::{Item, SyntaxRefusal};
use std::ops::RangeInclusive;

/// What is left of the bytes.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// How many entries of an array or a map are still to come.
pub(crate) enum Remaining {
    /// The head told.
    Known(u64),
    /// Until a break (`ff`), which has to come within these bounds.
    UntilBreak { seen: usize, count: RangeInclusive<usize> },
}

/// The first bytes of an item: its major type and argument (RFC 8949 section 3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Unsigned(u64),
    Negative,
    Bytes(u64),
    Text(u64),
    Array(u64),
    Map(u64),
    Tag(u64),
    Null,
    Simple,
    Float,
    Break,
    /// A string, array or map of indefinite length.
    Indefinite(&'static str),
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Every byte is consumed: what follows is an error.
    pub(crate) fn finish(self, item: Item) -> Result<(), SyntaxRefusal> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(SyntaxRefusal::TrailingBytes { item, count }),
        }
    }

    /// Takes a tag if this very one is next, and says whether it was.
    pub(crate) fn skip_tag(&mut self, tag: u64, item: Item) -> Result<(), SyntaxRefusal> {
        let mut ahead = self.clone();
        if ahead.head(item)? == Head::Tag(tag) {
            *self = ahead;
        }
        Ok(())
    }

    /// An unsigned integer.
    pub(crate) fn unsigned(&mut self, item: Item) -> Result<u64, SyntaxRefusal> {
        match self.head(item)? {
            Head::Unsigned(value) => Ok(value),
            other => Err(other.unexpected(item, "an unsigned integer")),
        }
    }

    /// A byte string in one piece.
    pub(crate) fn bytes(
        &mut self,
        item: Item,
        length: RangeInclusive<usize>,
    ) -> Result<&'a [u8], SyntaxRefusal> {
        match self.head(item)? {
            Head::Bytes(actual) => self.take_string(item, length, actual),
            other => Err(other.unexpected(item, "a byte string")),
        }
    }

    /// A byte string in one piece, or null.
    pub(crate) fn bytes_or_null(
        &mut self,
        item: Item,
        length: RangeInclusive<usize>,
    ) -> Result<Option<&'a [u8]>, SyntaxRefusal> {
        match self.head(item)? {
            Head::Null => Ok(None),
            Head::Bytes(actual) => self.take_string(item, length, actual).map(Some),
            other => Err(other.unexpected(item, "a byte string or null")),
        }
    }

    /// A text string in one piece.
    pub(crate) fn text(
        &mut self,
        item: Item,
        length: RangeInclusive<usize>,
    ) -> Result<&'a str, SyntaxRefusal> {
        match self.head(item)? {
            Head::Text(actual) => std::str::from_utf8(self.take_string(item, length, actual)?)
                .map_err(|_| SyntaxRefusal::NotUtf8 { item }),
            other => Err(other.unexpected(item, "a text string")),
        }
    }

    /// The head of an array whose length is told, and exactly `count`.
    pub(crate) fn array_of(&mut self, item: Item, count: usize) -> Result<(), SyntaxRefusal> {
        match self.head(item)? {
            Head::Array(actual) if actual == count as u64 => Ok(()),
            Head::Array(actual) => Err(SyntaxRefusal::Count { item, min: count, max: count, actual }),
            other => Err(other.unexpected(item, "an array")),
        }
    }

    /// The head of a map whose number of entries is told; gives that number.
    pub(crate) fn definite_map(&mut self, item: Item) -> Result<u64, SyntaxRefusal> {
        match self.head(item)? {
            Head::Map(count) => Ok(count),
            other => Err(other.unexpected(item, "a map")),
        }
    }

    /// The head of an array of told or untold length.
    pub(crate) fn array(
        &mut self,
        item: Item,
        count: RangeInclusive<usize>,
    ) -> Result<Remaining, SyntaxRefusal> {
        match self.head(item)? {
            Head::Array(actual) => Remaining::known(item, count, actual),
            Head::Indefinite(ARRAY) => Ok(Remaining::UntilBreak { seen: 0, count }),
            other => Err(other.unexpected(item, "an array")),
        }
    }

    /// The head of a map of told or untold length.
    pub(crate) fn map(
        &mut self,
        item: Item,
        count: RangeInclusive<usize>,
    ) -> Result<Remaining, SyntaxRefusal> {
        match self.head(item)? {
            Head::Map(actual) => Remaining::known(item, count, actual),
            Head::Indefinite(MAP) => Ok(Remaining::UntilBreak { seen: 0, count }),
            other => Err(other.unexpected(item, "a map")),
        }
    }

    /// Whether another entry of the array or map follows; takes the break when there is one.
    pub(crate) fn next_entry(
        &mut self,
        item: Item,
        remaining: &mut Remaining,
    ) -> Result<bool, SyntaxRefusal> {
        match remaining {
            Remaining::Known(0) => Ok(false),
            Remaining::Known(count) => {
                *count -= 1;
                Ok(true)
            }
            Remaining::UntilBreak { seen, count } => {
                let ended = self.rest.first() == Some(&BREAK);
                let entries = if ended { *seen } else { *seen + 1 };
                let (min, max) = (*count.start(), *count.end());
                if entries > max || (ended && entries < min) {
                    return Err(SyntaxRefusal::Count { item, min, max, actual: entries as u64 });
                }
                *seen = entries;
                if ended {
                    self.take(item, 1)?;
                }
                Ok(!ended)
            }
        }
    }

    fn take_string(
        &mut self,
        item: Item,
        length: RangeInclusive<usize>,
        actual: u64,
    ) -> Result<&'a [u8], SyntaxRefusal> {
        match usize::try_from(actual) {
            Ok(count) if length.contains(&count) => self.take(item, count),
            _ => Err(SyntaxRefusal::Length { item, min: *length.start(), max: *length.end(), actual }),
        }
    }

    fn take(&mut self, item: Item, count: usize) -> Result<&'a [u8], SyntaxRefusal> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SyntaxRefusal::Truncated { item })?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self, item: Item) -> Result<Head, SyntaxRefusal> {
        let &[initial] = self.take(item, 1)? else { return Err(SyntaxRefusal::Truncated { item }) };
        let (major, info) = (initial >> 5, initial & 0x1f);
        let argument = match info {
            0..=23 => u64::from(info),
            24..=27 => self.argument(item, major, info)?,
            31 => return Head::indefinite(item, initial),
            // RFC 8949 section 3: 28 to 30 are reserved.
            _ => return Err(SyntaxRefusal::NotWellFormed { item, initial_byte: initial }),
        };
        Ok(match major {
            0 => Head::Unsigned(argument),
            1 => Head::Negative,
            2 => Head::Bytes(argument),
            3 => Head::Text(argument),
            4 => Head::Array(argument),
            5 => Head::Map(argument),
            6 => Head::Tag(argument),
            _ if info == NULL => Head::Null,
            _ if info >= 25 => Head::Float,
            _ => Head::Simple,
        })
    }

    /// The 1, 2, 4 or 8 bytes that follow the initial one, refused when fewer would have done.
    fn argument(&mut self, item: Item, major: u8, info: u8) -> Result<u64, SyntaxRefusal> {
        let width = 1_usize << (info - 24);
        let argument =
            self.take(item, width)?.iter().fold(0, |value: u64, &byte| value << 8 | u64::from(byte));
        let shorter_would_do = match width {
            1 => argument < 24,
            2 => argument <= u64::from(u8::MAX),
            4 => argument <= u64::from(u16::MAX),
            _ => argument <= u64::from(u32::MAX),
        };
        if shorter_would_do && major != SIMPLE_OR_FLOAT {
            return Err(SyntaxRefusal::NotShortest { item });
        }
        Ok(argument)
    }
}

impl Remaining {
    fn known(item: Item, count: RangeInclusive<usize>, actual: u64) -> Result<Self, SyntaxRefusal> {
        let (min, max) = (*count.start(), *count.end());
        if actual < min as u64 || actual > max as u64 {
            return Err(SyntaxRefusal::Count { item, min, max, actual });
        }
        Ok(Self::Known(actual))
    }
}

impl Head {
    fn indefinite(item: Item, initial: u8) -> Result<Self, SyntaxRefusal> {
        match initial >> 5 {
            2 => Ok(Self::Indefinite("a byte string")),
            3 => Ok(Self::Indefinite("a text string")),
            4 => Ok(Self::Indefinite(ARRAY)),
            5 => Ok(Self::Indefinite(MAP)),
            SIMPLE_OR_FLOAT => Ok(Self::Break),
            _ => Err(SyntaxRefusal::NotWellFormed { item, initial_byte: initial }),
        }
    }

    fn unexpected(self, item: Item, expected: &'static str) -> SyntaxRefusal {
        let actual = match self {
            Self::Tag(tag) => return SyntaxRefusal::UnexpectedTag { item, tag },
            // "a byte string or null" is a byte string too.
            Self::Indefinite(kind) if expected.starts_with(kind) => {
                return SyntaxRefusal::IndefiniteLength { item };
            }
            Self::Indefinite(kind) => kind,
            Self::Unsigned(_) => "an unsigned integer",
            Self::Negative => "a negative integer",
            Self::Bytes(_) => "a byte string",
            Self::Text(_) => "a text string",
            Self::Array(_) => ARRAY,
            Self::Map(_) => MAP,
            Self::Null => "null",
            Self::Simple => "a simple value",
            Self::Float => "a floating-point number",
            Self::Break => return SyntaxRefusal::NotWellFormed { item, initial_byte: BREAK },
        };
        SyntaxRefusal::UnexpectedType { item, expected, actual }
    }
}

const ARRAY: &str = "an array";
const MAP: &str = "a map";
const SIMPLE_OR_FLOAT: u8 = 7;
const NULL: u8 = 22;
const BREAK: u8 = 0xff;

#[cfg(test)]
mod tests;
