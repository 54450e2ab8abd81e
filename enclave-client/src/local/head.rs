use std::fmt;

use countersign_protocol::{Destination, DestinationError};

/// A complete and acceptable request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Where to.
    pub destination: Destination,
    /// Length of the head; what follows in the buffer belongs to the tunnel.
    pub head_len: usize,
}

/// The largest head, in bytes.
pub const MAX_HEAD: usize = 8 * 1024;

/// Reads a head from the start of `bytes`; `None` while it is incomplete.
///
/// Stricter than HTTP allows a recipient to be, since a proxy that reads a head
/// otherwise than its client wrote it is how requests are smuggled: line ends are
/// CR LF and nothing else (RFC 9112 section 2.2), there is one `Host` (section
/// 3.2), and no framing for content, which CONNECT does not have (RFC 9110
/// section 9.3.6). Only the target counts; `Host` decides nothing.
///
/// # Errors
/// [`HeadError`], as soon as it is certain.
pub fn parse(bytes: &[u8]) -> Result<Option<Connect>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head_len = match request.parse(bytes).map_err(HeadError::NotHttp)? {
        httparse::Status::Complete(len) if len <= MAX_HEAD => len,
        httparse::Status::Partial if bytes.len() < MAX_HEAD => return Ok(None),
        _ => return Err(HeadError::TooLong),
    };
    line_ends(&bytes[..head_len])?;
    let method = request.method.unwrap_or_default();
    let target = request.path.unwrap_or_default();
    if method != "CONNECT" {
        let absolute = target.contains("://");
        return Err(if absolute { HeadError::AbsoluteForm } else { HeadError::Method(method.to_owned()) });
    }
    let count = |name: &str| request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).count();
    match count("host") {
        1 => {}
        0 if request.version == Some(0) => {}
        hosts => return Err(HeadError::Hosts { hosts }),
    }
    if count("content-length") + count("transfer-encoding") > 0 {
        return Err(HeadError::Content);
    }
    let destination = target.parse().map_err(HeadError::Target)?;
    Ok(Some(Connect { destination, head_len }))
}

/// httparse takes a bare LF for a line end; here it is none.
fn line_ends(head: &[u8]) -> Result<(), HeadError> {
    let bare_lf =
        head.iter().enumerate().any(|(at, &byte)| byte == b'\n' && (at == 0 || head[at - 1] != b'\r'));
    let bare_cr = head.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n');
    if bare_lf || bare_cr { Err(HeadError::LineEnd) } else { Ok(()) }
}

const MAX_HEADERS: usize = 64;

/// Why a head is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// Not HTTP/1.
    NotHttp(httparse::Error),
    /// Over [`MAX_HEAD`].
    TooLong,
    /// A CR or LF that stands alone.
    LineEnd,
    /// `GET http://…`.
    AbsoluteForm,
    /// Any other method than CONNECT.
    Method(String),
    /// None or several `Host` fields.
    Hosts {
        /// How many.
        hosts: usize,
    },
    /// `Content-Length` or `Transfer-Encoding`.
    Content,
    /// The target is no host and port.
    Target(DestinationError),
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp(error) => write!(f, "this is no HTTP/1 request: {error}"),
            Self::TooLong => write!(f, "the request's head is longer than {MAX_HEAD} bytes"),
            Self::LineEnd => f.write_str("a line of the request's head does not end in CR LF"),
            Self::AbsoluteForm => f.write_str(
                "requests for an http:// URL are not supported in this version: use CONNECT (https:// URLs do)",
            ),
            Self::Method(method) => write!(f, "this is a proxy: CONNECT is supported, {method} is not"),
            Self::Hosts { hosts } => write!(f, "the request has {hosts} Host fields, it must have one"),
            Self::Content => f.write_str("CONNECT has no content: Content-Length and Transfer-Encoding are refused"),
            Self::Target(error) => write!(f, "the target of CONNECT is not host:port: {error}"),
        }
    }
}

impl std::error::Error for HeadError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<Connect>, HeadError> {
        parse(text.as_bytes())
    }

    #[test]
    fn a_head_is_read_to_its_end_and_no_further() {
        let head = "CONNECT KMS.example:443 HTTP/1.1\r\nHost: other.example\r\nX: 1\r\n\r\n";
        let expected = Connect { destination: "kms.example:443".parse().unwrap(), head_len: head.len() };
        assert_eq!(parsed(head), Ok(Some(expected.clone())));
        assert_eq!(parsed(&format!("{head}\u{16}\u{3}\u{1}")), Ok(Some(expected)));
        for end in 0..head.len() {
            assert_eq!(parsed(&head[..end]), Ok(None), "{end} bytes");
        }
        assert!(parsed("CONNECT kms.example:443 HTTP/1.0\r\n\r\n").unwrap().is_some());
    }

    #[test]
    fn smuggling_ends_here() {
        for (head, error) in [
            ("CONNECT a.example:443 HTTP/1.1\nHost: a\n\n", HeadError::LineEnd),
            ("CONNECT a.example:443 HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", HeadError::LineEnd),
            ("CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\n", HeadError::LineEnd),
            ("\nCONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::LineEnd),
            (
                "CONNECT a.example:443 HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
                HeadError::NotHttp(httparse::Error::HeaderValue),
            ),
            (
                "CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
                HeadError::NotHttp(httparse::Error::HeaderName),
            ),
            (
                "CONNECT a.example:443 HTTP/1.1\r\nHost : a\r\n\r\n",
                HeadError::NotHttp(httparse::Error::HeaderName),
            ),
            (
                "CONNECT a.example:443 HTTP/1.1\r\nHost: a\0\r\n\r\n",
                HeadError::NotHttp(httparse::Error::HeaderValue),
            ),
            (
                "CONNECT a.example:443 HTTP/2.0\r\nHost: a\r\n\r\n",
                HeadError::NotHttp(httparse::Error::Version),
            ),
            ("CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HeadError::Hosts { hosts: 2 }),
            ("CONNECT a.example:443 HTTP/1.1\r\n\r\n", HeadError::Hosts { hosts: 0 }),
            ("CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", HeadError::Content),
            (
                "CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n",
                HeadError::Content,
            ),
            ("GET http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::AbsoluteForm),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Method("GET".to_owned())),
            ("connect a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Method("connect".to_owned())),
            (
                "CONNECT a.example HTTP/1.1\r\nHost: a\r\n\r\n",
                HeadError::Target(DestinationError::MissingPort),
            ),
            (
                "CONNECT user@a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
                HeadError::Target(DestinationError::BadName),
            ),
            (
                "CONNECT http://a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
                HeadError::Target(DestinationError::UnbracketedIpv6),
            ),
        ] {
            assert_eq!(parsed(head), Err(error), "{head:?}");
        }
    }

    #[test]
    fn the_head_is_bounded() {
        let prefix = "CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\nX: ";
        let fill = |len: usize| format!("{prefix}{}", "x".repeat(len - prefix.len()));
        assert_eq!(parsed(&fill(MAX_HEAD - 1)), Ok(None));
        assert_eq!(parsed(&fill(MAX_HEAD)), Err(HeadError::TooLong));
        let exact = format!("{}\r\n\r\n", fill(MAX_HEAD - 4));
        assert_eq!(parsed(&exact).unwrap().unwrap().head_len, MAX_HEAD);
        assert_eq!(parsed(&format!("{}\r\n\r\n", fill(MAX_HEAD - 3))), Err(HeadError::TooLong));
        let many = format!("CONNECT a.example:443 HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(65));
        assert_eq!(parsed(&many), Err(HeadError::NotHttp(httparse::Error::TooManyHeaders)));
    }
}
