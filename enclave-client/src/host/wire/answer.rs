use std::{fmt, net::IpAddr};

use countersign_protocol::{Problem, unmap, wire};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{
    Addresses, MAX_ADDRESSES, MAX_HEAD,
    request::{UPGRADE, ends_in_crlf_only},
};

/// What the host half answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The connection stands; its bytes follow.
    Connected(IpAddr),
    /// The connection is a trunk from here on.
    Trunk,
    /// The addresses of a name.
    Resolved(Resolved),
    /// No. The connection ends with it.
    Refused(Problem),
}

/// The addresses of a name, and how long they may be used without asking again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// One to [`MAX_ADDRESSES`].
    pub addresses: Vec<IpAddr>,
    /// In seconds.
    pub lifetime_seconds: u32,
}

impl Answer {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Connected(address) => {
                format!("HTTP/1.1 200 OK\r\n{ADDRESS}: {address}\r\n\r\n").into_bytes()
            }
            Self::Trunk => format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {UPGRADE}\r\n\r\n"
            )
            .into_bytes(),
            Self::Resolved(resolved) => with_body(200, "application/json", "", resolved),
            Self::Refused(problem) => {
                with_body(problem.status, wire::PROBLEM_JSON, "Connection: close\r\n", problem)
            }
        }
    }
}

fn with_body(status: u16, kind: &str, fields: &str, body: &impl Serialize) -> Vec<u8> {
    let body = serde_json::to_vec(body).unwrap_or_default();
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let reason = reason.unwrap_or("Refused");
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{fields}\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// The head of an answer, before its body is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// 101, or 200 to 599.
    pub status: u16,
    /// Length of the body, at most [`MAX_BODY`].
    pub length: usize,
    /// What was dialled, as the host half has it.
    pub address: Option<IpAddr>,
}

/// The largest body of an answer, in bytes.
pub const MAX_BODY: usize = 4096;

/// The shortest head there can be. A reader may take so many bytes at once
/// without taking any of what follows the head.
pub const MIN_ANSWER: usize = "HTTP/1.1 200 \r\n\r\n".len();

impl AnswerHead {
    /// Reads a whole head, from its first byte to its empty line.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn parse(head: &[u8]) -> Result<Self, AnswerError> {
        if head.len() > MAX_HEAD {
            return Err(AnswerError::TooLong);
        }
        // httparse takes a status line without the space behind the status (RFC 9112 section 4).
        if head.len() < MIN_ANSWER {
            return Err(AnswerError::NotHttp(httparse::Error::Status));
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(head).map_err(AnswerError::NotHttp)? {
            httparse::Status::Complete(len) if len == head.len() && ends_in_crlf_only(head) => {}
            _ => return Err(AnswerError::NotHttp(httparse::Error::NewLine)),
        }
        if response.version != Some(1) {
            return Err(AnswerError::NotHttp(httparse::Error::Version));
        }
        let one = |name: &'static str| {
            let mut values = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some(field), None) => {
                    std::str::from_utf8(field.value).map(Some).or(Err(AnswerError::Field(name)))
                }
                (Some(_), Some(_)) => Err(AnswerError::Field(name)),
            }
        };
        let status = response
            .code
            .filter(|code| *code == 101 || (200..600).contains(code))
            .ok_or(AnswerError::Status)?;
        if one("transfer-encoding")?.is_some() {
            return Err(AnswerError::Field("transfer-encoding"));
        }
        let length =
            one("content-length")?.map_or(Some(0), length).ok_or(AnswerError::Field("content-length"))?;
        let address = one(ADDRESS)?.map(|text| text.parse().map(unmap)).transpose();
        Ok(Self { status, length, address: address.map_err(|_| AnswerError::Field(ADDRESS))? })
    }

    /// The answer to the question for a trunk, of its body.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn trunk(&self, body: &[u8]) -> Result<Answer, AnswerError> {
        match (self.status, self.length) {
            (101, 0) => Ok(Answer::Trunk),
            (101, _) => Err(AnswerError::Field("content-length")),
            _ => self.refused(body),
        }
    }

    /// The answer to a resolve request, of its body.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn resolved(&self, body: &[u8]) -> Result<Answer, AnswerError> {
        if self.status != 200 {
            return self.refused(body);
        }
        let resolved: Resolved = serde_json::from_slice(body).map_err(|_| AnswerError::Body)?;
        let right = (1..=MAX_ADDRESSES).contains(&resolved.addresses.len());
        if right { Ok(Answer::Resolved(resolved)) } else { Err(AnswerError::Body) }
    }

    /// The answer to a `CONNECT`, of its body.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn connected(&self, body: &[u8]) -> Result<Answer, AnswerError> {
        match (self.status, self.address) {
            // A length beside a connection that stands: whose bytes are they (RFC 9110 section 9.3.6)?
            (200, _) if self.length != 0 => Err(AnswerError::Field("content-length")),
            (200, Some(address)) => Ok(Answer::Connected(address)),
            (200, None) => Err(AnswerError::Field(ADDRESS)),
            _ => self.refused(body),
        }
    }

    fn refused(&self, body: &[u8]) -> Result<Answer, AnswerError> {
        let problem: Problem = serde_json::from_slice(body).map_err(|_| AnswerError::Body)?;
        let same = problem.status == self.status && self.status >= 400;
        // What a hostile parent writes here ends in the enclave's log and in its application's answer.
        let plain = |text: &str| !text.chars().any(char::is_control);
        let plain = plain(&problem.code) && plain(&problem.detail) && plain(&problem.request_id);
        if same && plain { Ok(Answer::Refused(problem)) } else { Err(AnswerError::Body) }
    }
}

fn length(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = if digits { text.parse().ok() } else { None };
    length.filter(|&length| length <= MAX_BODY)
}

impl Resolved {
    /// The addresses, in a type that keeps its bounds.
    pub fn addresses(&self) -> Option<Addresses> {
        Addresses::first_of(self.addresses.iter().copied())
    }
}

const ADDRESS: &str = "Countersign-Address";

const MAX_HEADERS: usize = 16;

/// Why an answer is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// Not HTTP/1 with CR LF line ends.
    NotHttp(httparse::Error),
    /// A head over [`MAX_HEAD`].
    TooLong,
    /// Informational but 101, or no status at all.
    Status,
    /// This field is missing, stands there twice, or says nothing that it may say.
    Field(&'static str),
    /// The body is not what goes with the status.
    Body,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp(why) => write!(f, "it is no HTTP/1.1: {why}"),
            Self::TooLong => write!(f, "its head is longer than {MAX_HEAD} bytes"),
            Self::Status => f.write_str("its status is neither 101 nor one from 200 to 599"),
            Self::Field(name) => write!(f, "its field {name} is missing or wrong"),
            Self::Body => f.write_str("its body does not go with its status"),
        }
    }
}

impl std::error::Error for AnswerError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::wire::HostCode;

    fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        bytes.split_at(end)
    }

    #[test]
    fn what_is_written_is_read() {
        let connected = Answer::Connected("2001:db8::1".parse().unwrap());
        let encoded = connected.encode();
        let (head, body) = split(&encoded);
        assert_eq!(AnswerHead::parse(head).unwrap().connected(body), Ok(connected));

        let addresses = vec!["192.0.2.1".parse().unwrap()];
        let resolved = Answer::Resolved(Resolved { addresses, lifetime_seconds: 15 });
        let encoded = resolved.encode();
        let (head, body) = split(&encoded);
        let head = AnswerHead::parse(head).unwrap();
        assert_eq!((head.length, head.resolved(body)), (body.len(), Ok(resolved)));

        let refused = Answer::Refused(HostCode::EgressRuleSet.problem("no"));
        let encoded = refused.encode();
        let (head, body) = split(&encoded);
        let head = AnswerHead::parse(head).unwrap();
        assert_eq!(
            (head.status, head.connected(body), head.resolved(body)),
            (403, Ok(refused.clone()), Ok(refused))
        );
    }

    #[test]
    fn heads_that_are_none() {
        use AnswerError::*;
        for (head, error) in [
            ("SSH-2.0-OpenSSH_9.9\r\n\r\n", NotHttp(httparse::Error::Version)),
            ("HTTP/1.1 200\r\n\r\n", NotHttp(httparse::Error::Status)),
            ("HTTP/1.0 200 OK\r\n\r\n", NotHttp(httparse::Error::Version)),
            ("HTTP/1.1 200 Okay\n\n", NotHttp(httparse::Error::NewLine)),
            ("HTTP/1.1 200 Okay\r\n", NotHttp(httparse::Error::NewLine)),
            ("HTTP/1.1 100 Continue\r\n\r\n", Status),
            ("HTTP/1.1 999 X\r\n\r\n", Status),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n", Field("content-length")),
            ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", Field("content-length")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Field("content-length")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Field("transfer-encoding")),
            ("HTTP/1.1 200 OK\r\nCountersign-Address: localhost\r\n\r\n", Field("Countersign-Address")),
        ] {
            assert_eq!(AnswerHead::parse(head.as_bytes()), Err(error), "{head:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        assert_eq!(AnswerHead::parse(long.as_bytes()), Err(TooLong));
    }

    #[test]
    fn bodies_that_do_not_go_with_their_head() {
        let head = |status| AnswerHead { status, length: 0, address: None };
        let problem = br#"{"status":403,"code":"egress-rule-set","detail":"no","request_id":"r"}"#;
        assert_eq!(head(200).connected(b""), Err(AnswerError::Field("Countersign-Address")));
        assert_eq!(head(502).connected(problem), Err(AnswerError::Body));
        assert_eq!(head(403).connected(b""), Err(AnswerError::Body));
        assert_eq!(head(302).connected(b"{}"), Err(AnswerError::Body));
        let escape = br#"{"status":403,"code":"egress-rule-set","detail":"\u001b[2J","request_id":"r"}"#;
        assert_eq!(head(403).connected(escape), Err(AnswerError::Body));
        let with_length = AnswerHead { length: 3, address: "192.0.2.1".parse().ok(), status: 200 };
        assert_eq!(with_length.connected(b"abc"), Err(AnswerError::Field("content-length")));
        for body in [
            "",
            "[]",
            r#"{"addresses":[],"lifetime_seconds":1}"#,
            r#"{"addresses":["localhost"],"lifetime_seconds":1}"#,
            r#"{"addresses":["192.0.2.1"],"lifetime_seconds":-1}"#,
            r#"{"addresses":["192.0.2.1"],"lifetime_seconds":1,"more":1}"#,
        ] {
            assert_eq!(head(200).resolved(body.as_bytes()), Err(AnswerError::Body), "{body}");
        }
    }
}
