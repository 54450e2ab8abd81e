//! What the application is told: one conversion from error to HTTP answer.

use std::{borrow::Cow, io::ErrorKind};

use countersign_protocol::{Destination, Problem, ProblemCode, wire};
use http::StatusCode;

use super::{HeadError, content::ContentError, framing::FramingError, target::TargetError};
use crate::{
    attest::{Trouble, chain},
    egress::EgressError,
    host::wire::HostCode,
    peers::PeerError,
    pool::{OpenError, session_is_gone},
    random::request_id,
    transport::DialError,
};

/// The answer that opens a tunnel.
pub(super) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// To `OPTIONS` with `Max-Forwards: 0`, which asks the proxy itself (RFC 9110 section 7.6.2).
pub(super) fn options(then: Then) -> String {
    let close = if then == Then::Close { CLOSE } else { "" };
    format!("HTTP/1.1 204 No Content\r\n{ALLOW}{close}\r\n")
}

/// What becomes of the connection behind an answer of the proxy's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The next request may come.
    Stay,
    /// It ends.
    Close,
}

/// Whether an answer has its content with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum With {
    /// Yes.
    Content,
    /// No: to HEAD (RFC 9110 section 9.3.2).
    HeadOnly,
}

/// A refusal as bytes. The connection ends with it.
pub(super) fn encode(problem: &Problem, with: With) -> Vec<u8> {
    let reason = StatusCode::from_u16(problem.status).ok().and_then(|status| status.canonical_reason());
    let mut body = serde_json::to_vec(problem).unwrap_or_default();
    // For whoever reads it in a terminal.
    body.push(b'\n');
    let allow = if problem.status == 405 { ALLOW } else { "" };
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nProxy-Status: {}\r\n{allow}{CLOSE}\r\n",
        problem.status,
        reason.unwrap_or("Refused"),
        wire::PROBLEM_JSON,
        body.len(),
        proxy_status(problem),
    );
    match with {
        With::Content => [head.into_bytes(), body].concat(),
        With::HeadOnly => head.into_bytes(),
    }
}

const CLOSE: &str = "Connection: close\r\n";

const ALLOW: &str = "Allow: CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n";

/// RFC 9209: what a program or a person sees of a refusal where nothing shows the content, as
/// curl does for CONNECT.
fn proxy_status(problem: &Problem) -> String {
    let error = match &*problem.code {
        "destination-denied" | "egress-rule-set" => "http_request_denied",
        "address-denied" => "destination_ip_prohibited",
        "resolve-failed" => "dns_error",
        "unreachable" => "destination_unavailable",
        "connect-timeout" => "connection_timeout",
        "gateway-timeout" | "host-timeout" => "connection_timeout",
        "gateway-unreachable" | "gateway-answer-invalid" | "host-away" | "host-answer-invalid" => {
            "destination_unavailable"
        }
        "origin-closed" => "connection_terminated",
        "origin-answer-invalid" => "http_protocol_error",
        _ if problem.status < 500 => "http_request_error",
        _ => "proxy_internal_error",
    };
    // A string of RFC 8941 section 3.3.3: printable ASCII, two characters escaped.
    let mut details = String::new();
    for byte in problem.detail.chars().take(MAX_DETAILS) {
        match byte {
            '"' | '\\' => details.extend(['\\', byte]),
            ' '..='~' => details.push(byte),
            _ => details.push('?'),
        }
    }
    format!("{PSEUDONYM}; error={error}; details=\"{details}\"")
}

/// What this proxy calls itself, as in `Via`.
const PSEUDONYM: &str = "countersign";

const MAX_DETAILS: usize = 512;

pub(super) fn bad_head(error: &HeadError) -> Problem {
    let code = match error {
        HeadError::TooLong => ProblemCode::TooLarge,
        HeadError::Trace => ProblemCode::MethodNotAllowed,
        HeadError::Target(_) | HeadError::Url(TargetError::Authority(_)) => ProblemCode::BadDestination,
        HeadError::Url(TargetError::Scheme(_)) | HeadError::Framing(FramingError::UnknownCoding) => {
            return local(501, "not-supported", error.to_string());
        }
        HeadError::NotHttp(_)
        | HeadError::LineEnd
        | HeadError::Hosts { .. }
        | HeadError::Content
        | HeadError::Url(_)
        | HeadError::Framing(_) => ProblemCode::BadRequest,
    };
    Problem::new(code, error.to_string(), request_id())
}

pub(super) fn bad_content(error: ContentError) -> Problem {
    Problem::new(ProblemCode::BadRequest, error.to_string(), request_id())
}

/// The origin took the connection, and gave no answer that can be sent on.
pub(super) fn no_answer(destination: &Destination, error: &hyper::Error) -> Problem {
    let (code, what) = if error.is_parse() {
        ("origin-answer-invalid", "answered with something that is no HTTP/1 answer")
    } else {
        ("origin-closed", "closed the connection before it answered")
    };
    local(502, code, format!("{destination} {what}: {}", chain(error)))
}

/// The origin's answer could be read in two ways.
pub(super) fn two_ends(destination: &Destination) -> Problem {
    let detail = format!("{destination} answered with Content-Length and Transfer-Encoding");
    local(502, "origin-answer-invalid", detail)
}

pub(super) fn slow_head() -> Problem {
    Problem::new(ProblemCode::RequestTimeout, "the request's head did not come in time", request_id())
}

pub(super) fn overloaded(most: usize) -> Problem {
    let detail = format!("the local proxy carries {most} connections already, its limit");
    Problem::new(ProblemCode::Overloaded, detail, request_id())
}

pub(super) fn not_opened(error: &EgressError) -> Problem {
    let known = |code| Problem::new(code, chain(error), request_id());
    match error {
        EgressError::Denied { .. } => known(ProblemCode::DestinationDenied),
        EgressError::Gated(error) => no_tunnel(error),
        EgressError::NoAddress => known(ProblemCode::ResolveFailed),
        EgressError::Dial(DialError::Resolve { .. }) => known(ProblemCode::ResolveFailed),
        EgressError::Dial(DialError::Connect { why, .. }) if why.kind() == ErrorKind::TimedOut => {
            known(ProblemCode::ConnectTimeout)
        }
        EgressError::Dial(DialError::Connect { .. }) => known(ProblemCode::Unreachable),
        EgressError::Host(problem) => problem.clone(),
        EgressError::Deadline => HostCode::HostTimeout.problem(error.to_string()),
        EgressError::Peer(PeerError::Unreachable(why)) => not_opened(why),
        EgressError::Peer(why) => {
            let status = match why {
                PeerError::Deadline { .. } => 504,
                PeerError::Config(_) | PeerError::Device(_) | PeerError::Stopping => 503,
                _ => 502,
            };
            Problem { status, code: Cow::Borrowed(why.code()), detail: chain(why), request_id: request_id() }
        }
    }
}

fn no_tunnel(error: &OpenError) -> Problem {
    match error {
        OpenError::NotAttested(trouble) => not_attested(trouble),
        // 401 would make a client ask its user for a password, and 403 would blame the
        // destination: to the application a session that is gone is a service that is away.
        OpenError::Refused(problem) if problem.known().is_some_and(session_is_gone) => {
            Problem { status: 503, ..problem.clone() }
        }
        OpenError::Refused(problem) => problem.clone(),
        OpenError::Status { .. } | OpenError::Gateway(_) => local(502, error.word(), error.to_string()),
        OpenError::Deadline => local(504, error.word(), error.to_string()),
    }
}

fn not_attested(trouble: &Trouble) -> Problem {
    match trouble {
        Trouble::Failed { code, detail, request_id: id } => Problem {
            status: 503,
            code: Cow::Owned(code.clone()),
            detail: format!("not attested: {detail}"),
            request_id: id.clone().unwrap_or_else(request_id),
        },
        Trouble::Nothing | Trouble::Starting => {
            local(503, "not-attested", format!("not attested: {trouble}"))
        }
    }
}

/// A code that only this side has.
fn local(status: u16, code: &'static str, detail: String) -> Problem {
    Problem { status, code: Cow::Borrowed(code), detail, request_id: request_id() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_status_and_code() {
        let refused = |code| OpenError::Refused(Problem::new(code, "no", "r1"));
        let failed = Trouble::Failed {
            code: "pcr-mismatch".to_owned(),
            detail: "PCR0 is unknown".to_owned(),
            request_id: Some("r9".to_owned()),
        };
        for (error, status, code) in [
            (OpenError::NotAttested(Trouble::Starting), 503, "not-attested"),
            (OpenError::NotAttested(failed), 503, "pcr-mismatch"),
            (refused(ProblemCode::DestinationDenied), 403, "destination-denied"),
            (refused(ProblemCode::Unreachable), 502, "unreachable"),
            (refused(ProblemCode::ConnectTimeout), 504, "connect-timeout"),
            (refused(ProblemCode::NoSession), 503, "no-session"),
            (refused(ProblemCode::MeasurementRevoked), 503, "measurement-revoked"),
            (refused(ProblemCode::TooManyTunnels), 429, "too-many-tunnels"),
            (OpenError::Status { status: 418 }, 502, "gateway-answer-invalid"),
            (OpenError::Gateway("x".to_owned()), 502, "gateway-unreachable"),
            (OpenError::Deadline, 504, "gateway-timeout"),
        ] {
            let problem = no_tunnel(&error);
            assert_eq!((problem.status, &*problem.code), (status, code), "{error}");
        }
    }

    #[test]
    fn an_answer_is_whole() {
        let problem = local(403, "destination-denied", "a.example:80: denied by \"x\" (\u{e9})".to_owned());
        let text = String::from_utf8(encode(&problem, With::Content)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        let status = r#"Proxy-Status: countersign; error=http_request_denied; details="a.example:80: denied by \"x\" (?)""#;
        assert!(head.lines().any(|line| line == status), "{head}");
        assert_eq!(serde_json::from_str::<Problem>(body).unwrap(), problem);
        let head_only = String::from_utf8(encode(&problem, With::HeadOnly)).unwrap();
        assert_eq!(head_only, format!("{head}\r\n\r\n"));
    }
}
