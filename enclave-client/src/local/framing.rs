use std::fmt;

use http::{HeaderMap, header};

use super::Version;

/// Where a request's content ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// After the last chunk and the trailer section.
    Chunked,
}

impl Framing {
    /// RFC 9112 section 6.3, without its leniency: whatever two readers could
    /// read in two ways is refused.
    ///
    /// # Errors
    /// [`FramingError`].
    pub(super) fn of(fields: &HeaderMap, version: Version) -> Result<Self, FramingError> {
        let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
        let mut codings = fields.get_all(header::TRANSFER_ENCODING).iter();
        match (lengths.next(), codings.next()) {
            (None, None) => Ok(Self::Empty),
            (Some(_), Some(_)) => Err(FramingError::Both),
            (Some(_), None) if lengths.next().is_some() => Err(FramingError::Lengths),
            (Some(length), None) => length_of(length.as_bytes()).map(Self::Length),
            (None, Some(_)) if version == Version::Http10 => Err(FramingError::CodingIn10),
            (None, Some(_)) if codings.next().is_some() => Err(FramingError::Codings),
            (None, Some(coding)) => coding_of(coding.as_bytes()),
        }
    }
}

/// `1*DIGIT` and nothing else: no sign, no list, no space inside, and it fits.
fn length_of(value: &[u8]) -> Result<u64, FramingError> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok()).ok_or(FramingError::Length)
}

fn coding_of(value: &[u8]) -> Result<Framing, FramingError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    let listed = value.contains(&b',') && last.eq_ignore_ascii_case(b"chunked");
    Err(if listed { FramingError::UnknownCoding } else { FramingError::NotChunked })
}

/// Why the end of the content is uncertain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// `Content-Length` and `Transfer-Encoding`.
    Both,
    /// Several `Content-Length`, even if they are equal.
    Lengths,
    /// A `Content-Length` that is no number, or none that fits.
    Length,
    /// `Transfer-Encoding` in HTTP/1.0, which has none.
    CodingIn10,
    /// Several `Transfer-Encoding`.
    Codings,
    /// Another coding below `chunked`.
    UnknownCoding,
    /// A `Transfer-Encoding` whose last coding is not `chunked`.
    NotChunked,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "the request has Content-Length and Transfer-Encoding",
            Self::Lengths => "the request has several Content-Length fields",
            Self::Length => "Content-Length is not one decimal number below 18446744073709551616",
            Self::CodingIn10 => "HTTP/1.0 has no Transfer-Encoding",
            Self::Codings => "the request has several Transfer-Encoding fields",
            Self::UnknownCoding => "of the transfer codings only chunked is known here",
            Self::NotChunked => "Transfer-Encoding is not chunked, so the request's end cannot be told",
        })
    }
}

impl std::error::Error for FramingError {}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn of(version: Version, fields: &[(&'static str, &str)]) -> Result<Framing, FramingError> {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            map.append(name, value);
        }
        Framing::of(&map, version)
    }

    const LENGTH: &str = "content-length";
    const CODING: &str = "transfer-encoding";

    #[test]
    fn one_way_to_tell_the_end() {
        assert_eq!(of(Version::Http11, &[]), Ok(Framing::Empty));
        assert_eq!(of(Version::Http10, &[(LENGTH, "0")]), Ok(Framing::Length(0)));
        assert_eq!(of(Version::Http11, &[(LENGTH, "18446744073709551615")]), Ok(Framing::Length(u64::MAX)));
        assert_eq!(of(Version::Http11, &[(CODING, "Chunked")]), Ok(Framing::Chunked));
    }

    #[test]
    fn two_ways_are_none() {
        for (fields, error) in [
            (vec![(LENGTH, "3"), (CODING, "chunked")], FramingError::Both),
            (vec![(LENGTH, "3"), (CODING, "identity")], FramingError::Both),
            (vec![(LENGTH, "3"), (LENGTH, "3")], FramingError::Lengths),
            (vec![(LENGTH, "3, 3")], FramingError::Length),
            (vec![(LENGTH, "+3")], FramingError::Length),
            (vec![(LENGTH, "-3")], FramingError::Length),
            (vec![(LENGTH, "0x3")], FramingError::Length),
            (vec![(LENGTH, "3 3")], FramingError::Length),
            (vec![(LENGTH, "")], FramingError::Length),
            (vec![(LENGTH, "18446744073709551616")], FramingError::Length),
            (vec![(CODING, "chunked"), (CODING, "chunked")], FramingError::Codings),
            (vec![(CODING, "chunked"), (CODING, "identity")], FramingError::Codings),
            (vec![(CODING, "gzip, chunked")], FramingError::UnknownCoding),
            (vec![(CODING, "chunked, chunked")], FramingError::UnknownCoding),
            (vec![(CODING, "chunked, gzip")], FramingError::NotChunked),
            (vec![(CODING, "identity")], FramingError::NotChunked),
            (vec![(CODING, "xchunked")], FramingError::NotChunked),
            (vec![(CODING, "chunked;q=1")], FramingError::NotChunked),
        ] {
            assert_eq!(of(Version::Http11, &fields), Err(error), "{fields:?}");
        }
        assert_eq!(of(Version::Http10, &[(CODING, "chunked")]), Err(FramingError::CodingIn10));
    }
}
