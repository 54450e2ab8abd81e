//! The one conversion from a refusal to an HTTP answer.
//!
//! The caller is told a stable code, a sentence and the request id; what the
//! allowlist holds is not in it. The log has the whole reason under that id.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::rand;
use bytes::Bytes;
use countersign_protocol::{Problem, ProblemCode, wire};
use countersign_verifier::{Refusal, Stage};
use http::{HeaderValue, Response, StatusCode, header};

/// Why something was refused, for both readers: caller and log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By the proxy itself.
    Proxy {
        /// The code.
        code: ProblemCode,
        /// The sentence for the caller.
        detail: Cow<'static, str>,
        /// More for the log, when there is more.
        cause: Option<String>,
    },
    /// By the verifier: the document is not what it must be.
    Document(Refusal),
}

impl Refused {
    /// A refusal whose sentence is all there is to say.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Proxy { code, detail: detail.into(), cause: None }
    }

    /// A refusal with a cause that only the log may hear.
    pub fn because(code: ProblemCode, detail: &'static str, cause: impl fmt::Display) -> Self {
        Self::Proxy { code, detail: Cow::Borrowed(detail), cause: Some(cause.to_string()) }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Proxy { code, .. } => code.as_str(),
            Self::Document(refusal) => refusal.code(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Proxy { code, .. } => code.status(),
            Self::Document(refusal) if refusal.stage() == Stage::Syntax => 400,
            Self::Document(_) => 403,
        }
    }

    /// What the caller is told.
    pub fn problem(&self, request_id: &str) -> Problem {
        let detail = match self {
            Self::Proxy { detail, .. } => detail.to_string(),
            // It names the closest known measurement: that is for the log only.
            Self::Document(Refusal::Appraisal(refusal)) if !is_debug_mode(refusal) => NOT_WANTED.to_owned(),
            Self::Document(refusal) => refusal.to_string(),
        };
        Problem {
            status: self.status(),
            code: Cow::Borrowed(self.code()),
            detail,
            request_id: request_id.to_owned(),
        }
    }
}

/// Everything, for the log.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy { detail, cause: None, .. } => f.write_str(detail),
            Self::Proxy { detail, cause: Some(cause), .. } => write!(f, "{detail}: {cause}"),
            Self::Document(refusal) => refusal.fmt(f),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Document(refusal)
    }
}

/// The answer that carries a problem.
pub fn answer(problem: &Problem) -> Response<Bytes> {
    // A Problem is three texts and a number: it always has a JSON form.
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(wire::PROBLEM_JSON));
    response
}

/// A new request id: which process, and which of its requests.
pub fn request_id() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let process = PROCESS.get_or_init(|| {
        let mut bytes = [0; 8];
        // Without randomness the ids of two processes look alike; nothing rests on them.
        let _ = rand::fill(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    format!("{process:016x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The header that carries the request id.
pub const REQUEST_ID: &str = "x-request-id";

fn is_debug_mode(refusal: &countersign_verifier::AppraisalRefusal) -> bool {
    matches!(refusal, countersign_verifier::AppraisalRefusal::DebugMode)
}

const NOT_WANTED: &str = "the enclave is genuine, and its PCRs are not those of an allowed measurement";

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_verifier::{AppraisalRefusal, Mismatch};

    #[test]
    fn the_caller_does_not_hear_what_the_allowlist_holds() {
        let mismatch = Mismatch { closest: "payments/v7".into(), known: 3, differences: Vec::new() };
        let refused = Refused::Document(AppraisalRefusal::Mismatch(Box::new(mismatch)).into());
        assert!(refused.to_string().contains("payments/v7"), "the log does");
        let problem = refused.problem("r1");
        assert_eq!((problem.status, problem.code.as_ref()), (403, "pcr-mismatch"));
        assert!(!serde_json::to_string(&problem).unwrap().contains("payments"));

        let refused = Refused::because(ProblemCode::Internal, "try again", "disk on fire");
        assert_eq!(refused.to_string(), "try again: disk on fire");
        assert_eq!(refused.problem("r2").detail, "try again");
    }

    #[test]
    fn debug_mode_is_said_in_words() {
        let problem = Refused::Document(AppraisalRefusal::DebugMode.into()).problem("r");
        assert_eq!(problem.code, "debug-mode");
        assert!(problem.detail.contains("debug mode"), "{}", problem.detail);
    }

    #[test]
    fn request_ids_differ() {
        assert_ne!(request_id(), request_id());
    }
}
