use std::fmt;

use countersign_protocol::{Destination, DestinationError};
use countersign_telemetry::TraceContext;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{
    framing::{Framing, FramingError},
    target::{self, Forward, TargetError},
};

/// A complete and acceptable request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What is asked for.
    pub request: Request,
    /// Length of the head; what follows in the buffer is content, the tunnel's, or the next request.
    pub head_len: usize,
}

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `CONNECT host:port`: a tunnel.
    Connect {
        /// Where to.
        destination: Destination,
        /// The span that it is part of (`traceparent`), where there is one.
        trace: Option<TraceContext>,
    },
    /// `GET http://host/path` or another method: a request to be sent on.
    Forward(Box<ForwardRequest>),
}

/// A request in absolute form (RFC 9112 section 3.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardRequest {
    /// Any but CONNECT.
    pub method: Method,
    /// Where to, and what there.
    pub target: Forward,
    /// What the caller speaks.
    pub version: Version,
    /// As they came, hop-by-hop fields included.
    pub fields: HeaderMap,
    /// How its content ends.
    pub framing: Framing,
}

/// HTTP/1.0 or HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One request for each connection, and no chunks.
    Http10,
    /// Many requests for each connection.
    Http11,
}

/// The largest head, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;

/// Reads a head from the start of `bytes`; `None` while it is incomplete.
///
/// Stricter than HTTP allows a recipient to be, since a proxy that reads a head
/// otherwise than its client wrote it is how requests are smuggled: line ends are
/// CR LF and nothing else (RFC 9112 section 2.2), there is one `Host` (section
/// 3.2), and one way to tell where the content ends (section 6). Only the target
/// counts; `Host` decides nothing.
///
/// # Errors
/// [`HeadError`], as soon as it is certain.
pub fn parse(bytes: &[u8]) -> Result<Option<Head>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut headers);
    let head_len = match request.parse(bytes).map_err(HeadError::NotHttp)? {
        httparse::Status::Complete(len) if len <= MAX_HEAD => len,
        httparse::Status::Partial if bytes.len() < MAX_HEAD => return Ok(None),
        _ => return Err(HeadError::TooLong),
    };
    if !line_ends_are_whole(&bytes[..head_len]) {
        return Err(HeadError::LineEnd);
    }
    let method = Method::from_bytes(request.method.unwrap_or_default().as_bytes())
        .map_err(|_| HeadError::NotHttp(httparse::Error::Token))?;
    let target = request.path.unwrap_or_default();
    let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let fields = fields(request.headers)?;
    match fields.get_all(header::HOST).iter().count() {
        1 => {}
        0 if version == Version::Http10 => {}
        hosts => return Err(HeadError::Hosts { hosts }),
    }
    let request = if method == Method::CONNECT {
        if fields.contains_key(header::CONTENT_LENGTH) || fields.contains_key(header::TRANSFER_ENCODING) {
            return Err(HeadError::Content);
        }
        let destination = target.parse().map_err(HeadError::Target)?;
        Request::Connect { destination, trace: trace(&fields) }
    } else {
        let framing = Framing::of(&fields, version).map_err(HeadError::Framing)?;
        let target = target::parse(&method, target).map_err(HeadError::Url)?;
        if method == Method::TRACE {
            return Err(HeadError::Trace);
        }
        Request::Forward(Box::new(ForwardRequest { method, target, version, fields, framing }))
    };
    Ok(Some(Head { request, head_len }))
}

/// The trace context that a request brought. One that is malformed, or stands there twice, is as none: it
/// changes nothing but what is told of the request.
pub(super) fn trace(fields: &HeaderMap) -> Option<TraceContext> {
    TraceContext::of_headers(fields.get_all(TraceContext::HEADER).iter().map(HeaderValue::as_bytes))
}

/// httparse takes a bare LF for a line end; here it is none.
pub(super) fn line_ends_are_whole(lines: &[u8]) -> bool {
    let bare_lf =
        lines.iter().enumerate().any(|(at, &byte)| byte == b'\n' && (at == 0 || lines[at - 1] != b'\r'));
    let bare_cr = lines.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n');
    !bare_lf && !bare_cr
}

pub(super) fn fields(parsed: &[httparse::Header<'_>]) -> Result<HeaderMap, HeadError> {
    let mut fields = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| HeadError::NotHttp(httparse::Error::HeaderName))?;
        let value = HeaderValue::from_bytes(field.value)
            .map_err(|_| HeadError::NotHttp(httparse::Error::HeaderValue))?;
        fields.append(name, value);
    }
    Ok(fields)
}

/// As many fields as servers usually take (Apache `LimitRequestFields`, hyper).
pub(super) const MAX_FIELDS: usize = 100;

/// Why a head is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// Not HTTP/1.
    NotHttp(httparse::Error),
    /// Over [`MAX_HEAD`].
    TooLong,
    /// A CR or LF that stands alone.
    LineEnd,
    /// None or several `Host` fields.
    Hosts {
        /// How many.
        hosts: usize,
    },
    /// CONNECT with `Content-Length` or `Transfer-Encoding`.
    Content,
    /// The target of CONNECT is no host and port.
    Target(DestinationError),
    /// The target of another method is no `http://` URL.
    Url(TargetError),
    /// Where the content ends cannot be told for certain.
    Framing(FramingError),
    /// TRACE, which shows the fields of a request to whoever may send one.
    Trace,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp(error) => write!(f, "this is no HTTP/1 request: {error}"),
            Self::TooLong => write!(f, "the request's head is longer than {MAX_HEAD} bytes"),
            Self::LineEnd => f.write_str("a line of the request's head does not end in CR LF"),
            Self::Hosts { hosts } => write!(f, "the request has {hosts} Host fields, it must have one"),
            Self::Content => {
                f.write_str("CONNECT has no content: Content-Length and Transfer-Encoding are refused")
            }
            Self::Target(error) => write!(f, "the target of CONNECT is not host:port: {error}"),
            Self::Url(error) => error.fmt(f),
            Self::Framing(error) => error.fmt(f),
            Self::Trace => f.write_str("TRACE is not sent on"),
        }
    }
}

impl std::error::Error for HeadError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<Head>, HeadError> {
        parse(text.as_bytes())
    }

    #[test]
    fn a_head_is_read_to_its_end_and_no_further() {
        let head = "CONNECT KMS.example:443 HTTP/1.1\r\nHost: other.example\r\nX: 1\r\n\r\n";
        let request = Request::Connect { destination: "kms.example:443".parse().unwrap(), trace: None };
        let expected = Head { request, head_len: head.len() };
        assert_eq!(parsed(head), Ok(Some(expected.clone())));
        assert_eq!(parsed(&format!("{head}\u{16}\u{3}\u{1}")), Ok(Some(expected)));
        for end in 0..head.len() {
            assert_eq!(parsed(&head[..end]), Ok(None), "{end} bytes");
        }
        assert!(parsed("CONNECT kms.example:443 HTTP/1.0\r\n\r\n").unwrap().is_some());
    }

    #[test]
    fn a_request_for_a_url_is_taken_apart() {
        let head = "POST http://A.example:8080/p?q HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc";
        let Ok(Some(Head { request: Request::Forward(request), head_len })) = parsed(head) else {
            panic!("{head}")
        };
        assert_eq!(head_len, head.len() - 3);
        assert_eq!((request.method.as_str(), request.version), ("POST", Version::Http11));
        assert_eq!(request.target.destination, "a.example:8080".parse().unwrap());
        assert_eq!(request.target.path, "/p?q");
        assert_eq!(request.framing, Framing::Length(3));
    }

    /// Whatever an application writes there, its tunnel is opened, and nothing of it goes any further.
    #[test]
    fn a_trace_context_is_read_strictly_and_refuses_nothing() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = |fields: &str| {
            let head = format!("CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            match parsed(&head).unwrap().unwrap().request {
                Request::Connect { trace, .. } => trace.map(|trace| trace.to_string()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(read(&format!("TraceParent: {good}\r\ntracestate: a=b\r\n")).as_deref(), Some(good));
        let long = "f".repeat(15_000);
        for bad in ["", "00", &good.to_uppercase(), &good[..54], &format!("{good}-01"), &long, "\u{e9}"] {
            assert_eq!(read(&format!("traceparent: {bad}\r\n")), None, "{bad}");
        }
        assert_eq!(read(&format!("traceparent: {good}\r\ntraceparent: {good}\r\n")), None);
        assert_eq!(read(&format!("tracestate: {long}\r\n")), None);
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
        let many = format!("CONNECT a.example:443 HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(parsed(&many), Err(HeadError::NotHttp(httparse::Error::TooManyHeaders)));
    }
}
