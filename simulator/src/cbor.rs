//! The few CBOR items (RFC 8949) a document is made of.
//!
//! Written by hand because faults need encodings that a well-behaved encoder refuses to make, and because
//! writing into memory cannot fail.

/// RFC 8949, 3.1: the major type, already shifted into place.
#[derive(Clone, Copy)]
pub(crate) enum Major {
    Unsigned = 0x00,
    Negative = 0x20,
    Bytes = 0x40,
    Text = 0x60,
    Array = 0x80,
    Map = 0xa0,
    Tag = 0xc0,
}

/// The head of an item in its shortest form.
pub(crate) fn head(major: Major, argument: u64) -> Vec<u8> {
    let major = major as u8;
    match argument {
        0..=23 => vec![major | argument as u8],
        24..=0xff => vec![major | 24, argument as u8],
        0x100..=0xffff => [&[major | 25][..], &(argument as u16).to_be_bytes()].concat(),
        0x1_0000..=0xffff_ffff => [&[major | 26][..], &(argument as u32).to_be_bytes()].concat(),
        _ => [&[major | 27][..], &argument.to_be_bytes()].concat(),
    }
}

pub(crate) fn unsigned(value: u64) -> Vec<u8> {
    head(Major::Unsigned, value)
}

pub(crate) fn bytes(value: &[u8]) -> Vec<u8> {
    [&head(Major::Bytes, value.len() as u64), value].concat()
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    [&head(Major::Text, value.len() as u64), value.as_bytes()].concat()
}

/// A definite array of items that are already encoded.
pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(Major::Array, items.len() as u64), items.concat()].concat()
}

/// A byte string cut in two chunks (RFC 8949, 3.2.3): legal CBOR that no document may hold.
pub(crate) fn chunked_bytes(value: &[u8]) -> Vec<u8> {
    let (first, second) = value.split_at(value.len() / 2);
    [&[Major::Bytes as u8 | INDEFINITE][..], &bytes(first), &bytes(second), &[BREAK]].concat()
}

/// A text string in one chunk.
pub(crate) fn chunked_text(value: &str) -> Vec<u8> {
    [&[Major::Text as u8 | INDEFINITE][..], &text(value), &[BREAK]].concat()
}

pub(crate) const INDEFINITE: u8 = 31;
pub(crate) const BREAK: u8 = 0xff;
pub(crate) const NULL: u8 = 0xf6;
pub(crate) const UNDEFINED: u8 = 0xf7;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8949, appendix A.
    #[test]
    fn heads_are_the_shortest() {
        let examples: [(u64, &str); 8] = [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (255, "18ff"),
            (256, "190100"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
        ];
        for (value, expected) in examples {
            assert_eq!(hex::encode(unsigned(value)), expected);
        }
    }

    #[test]
    fn strings_and_arrays() {
        assert_eq!(hex::encode(bytes(&[1, 2])), "420102");
        assert_eq!(hex::encode(text("ab")), "626162");
        assert_eq!(hex::encode(array(&[unsigned(1), bytes(&[])])), "820140");
        assert_eq!(hex::encode(chunked_bytes(&[1, 2, 3])), "5f4101420203ff");
        assert_eq!(hex::encode(chunked_text("a")), "7f6161ff");
    }
}
