use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use countersign_protocol::{Destination, DestinationError, Host};
use countersign_telemetry::TraceContext;

use super::{Addresses, AddressesError, Answer, MIN_ANSWER};

/// What the enclave asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `GET /v1/resolve?destination=name:port`: the addresses of a name. The
    /// port is asked too, so that a name is looked up only for whoever may reach it.
    Resolve(Destination),
    /// `GET /v1/trunk`: from here on a trunk, each of whose lanes carries what a connection does.
    Trunk,
    /// `CONNECT host:port`: a connection.
    Connect {
        /// Where to.
        destination: Destination,
        /// Which addresses may be dialled for it.
        accepted: Accepted,
        /// The span that it is part of (`traceparent`), where there is one.
        trace: Option<TraceContext>,
    },
}

/// What a `CONNECT` may dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// For a name: those that the enclave's policy let pass (`Countersign-Addresses`).
    These(Addresses),
    /// For an address literal, and for the word `host`: itself.
    Itself,
}

/// The largest head of either side, in bytes.
pub const MAX_HEAD: usize = 8 * 1024;

impl Request {
    /// Reads a head from the start of `bytes`, with its length; `None` while it
    /// is incomplete. As strict as the enclave's own proxy (decision 0033):
    /// line ends are CR LF, one `Host`, no framing for content.
    ///
    /// # Errors
    /// [`RequestError`], as soon as it is certain.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, RequestError> {
        // RFC 9112 section 2.2 lets a server skip empty lines before a request; nobody here sends one.
        if bytes.first().is_some_and(|first| !first.is_ascii_uppercase()) {
            return Err(RequestError::NotHttp(httparse::Error::Token));
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let len = match request.parse(bytes).map_err(RequestError::NotHttp)? {
            httparse::Status::Complete(len) if len <= MAX_HEAD => len,
            httparse::Status::Partial if bytes.len() < MAX_HEAD => return Ok(None),
            _ => return Err(RequestError::TooLong),
        };
        if !ends_in_crlf_only(&bytes[..len]) {
            return Err(RequestError::LineEnd);
        }
        let fields = Fields(request.headers);
        if request.version != Some(1) || fields.all("host").count() != 1 {
            return Err(RequestError::Host);
        }
        if fields.all("content-length").chain(fields.all("transfer-encoding")).next().is_some() {
            return Err(RequestError::Content);
        }
        let target = request.path.unwrap_or_default();
        let request = match request.method {
            Some("CONNECT") => Self::connect(target, &fields)?,
            Some("GET") if target == TRUNK => Self::trunk(&fields)?,
            Some("GET") => Self::resolve(target, &fields)?,
            _ => return Err(RequestError::Method),
        };
        Ok(Some((request, len)))
    }

    fn connect(target: &str, fields: &Fields<'_>) -> Result<Self, RequestError> {
        let destination: Destination = target.parse().map_err(RequestError::Destination)?;
        let accepted = match (destination.host().is_resolved(), fields.addresses()?) {
            (true, Some(addresses)) => Accepted::These(addresses),
            (false, None) => Accepted::Itself,
            (true, None) => return Err(RequestError::AddressesMissing),
            (false, Some(_)) => return Err(RequestError::AddressesUnasked),
        };
        Ok(Self::Connect { destination, accepted, trace: fields.trace() })
    }

    fn trunk(fields: &Fields<'_>) -> Result<Self, RequestError> {
        let one = |name, word: &str| {
            let mut values = fields.all(name);
            values.next().is_some_and(|value| value.eq_ignore_ascii_case(word.as_bytes()))
                && values.next().is_none()
        };
        if one("upgrade", UPGRADE) && one("connection", "upgrade") {
            Ok(Self::Trunk)
        } else {
            Err(RequestError::Upgrade)
        }
    }

    fn resolve(target: &str, fields: &Fields<'_>) -> Result<Self, RequestError> {
        let destination = target.strip_prefix(RESOLVE).ok_or(RequestError::NoSuchPath)?;
        let destination: Destination = destination.parse().map_err(RequestError::Destination)?;
        if fields.addresses()?.is_some() || !destination.host().is_resolved() {
            return Err(RequestError::AddressesUnasked);
        }
        Ok(Self::Resolve(destination))
    }
}

impl Request {
    /// Length of the shortest answer that lets bytes follow. A reader may take so many bytes at once
    /// without taking any of those.
    pub fn shortest_answer(&self) -> usize {
        let of = |address: &IpAddr| Answer::Connected(*address).encode().len();
        let connected = match self {
            Self::Resolve(_) => None,
            Self::Trunk => Some(Answer::Trunk.encode().len()),
            Self::Connect { accepted: Accepted::These(these), .. } => these.as_slice().iter().map(of).min(),
            Self::Connect { destination, accepted: Accepted::Itself, .. } => Some(match destination.host() {
                Host::Address(address) => of(address),
                Host::Name(_) => of(&Ipv4Addr::LOCALHOST.into()),
            }),
        };
        connected.unwrap_or(MIN_ANSWER)
    }
}

/// The head as bytes.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(destination) => {
                write!(f, "GET {RESOLVE}{destination} HTTP/1.1\r\nHost: {destination}\r\n\r\n")
            }
            Self::Trunk => write!(
                f,
                "GET {TRUNK} HTTP/1.1\r\nHost: host\r\nConnection: Upgrade\r\nUpgrade: {UPGRADE}\r\n\r\n"
            ),
            Self::Connect { destination, accepted, trace } => {
                write!(f, "CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n")?;
                if let Accepted::These(addresses) = accepted {
                    write!(f, "{ADDRESSES}: {addresses}\r\n")?;
                }
                if let Some(trace) = trace {
                    write!(f, "{}: {trace}\r\n", TraceContext::HEADER)?;
                }
                f.write_str("\r\n")
            }
        }
    }
}

struct Fields<'a>(&'a [httparse::Header<'a>]);

impl Fields<'_> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// A trace context that is none changes nothing but what is told of the request.
    fn trace(&self) -> Option<TraceContext> {
        TraceContext::of_headers(self.all(TraceContext::HEADER))
    }

    fn addresses(&self) -> Result<Option<Addresses>, RequestError> {
        let mut values = self.all(ADDRESSES);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(RequestError::Addresses(AddressesError::Twice));
        }
        let text = std::str::from_utf8(value).map_err(|_| AddressesError::NoAddress);
        text.and_then(str::parse).map(Some).map_err(RequestError::Addresses)
    }
}

/// httparse takes a bare LF for a line end; here it is none (RFC 9112 section 2.2).
pub(super) fn ends_in_crlf_only(head: &[u8]) -> bool {
    let feeds = head.iter().filter(|byte| **byte == b'\n').count();
    let returns = head.iter().filter(|byte| **byte == b'\r').count();
    let ends = head.windows(2).filter(|pair| *pair == b"\r\n").count();
    feeds == ends && returns == ends
}

const TRUNK: &str = "/v1/trunk";

/// What a connection becomes (RFC 9110 section 7.8).
pub(super) const UPGRADE: &str = "countersign-trunk/1";

const RESOLVE: &str = "/v1/resolve?destination=";

const ADDRESSES: &str = "Countersign-Addresses";

const MAX_HEADERS: usize = 16;

/// Why a head is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Not HTTP/1.
    NotHttp(httparse::Error),
    /// Over [`MAX_HEAD`].
    TooLong,
    /// A CR or LF that stands alone.
    LineEnd,
    /// Not HTTP/1.1 with one `Host`.
    Host,
    /// `Content-Length` or `Transfer-Encoding`.
    Content,
    /// Neither `CONNECT` nor `GET`.
    Method,
    /// A trunk is asked for without the fields that go with it.
    Upgrade,
    /// `GET` of something else.
    NoSuchPath,
    /// The target is no host and port.
    Destination(DestinationError),
    /// `Countersign-Addresses` is no list of addresses, or stands there twice.
    Addresses(AddressesError),
    /// `CONNECT` to a name without the addresses that the enclave accepts for it.
    AddressesMissing,
    /// Addresses for what is not resolved, or a question for those.
    AddressesUnasked,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp(why) => write!(f, "this is no HTTP/1.1 request: {why}"),
            Self::TooLong => write!(f, "the request's head is longer than {MAX_HEAD} bytes"),
            Self::LineEnd => f.write_str("a line of the request's head does not end in CR LF"),
            Self::Host => f.write_str("the request needs HTTP/1.1 and one Host field"),
            Self::Content => f.write_str("a request to the host half has no content"),
            Self::Method => f.write_str("the host half takes CONNECT, and GET of /v1/resolve and /v1/trunk"),
            Self::Upgrade => write!(f, "GET {TRUNK} needs Connection: Upgrade and Upgrade: {UPGRADE}"),
            Self::NoSuchPath => {
                write!(f, "no such path: the host half answers GET {RESOLVE}name:port and {TRUNK}")
            }
            Self::Destination(why) => write!(f, "the target is no destination: {why}"),
            Self::Addresses(why) => write!(f, "{ADDRESSES}: {why}"),
            Self::AddressesMissing => {
                write!(f, "CONNECT to a name needs the addresses that are accepted for it ({ADDRESSES})")
            }
            Self::AddressesUnasked => {
                f.write_str("an address, and the word host, are not resolved: they take no list of addresses")
            }
        }
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<(Request, usize)>, RequestError> {
        Request::parse(text.as_bytes())
    }

    #[test]
    fn what_is_written_is_read() {
        for (destination, accepted) in [
            ("kms.example:443", Accepted::These("192.0.2.1, 2001:db8::1".parse().unwrap())),
            ("192.0.2.1:443", Accepted::Itself),
            ("[2001:db8::1]:443", Accepted::Itself),
            ("host:8080", Accepted::Itself),
        ] {
            let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok();
            let request = Request::Connect { destination: destination.parse().unwrap(), accepted, trace };
            let text = request.to_string();
            assert_eq!(parsed(&text), Ok(Some((request.clone(), text.len()))));
            assert_eq!(parsed(&format!("{text}\u{16}\u{3}\u{1}")), Ok(Some((request, text.len()))));
            for end in 0..text.len() {
                assert_eq!(parsed(&text[..end]), Ok(None), "{end} bytes of {text:?}");
            }
        }
        let request = Request::Resolve("kms.example:443".parse().unwrap());
        let text = request.to_string();
        assert_eq!(
            text,
            "GET /v1/resolve?destination=kms.example:443 HTTP/1.1\r\nHost: kms.example:443\r\n\r\n"
        );
        assert_eq!(parsed(&text), Ok(Some((request, text.len()))));
        let text = Request::Trunk.to_string();
        assert_eq!(parsed(&text), Ok(Some((Request::Trunk, text.len()))));
    }

    #[test]
    fn no_answer_that_lets_bytes_follow_is_shorter() {
        for (destination, accepted, address) in [
            ("kms.example:443", Accepted::These("2001:db8::1, 192.0.2.1".parse().unwrap()), "192.0.2.1"),
            ("192.0.2.1:443", Accepted::Itself, "192.0.2.1"),
            ("[2001:db8::1]:443", Accepted::Itself, "2001:db8::1"),
            ("host:8080", Accepted::Itself, "127.0.0.1"),
        ] {
            let destination = destination.parse().unwrap();
            let request = Request::Connect { destination, accepted, trace: None };
            let answer = format!("HTTP/1.1 200 OK\r\nCountersign-Address: {address}\r\n\r\n");
            assert_eq!(request.shortest_answer(), answer.len(), "{request}");
        }
    }

    #[test]
    fn anything_else_says_why() {
        use RequestError::*;
        for (head, error) in [
            ("\r\nCONNECT a.b:1 HTTP/1.1\r\nHost: a\r\n\r\n", NotHttp(httparse::Error::Token)),
            ("\u{16}\u{3}\u{1}", NotHttp(httparse::Error::Token)),
            ("CONNECT a.b:1 HTTP/1.1\nHost: a\n\n", LineEnd),
            ("CONNECT 192.0.2.1:1 HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", LineEnd),
            ("CONNECT a.b:1 HTTP/1.0\r\nHost: a\r\n\r\n", Host),
            ("CONNECT a.b:1 HTTP/1.1\r\n\r\n", Host),
            ("CONNECT a.b:1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Host),
            ("CONNECT a.b:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Content),
            ("CONNECT a.b:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Content),
            ("POST /v1/resolve HTTP/1.1\r\nHost: a\r\n\r\n", Method),
            ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", NoSuchPath),
            ("GET /v1/trunk HTTP/1.1\r\nHost: a\r\n\r\n", Upgrade),
            ("GET /v1/trunk HTTP/1.1\r\nHost: a\r\nUpgrade: countersign-trunk/1\r\n\r\n", Upgrade),
            (
                "GET /v1/trunk HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                Upgrade,
            ),
            (
                "GET /v1/trunk HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: countersign-trunk/1\r\nUpgrade: h2c\r\n\r\n",
                Upgrade,
            ),
            ("GET http://a/v1/resolve?destination=a.b:1 HTTP/1.1\r\nHost: a\r\n\r\n", NoSuchPath),
            ("CONNECT a.b HTTP/1.1\r\nHost: a\r\n\r\n", Destination(DestinationError::MissingPort)),
            ("CONNECT *.b:1 HTTP/1.1\r\nHost: a\r\n\r\n", Destination(DestinationError::BadName)),
            ("CONNECT a.b:1 HTTP/1.1\r\nHost: a\r\n\r\n", AddressesMissing),
            (
                "CONNECT a.b:1 HTTP/1.1\r\nHost: a\r\nCountersign-Addresses:\r\n\r\n",
                Addresses(AddressesError::NoAddress),
            ),
            (
                "CONNECT a.b:1 HTTP/1.1\r\nHost: a\r\nCountersign-Addresses: 192.0.2.1\r\ncountersign-addresses: 192.0.2.2\r\n\r\n",
                Addresses(AddressesError::Twice),
            ),
            (
                "CONNECT 192.0.2.1:1 HTTP/1.1\r\nHost: a\r\nCountersign-Addresses: 192.0.2.2\r\n\r\n",
                AddressesUnasked,
            ),
            (
                "CONNECT host:1 HTTP/1.1\r\nHost: a\r\nCountersign-Addresses: 192.0.2.2\r\n\r\n",
                AddressesUnasked,
            ),
            ("GET /v1/resolve?destination=192.0.2.1:1 HTTP/1.1\r\nHost: a\r\n\r\n", AddressesUnasked),
            ("GET /v1/resolve?destination=0x7f.1:1 HTTP/1.1\r\nHost: a\r\n\r\n", AddressesUnasked),
            ("GET /v1/resolve?destination=HOST.:1 HTTP/1.1\r\nHost: a\r\n\r\n", AddressesUnasked),
        ] {
            assert_eq!(parsed(head), Err(error), "{head:?}");
        }
    }

    /// Whatever stands in `traceparent`: the request is the same, and nothing of it goes any further.
    #[test]
    fn a_trace_context_that_is_none_is_left_out() {
        let plain = "CONNECT host:1 HTTP/1.1\r\nHost: a\r\n";
        let none = parsed(&format!("{plain}\r\n")).unwrap().unwrap().0;
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let huge = "0".repeat(7000);
        for bad in ["", "x", "00-0-0-01", &good.to_uppercase(), &good[1..], &huge] {
            let head = format!("{plain}Traceparent: {bad}\r\n\r\n");
            assert_eq!(parsed(&head).unwrap().unwrap().0, none, "{bad}");
        }
        let twice = format!("{plain}traceparent: {good}\r\nTraceParent: {good}\r\n\r\n");
        assert_eq!(parsed(&twice).unwrap().unwrap().0, none);
        let once = format!("{plain}TraceParent: {good}\r\ntracestate: a=b\r\n\r\n");
        let Request::Connect { trace: Some(trace), .. } = parsed(&once).unwrap().unwrap().0 else {
            panic!("{once}")
        };
        assert_eq!(trace.to_string(), good);
    }

    #[test]
    fn the_head_is_bounded() {
        let prefix = "CONNECT host:1 HTTP/1.1\r\nHost: a\r\nX: ";
        let fill = |len: usize| format!("{prefix}{}", "x".repeat(len - prefix.len()));
        assert_eq!(parsed(&fill(MAX_HEAD - 1)), Ok(None));
        assert_eq!(parsed(&fill(MAX_HEAD)), Err(RequestError::TooLong));
        assert_eq!(parsed(&format!("{}\r\n\r\n", fill(MAX_HEAD - 4))).unwrap().unwrap().1, MAX_HEAD);
        assert_eq!(parsed(&format!("{}\r\n\r\n", fill(MAX_HEAD - 3))), Err(RequestError::TooLong));
        let many = format!("CONNECT host:1 HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(parsed(&many), Err(RequestError::NotHttp(httparse::Error::TooManyHeaders)));
    }
}
