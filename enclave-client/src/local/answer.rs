//! What the application is told: one conversion from error to HTTP answer.

use std::{borrow::Cow, io::ErrorKind};

use countersign_protocol::{Problem, ProblemCode, wire};
use http::StatusCode;

use super::HeadError;
use crate::{
    attest::{Trouble, chain},
    egress::EgressError,
    pool::{OpenError, session_is_gone},
    random::request_id,
    transport::DialError,
};

/// The answer that opens a tunnel.
pub(super) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A refusal as bytes. The connection ends with it.
pub(super) fn encode(problem: &Problem) -> Vec<u8> {
    let reason = StatusCode::from_u16(problem.status).ok().and_then(|status| status.canonical_reason());
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let allow = if problem.status == 405 { "Allow: CONNECT\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        problem.status,
        reason.unwrap_or("Refused"),
        wire::PROBLEM_JSON,
        body.len(),
    );
    [head.into_bytes(), body].concat()
}

pub(super) fn bad_head(error: &HeadError) -> Problem {
    let code = match error {
        HeadError::TooLong => ProblemCode::TooLarge,
        HeadError::Method(_) => ProblemCode::MethodNotAllowed,
        HeadError::Target(_) => ProblemCode::BadDestination,
        HeadError::AbsoluteForm => return local(501, "not-supported", error.to_string()),
        HeadError::NotHttp(_) | HeadError::LineEnd | HeadError::Hosts { .. } | HeadError::Content => {
            ProblemCode::BadRequest
        }
    };
    Problem::new(code, error.to_string(), request_id())
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
        EgressError::Deadline => local(504, "host-timeout", error.to_string()),
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
        OpenError::Status { .. } => local(502, "gateway-answer-invalid", error.to_string()),
        OpenError::Gateway(_) => local(502, "gateway-unreachable", error.to_string()),
        OpenError::Deadline => local(504, "gateway-timeout", error.to_string()),
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
        let text = String::from_utf8(encode(&bad_head(&HeadError::Method("GET".to_owned())))).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{head}");
        assert!(head.contains("\r\nAllow: CONNECT\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        let problem: Problem = serde_json::from_str(body).unwrap();
        assert_eq!(problem.detail, "this is a proxy: CONNECT is supported, GET is not");
    }
}
