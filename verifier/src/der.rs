//! A reader for the part of DER that X.509 certificates use (X.690), bounded and strict.

use crate::refusal::CertificateFault;

/// What is left of the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
}

/// One element: its whole encoding, and what it holds.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) encoding: &'a [u8],
    pub(crate) content: &'a [u8],
}

impl<'a> Der<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Every byte is consumed: what follows is an error.
    pub(crate) const fn finish(self, what: &'static str) -> Result<(), CertificateFault> {
        if self.rest.is_empty() { Ok(()) } else { Err(CertificateFault::TrailingBytes { what }) }
    }

    /// Whether an element with this tag is next.
    pub(crate) fn peek(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// The next element, which must have this tag.
    pub(crate) fn read(&mut self, tag: u8, what: &'static str) -> Result<Element<'a>, CertificateFault> {
        self.read_element(tag).ok_or(CertificateFault::NotDer { what })
    }

    /// Takes these very bytes, or nothing.
    pub(crate) fn skip_exactly(&mut self, bytes: &[u8]) -> bool {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn read_element(&mut self, tag: u8) -> Option<Element<'a>> {
        let (&[actual, first], after) = self.rest.split_first_chunk()?;
        if actual != tag {
            return None;
        }
        // X.690 section 10.1: the definite form, in the fewest bytes. No certificate here reaches 64 KiB.
        let (length, after) = match (first, after) {
            (0..=0x7f, after) => (usize::from(first), after),
            (0x81, [one @ 0x80..=0xff, after @ ..]) => (usize::from(*one), after),
            (0x82, [high @ 1..=0xff, low, after @ ..]) => {
                (usize::from(*high) << 8 | usize::from(*low), after)
            }
            _ => return None,
        };
        let (content, rest) = after.split_at_checked(length)?;
        let encoding = self.rest.get(..self.rest.len() - rest.len())?;
        self.rest = rest;
        Some(Element { encoding, content })
    }
}

/// A BIT STRING without unused bits: keys and signatures are whole bytes.
pub(crate) fn whole_bytes<'a>(content: &'a [u8], what: &'static str) -> Result<&'a [u8], CertificateFault> {
    content.strip_prefix(&[0]).ok_or(CertificateFault::NotDer { what })
}

pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// `extensions [3] EXPLICIT` (RFC 5280 section 4.1).
    pub(crate) const EXTENSIONS: u8 = 0xa3;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut der = Der::new(bytes);
        let element = der.read(tag::OCTET_STRING, "test").ok()?;
        Some((element.content.to_vec(), der.rest.len()))
    }

    #[test]
    fn lengths_are_definite_and_shortest() {
        assert_eq!(read(&[4, 0]), Some((vec![], 0)));
        assert_eq!(read(&[4, 1, 9, 7]), Some((vec![9], 1)));
        for (head, length) in
            [(vec![4, 0x7f], 0x7f), (vec![4, 0x81, 0x80], 0x80), (vec![4, 0x82, 1, 0], 0x100)]
        {
            let bytes = [head, vec![5; length]].concat();
            assert_eq!(read(&bytes), Some((vec![5; length], 0)));
            assert_eq!(read(&bytes[..bytes.len() - 1]), None, "one byte short of {length}");
        }
        let body = vec![5; 0x200];
        for head in [
            vec![4, 0x80],
            vec![4, 0x81, 0x7f],
            vec![4, 0x82, 0, 0xff],
            vec![4, 0x83, 0, 1, 0],
            vec![4, 0xff],
            vec![4, 0x81],
            vec![4],
        ] {
            let bytes = if head.len() < 3 && head != [4, 0x80] && head != [4, 0xff] {
                head.clone()
            } else {
                [head.clone(), body.clone()].concat()
            };
            assert_eq!(read(&bytes), None, "{head:02x?}");
        }
        assert_eq!(read(&[5, 0]), None, "another tag");
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn trailing_bytes_and_partial_bytes_are_faults() {
        assert_eq!(Der::new(&[0]).finish("x"), Err(CertificateFault::TrailingBytes { what: "x" }));
        assert_eq!(whole_bytes(&[0, 1, 2], "x"), Ok(&[1, 2][..]));
        assert_eq!(whole_bytes(&[1, 2], "x"), Err(CertificateFault::NotDer { what: "x" }));
        assert_eq!(whole_bytes(&[], "x"), Err(CertificateFault::NotDer { what: "x" }));
    }
}
