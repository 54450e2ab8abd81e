use std::fmt;

use http::StatusCode;
use serde::Deserialize;

use super::Answer;

/// Why the API did not do what it was asked (RFC 9457), for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Refused {
    status: u16,
    code: String,
    detail: String,
    request_id: Option<String>,
    known: Vec<String>,
    retry_after: Option<String>,
    place: WhichPlace,
}

/// What to advise depends on where the API is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhichPlace {
    Server,
    Machine,
}

/// The problem's own words; what they lack, the status has.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    known: Vec<String>,
}

impl Refused {
    pub(super) fn of(answer: &Answer, place: WhichPlace) -> Self {
        let named =
            answer.header("content-type").is_some_and(|kind| kind.starts_with("application/problem+json"));
        let problem: Problem = Some(&answer.body)
            .filter(|_| named)
            .and_then(|body| serde_json::from_slice(body).ok())
            .unwrap_or_default();
        let Problem { code, detail, request_id, known } = problem;
        Self {
            status: answer.status.as_u16(),
            code,
            detail: if detail.is_empty() { foreign(answer) } else { detail },
            request_id: request_id.or_else(|| answer.header("x-request-id").map(str::to_owned)),
            known,
            retry_after: answer.header("retry-after").map(str::to_owned),
            place,
        }
    }

    /// Whether there is no such thing.
    pub(in crate::cli) fn is_absence(&self) -> bool {
        self.code == "not-found"
    }

    /// What to do next.
    fn advice(&self) -> Option<String> {
        let advice = match (self.code.as_str(), self.status) {
            ("no-credentials", _) => NO_CREDENTIALS.to_owned(),
            (_, 401) => BAD_CREDENTIALS.to_owned(),
            ("role-missing" | "installation-wide" | "escalation" | "no-role", _) => {
                "ask somebody with the role, or act on the proxy's machine with --config".to_owned()
            }
            ("revision-mismatch", _) => "look at it again (show) and decide anew".to_owned(),
            ("already-there", _) => "look at it (show); without --if-revision 0 it is changed".to_owned(),
            ("buried", _) => {
                "if that was a mistake: countersign-proxy tombstone lift, with the same PCRs".to_owned()
            }
            ("own-approval", _) => "somebody else approves: any approver or admin but its author".to_owned(),
            ("kept-by-file", _) => {
                "edit the configuration and send SIGHUP to serve; revoking is possible from here".to_owned()
            }
            (_, 429 | 503) if !self.code.is_empty() => {
                let seconds = self.retry_after.as_deref().unwrap_or("some");
                format!("try again in {seconds} s")
            }
            ("internal", _) if self.place == WhichPlace::Server => {
                "the proxy's log has the reason under this request id".to_owned()
            }
            _ => return None,
        };
        Some(advice)
    }
}

/// Something on the way answered and not the API: a load balancer, another service.
fn foreign(answer: &Answer) -> String {
    let reason = answer.status.canonical_reason().unwrap_or("no such status");
    let kind = answer.header("content-type").unwrap_or("nothing");
    if answer.status == StatusCode::UNAUTHORIZED {
        return "these credentials are not accepted".to_owned();
    }
    format!(
        "status {} ({reason}) with {kind} is no answer of the admin API: is this its address?",
        answer.status.as_u16()
    )
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if !self.known.is_empty() && !self.known.iter().all(|name| self.detail.contains(name)) {
            write!(f, "; known: {}", self.known.join(", "))?;
        }
        if !self.code.is_empty() {
            write!(f, " ({}", self.code)?;
            if let Some(id) = &self.request_id {
                write!(f, ", request {id}")?;
            }
            f.write_str(")")?;
        }
        match self.advice() {
            Some(advice) => write!(f, "\n  {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refused {}

const NO_CREDENTIALS: &str = "give a token with COUNTERSIGN_TOKEN_FILE, COUNTERSIGN_TOKEN or --token-file, or sign in \
                              with --client-cert and --client-key;\n  the first token is made on the proxy's machine: \
                              countersign-proxy token create NAME --role admin --config countersign.toml";
const BAD_CREDENTIALS: &str = "get another token from an admin, or make one on the proxy's machine: \
                               countersign-proxy token create NAME --role ROLE --config countersign.toml";

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn said(status: u16, kind: &'static str, body: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", kind.parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        Refused::of(&Answer { status, headers, body: Bytes::from(body) }, WhichPlace::Server).to_string()
    }

    #[test]
    fn a_problem_has_its_code_its_request_and_an_advice() {
        let text = said(
            412,
            "application/problem+json",
            r#"{"code":"revision-mismatch","detail":"measurement payments/v1 was changed meanwhile","request_id":"ab-1"}"#,
        );
        let expected = "measurement payments/v1 was changed meanwhile (revision-mismatch, request ab-1)\n  \
                        look at it again (show) and decide anew";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_401_says_how_to_get_a_token() {
        let text = said(401, "application/problem+json", r#"{"code":"no-credentials","detail":"none came"}"#);
        assert!(text.contains("COUNTERSIGN_TOKEN_FILE") && text.contains("token create"), "{text}");
        assert!(said(401, "text/html", "<h1>").contains("token create"));
    }

    #[test]
    fn known_names_are_told_once() {
        let body = r#"{"code":"not-found","detail":"there is no workload paymens","known":["payments"]}"#;
        let text = said(404, "application/problem+json", body);
        assert_eq!(text, "there is no workload paymens; known: payments (not-found)");
        let body = r#"{"code":"not-found","detail":"there is no x; known: payments","known":["payments"]}"#;
        assert_eq!(said(404, "application/problem+json", body), "there is no x; known: payments (not-found)");
    }

    #[test]
    fn a_stranger_is_told_from_the_api() {
        let text = said(502, "text/html", "<h1>Bad gateway</h1>");
        assert!(
            text.contains("status 502 (Bad Gateway) with text/html is no answer of the admin API"),
            "{text}"
        );
        // A stranger's JSON is not taken for a problem.
        assert!(said(404, "application/json", r#"{"detail":"hello"}"#).contains("status 404"));
    }

    #[test]
    fn what_passes_says_when() {
        let text =
            said(429, "application/problem+json", r#"{"code":"too-many-failures","detail":"too many"}"#);
        assert!(text.ends_with("try again in 7 s"), "{text}");
    }
}
