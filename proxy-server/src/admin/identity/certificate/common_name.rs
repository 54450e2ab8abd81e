/// The one common name of a certificate's subject; `None` when there is none,
/// when there are several, or when it is not UTF-8 text.
///
/// `subject` is what [`webpki::EndEntityCert::subject`] gives: the content of
/// an `RDNSequence`, without its tag and length. RFC 5280 section 4.1.2.4:
///
/// ```text
/// RDNSequence ::= SEQUENCE OF RelativeDistinguishedName
/// RelativeDistinguishedName ::= SET SIZE (1..MAX) OF AttributeTypeAndValue
/// AttributeTypeAndValue ::= SEQUENCE { type AttributeType, value AttributeValue }
/// ```
pub(super) fn common_name(subject: &[u8]) -> Option<&str> {
    let mut found = None;
    let mut names = Reader(subject);
    while !names.is_empty() {
        let mut attributes = Reader(names.expect(SET)?);
        while !attributes.is_empty() {
            let mut attribute = Reader(attributes.expect(SEQUENCE)?);
            let kind = attribute.expect(OBJECT_IDENTIFIER)?;
            let (tag, value) = attribute.next()?;
            if !attribute.is_empty() {
                return None;
            }
            if kind != COMMON_NAME {
                continue;
            }
            // Which of two counts is what attacks are made of: none does.
            if found.is_some() || !matches!(tag, UTF8_STRING | PRINTABLE_STRING) {
                return None;
            }
            found = Some(std::str::from_utf8(value).ok()?);
        }
    }
    found
}

/// Elements of DER, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn expect(&mut self, expected: u8) -> Option<&'a [u8]> {
        let (tag, content) = self.next()?;
        (tag == expected).then_some(content)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        // X.690 section 10.1: the shortest form only. No name is longer than two bytes can say.
        let (length, least, rest) = match first {
            0..=0x7f => (usize::from(first), 0, rest),
            0x81 => {
                let (&length, rest) = rest.split_first()?;
                (usize::from(length), 0x80, rest)
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*length)), 0x100, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length).filter(|_| length >= least)?;
        self.0 = rest;
        Some((tag, content))
    }
}

const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn rdn(kind: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        let attribute = [der(OBJECT_IDENTIFIER, kind), der(tag, value)].concat();
        der(SET, &der(SEQUENCE, &attribute))
    }

    #[test]
    fn one_name_is_found_among_other_attributes() {
        let organisation = rdn(&[0x55, 0x04, 0x0a], UTF8_STRING, b"alice");
        let name = rdn(COMMON_NAME, PRINTABLE_STRING, b"bob");
        assert_eq!(common_name(&[organisation.clone(), name].concat()), Some("bob"));
        assert_eq!(common_name(&organisation), None);
        assert_eq!(common_name(&[]), None);
    }

    #[test]
    fn two_names_are_none() {
        let two = [rdn(COMMON_NAME, UTF8_STRING, b"alice"), rdn(COMMON_NAME, UTF8_STRING, b"bob")].concat();
        assert_eq!(common_name(&two), None);
        let attribute =
            der(SEQUENCE, &[der(OBJECT_IDENTIFIER, COMMON_NAME), der(UTF8_STRING, b"alice")].concat());
        assert_eq!(common_name(&der(SET, &attribute.repeat(2))), None, "in one set");
        assert_eq!(common_name(&der(SET, &attribute)), Some("alice"));
    }

    #[test]
    fn what_is_not_der_is_no_name() {
        let good = rdn(COMMON_NAME, UTF8_STRING, b"alice");
        for cut in 1..good.len() {
            assert_eq!(common_name(&good[..cut]), None, "{cut}");
        }
        assert_eq!(common_name(&rdn(COMMON_NAME, 0x1e, b"\0a")), None, "a BMPString");
        assert_eq!(common_name(&rdn(COMMON_NAME, UTF8_STRING, &[0xff])), None);
        let long_form = [&[SET, 0x81, good[1]], &good[2..]].concat();
        assert_eq!(common_name(&long_form), None);
        assert_eq!(common_name(&[good.as_slice(), &[0]].concat()), None, "something follows");
    }
}
