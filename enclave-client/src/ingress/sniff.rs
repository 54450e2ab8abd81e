//! Whether the first bytes of a connection ask for the attestation. Pure.
//!
//! Only an HTTP/1.x `GET` whose target is exactly the well-known path (with or
//! without a query) is ours. The first byte that differs decides: everything else
//! belongs to the application, untouched, whatever it is.

use countersign_protocol::ingress::{ATTESTATION_PATH, CallerNonce};

/// What the bytes so far say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet: they could still become either.
    More,
    /// They are the application's.
    Application,
    /// A whole request for the attestation.
    Asked {
        /// Bytes of its head; what follows belongs to the next request.
        head_len: usize,
        /// The challenge.
        nonce: CallerNonce,
        /// Whether the connection goes on after the answer.
        after: After,
    },
    /// A request for it that cannot be answered. The connection ends with that.
    Wrong(String),
}

/// What the caller wants after the answer (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    GoOn,
    Close,
}

/// Judges the first bytes of a connection, or those after an answer.
pub(super) fn judge(bytes: &[u8]) -> Verdict {
    let known = bytes.len().min(START.len());
    if bytes[..known] != START.as_bytes()[..known] {
        return Verdict::Application;
    }
    match bytes.get(START.len()) {
        None => Verdict::More,
        Some(b'?' | b' ') => head(bytes),
        // A longer path is another path.
        Some(_) => Verdict::Application,
    }
}

fn head(bytes: &[u8]) -> Verdict {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head_len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Verdict::More,
        Ok(httparse::Status::Partial) => {
            return Verdict::Wrong(format!("the request's head is longer than {MAX_HEAD} bytes"));
        }
        Err(why) => return Verdict::Wrong(format!("not an HTTP/1.1 request: {why}")),
    };
    let mut after = if request.version == Some(1) { After::GoOn } else { After::Close };
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding")
            || (header.name.eq_ignore_ascii_case("content-length") && header.value != b"0")
        {
            return Verdict::Wrong("a request for the attestation has no body".to_owned());
        }
        if header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close") {
            after = After::Close;
        }
    }
    match nonce(request.path.unwrap_or_default()) {
        Ok(nonce) => Verdict::Asked { head_len, nonce, after },
        Err(why) => Verdict::Wrong(why),
    }
}

/// The query is `nonce=` and nothing else: a word we do not know might mean something to the caller.
fn nonce(target: &str) -> Result<CallerNonce, String> {
    let query = target.strip_prefix(ATTESTATION_PATH).and_then(|rest| rest.strip_prefix('?'));
    let digits = query.and_then(|query| query.strip_prefix("nonce="));
    let digits = digits.ok_or_else(|| {
        format!("ask for {ATTESTATION_PATH}?nonce= and 32 to 128 hexadecimal digits of your own choice")
    })?;
    CallerNonce::from_hex(digits).map_err(|why| why.to_string())
}

/// The longest head that is looked at.
pub(super) const MAX_HEAD: usize = 8 * 1024;

const MAX_HEADERS: usize = 64;

/// Method and path of what is ours; a test holds it to [`ATTESTATION_PATH`].
const START: &str = "GET /.well-known/countersign-attestation";

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "000102030405060708090a0b0c0d0e0f";

    fn asked(more: &str) -> String {
        format!("GET {ATTESTATION_PATH}?nonce={NONCE} HTTP/1.1\r\nHost: in.example\r\n{more}\r\n")
    }

    #[test]
    fn the_start_is_that_of_the_path() {
        assert_eq!(START, format!("GET {ATTESTATION_PATH}"));
    }

    #[test]
    fn every_prefix_of_a_request_waits_for_more() {
        let request = asked("");
        for len in 0..request.len() {
            assert_eq!(judge(&request.as_bytes()[..len]), Verdict::More, "{len}");
        }
        let nonce = CallerNonce::from_hex(NONCE).unwrap();
        let expected = Verdict::Asked { head_len: request.len(), nonce, after: After::GoOn };
        assert_eq!(judge(request.as_bytes()), expected);
        // What follows belongs to somebody else.
        assert_eq!(judge(format!("{request}GET /").as_bytes()), expected);
    }

    #[test]
    fn whatever_else_is_the_applications_at_the_first_byte_that_differs() {
        for bytes in [
            &b"P"[..],
            b"\0",
            b"GET / ",
            b"GET /.well-known/acme",
            b"GET /.well-known/countersign-attestations",
            b"GET /.well-known/countersign-attestation/x",
            b"HEAD /.well-known/countersign-attestation?nonce=00",
            b"get /.well-known/countersign-attestation?nonce=00",
            b"GET  /.well-known/countersign-attestation?nonce=00",
            b"GET https://in.example/.well-known/countersign-attestation?nonce=00",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            assert_eq!(judge(bytes), Verdict::Application, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_request_that_cannot_be_answered_says_why() {
        let wrong = |request: String| match judge(request.as_bytes()) {
            Verdict::Wrong(why) => why,
            other => panic!("{other:?} for {request:?}"),
        };
        let target = |target: &str| wrong(format!("GET {target} HTTP/1.1\r\n\r\n"));
        for query in ["", "?", "?nonce", "?Nonce=00", &format!("?a=b&nonce={NONCE}")] {
            let why = target(&format!("{ATTESTATION_PATH}{query}"));
            assert!(why.starts_with("ask for /.well-known/"), "{why}");
        }
        let with = |more: &str| target(&format!("{ATTESTATION_PATH}?nonce={more}"));
        assert_eq!(with("0011"), "the nonce has 2 bytes; 16 to 64 are possible");
        let not_hex = "the nonce is not written in pairs of hexadecimal digits";
        assert_eq!(with(&format!("{NONCE}&x=1")), not_hex);
        assert_eq!(with("%30%30"), not_hex);
        let body = "a request for the attestation has no body";
        assert_eq!(wrong(asked("Content-Length: 5\r\n")), body);
        assert_eq!(wrong(asked("Transfer-Encoding: chunked\r\n")), body);
        assert!(wrong(asked("bad header\r\n")).starts_with("not an HTTP/1.1 request"));
        let endless = format!("GET {ATTESTATION_PATH}?{}", "x".repeat(MAX_HEAD));
        assert!(wrong(endless).starts_with("the request's head is longer"));
    }

    #[test]
    fn the_caller_may_end_the_connection() {
        let after = |request: &str| match judge(request.as_bytes()) {
            Verdict::Asked { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(&asked("Connection: Close\r\n")), After::Close);
        assert_eq!(after(&asked("Content-Length: 0\r\n")), After::GoOn);
        assert_eq!(after(&asked("").replace("HTTP/1.1", "HTTP/1.0")), After::Close);
    }
}
