//! The few DER values (X.690) a certificate is made of.
//!
//! A general certificate builder refuses to make most of the broken certificates that `fault/` needs, and
//! cannot choose the string types and the order that AWS uses. The profile is narrow enough to write out.

use crate::SimulatorError;
use time::OffsetDateTime;

/// One value: tag, shortest length, content.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = Vec::with_capacity(length + 4);
    out.push(tag);
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        // Nothing here is longer than an oversized certificate, some 1,100 bytes.
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    value(0x30, &parts.concat())
}

pub(crate) fn set(content: &[u8]) -> Vec<u8> {
    value(0x31, content)
}

/// A positive INTEGER from big-endian bytes.
pub(crate) fn integer(magnitude: &[u8]) -> Vec<u8> {
    let start = magnitude.iter().position(|byte| *byte != 0).unwrap_or(magnitude.len());
    let digits = magnitude.get(start..).unwrap_or_default();
    match digits.first() {
        None => value(0x02, &[0]),
        // The top bit is the sign.
        Some(first) if *first >= 0x80 => value(0x02, &[&[0], digits].concat()),
        Some(_) => value(0x02, digits),
    }
}

/// An OBJECT IDENTIFIER whose content is already encoded.
pub(crate) fn oid(content: &[u8]) -> Vec<u8> {
    value(0x06, content)
}

pub(crate) fn octet_string(content: &[u8]) -> Vec<u8> {
    value(0x04, content)
}

pub(crate) fn bit_string(unused_bits: u8, content: &[u8]) -> Vec<u8> {
    value(0x03, &[&[unused_bits], content].concat())
}

pub(crate) fn utf8(text: &str) -> Vec<u8> {
    value(0x0c, text.as_bytes())
}

pub(crate) fn printable(text: &str) -> Vec<u8> {
    value(0x13, text.as_bytes())
}

/// An explicit, constructed context tag.
pub(crate) fn context(number: u8, content: &[u8]) -> Vec<u8> {
    value(0xa0 | number, content)
}

/// An implicit, primitive context tag.
pub(crate) fn context_primitive(number: u8, content: &[u8]) -> Vec<u8> {
    value(0x80 | number, content)
}

/// RFC 5280, 4.1.2.5: "CAs conforming to this profile MUST always encode certificate validity dates through
/// the year 2049 as UTCTime; certificate validity dates in 2050 or later MUST be encoded as GeneralizedTime."
pub(crate) fn time(seconds: u64) -> Result<Vec<u8>, SimulatorError> {
    let out_of_range = SimulatorError::Time { seconds };
    let Ok(signed) = i64::try_from(seconds) else { return Err(out_of_range) };
    let Ok(at) = OffsetDateTime::from_unix_timestamp(signed) else { return Err(out_of_range) };
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        at.month() as u8,
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    Ok(if at.year() < 2050 {
        value(0x17, format!("{:02}{rest}", at.year() % 100).as_bytes())
    } else {
        value(0x18, format!("{:04}{rest}", at.year()).as_bytes())
    })
}

pub(crate) const TRUE: [u8; 3] = [0x01, 0x01, 0xff];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_shortest() {
        assert_eq!(value(0x04, &[7; 127])[..2], [0x04, 0x7f]);
        assert_eq!(value(0x04, &[7; 128])[..3], [0x04, 0x81, 0x80]);
        assert_eq!(value(0x04, &[7; 256])[..4], [0x04, 0x82, 0x01, 0x00]);
    }

    #[test]
    fn integers_are_positive_and_minimal() {
        assert_eq!(integer(&[]), [0x02, 1, 0]);
        assert_eq!(integer(&[0, 0, 5]), [0x02, 1, 5]);
        assert_eq!(integer(&[0x80]), [0x02, 2, 0, 0x80]);
    }

    #[test]
    fn the_form_of_a_time_changes_in_2050() {
        assert_eq!(time(2_524_607_999).unwrap(), value(0x17, b"491231235959Z"));
        assert_eq!(time(2_524_608_000).unwrap(), value(0x18, b"20500101000000Z"));
        assert!(matches!(time(u64::MAX), Err(SimulatorError::Time { seconds: u64::MAX })));
    }
}
