use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// A refusal on the wire: RFC 9457 problem details with a stable `code`.
///
/// It tells the caller what to do next and nothing about the allowlist; the
/// whole chain of reasons stands in the proxy's log under the same request id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The HTTP status, repeated (RFC 9457 section 3.1.3).
    pub status: u16,
    /// Stable and kebab-case; a [`ProblemCode`] or a refusal code of the verifier.
    pub code: Cow<'static, str>,
    /// One sentence for a person.
    pub detail: String,
    /// Finds the decision in the proxy's log.
    pub request_id: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $status:literal;)+) => {
        /// The refusals of the proxy that do not come from the verifier.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $($(#[$doc])+ $name,)+
        }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable word on the wire and in the log.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }
        }
    };
}

codes! {
    /// No such path on this port.
    NotFound = "not-found", 404;
    /// The path exists; the method does not fit it.
    MethodNotAllowed = "method-not-allowed", 405;
    /// The request is not well-formed HTTP, or its body not the message it must be.
    BadRequest = "bad-request", 400;
    /// Head or body over its limit.
    TooLarge = "too-large", 413;
    /// Head or body not complete in time.
    RequestTimeout = "request-timeout", 408;
    /// An attestation without a challenge on this connection, or with one already answered.
    NoChallenge = "no-challenge", 409;
    /// The challenge was asked for more than ten seconds ago.
    ChallengeExpired = "challenge-expired", 409;
    /// The client showed no certificate, or one that is not a self-signed P-256 key.
    NoClientKey = "no-client-key", 401;
    /// The sequence number is not greater than the last one of this boot.
    SequenceReplayed = "sequence-replayed", 409;
    /// A session already stands for this key under another boot or workload.
    SessionConflict = "session-conflict", 409;
    /// The measurement was revoked.
    MeasurementRevoked = "measurement-revoked", 403;
    /// The NSM's certificate ends too soon for the shortest lease; ask the NSM again.
    EvidenceEndsSoon = "evidence-ends-soon", 409;
    /// The certificate names no live session: attest (again).
    NoSession = "no-session", 401;
    /// The session's lease lapsed: attest again.
    LeaseLapsed = "lease-lapsed", 401;
    /// An administrator ended the session: attest again.
    SessionEnded = "session-ended", 401;
    /// The session's certificate was made for another key.
    KeyMismatch = "key-mismatch", 401;
    /// The target is no destination.
    BadDestination = "bad-destination", 400;
    /// The workload may not reach this destination.
    DestinationDenied = "destination-denied", 403;
    /// The destination's name leads to an address that must be named to be dialled.
    AddressDenied = "address-denied", 403;
    /// The destination's name does not resolve.
    ResolveFailed = "resolve-failed", 502;
    /// No address of the destination took the connection.
    Unreachable = "unreachable", 502;
    /// The destination did not answer in time.
    ConnectTimeout = "connect-timeout", 504;
    /// The session has as many tunnels as it may have.
    TooManyTunnels = "too-many-tunnels", 429;
    /// The enclave's EC2 instance has as many live sessions as it may have.
    TooManyOfInstance = "too-many-of-instance", 429;
    /// The enclave's EC2 instance attests more often than it may: try again later.
    AttestingTooOften = "attesting-too-often", 429;
    /// The proxy issues no AWS credentials to this workload.
    CredentialsNotOffered = "credentials-not-offered", 403;
    /// AWS gave the proxy no credentials for the session just now: try again later.
    CredentialsUnavailable = "credentials-unavailable", 503;
    /// The proxy holds as much as it can: sessions, connections or requests.
    Overloaded = "overloaded", 503;
    /// The proxy has not seen its store lately and opens nothing new.
    Stale = "stale", 503;
    /// The proxy is stopping: connect to another replica.
    Draining = "draining", 503;
    /// Nothing the caller did.
    Internal = "internal", 500;
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Problem {
    /// A refusal with one of the proxy's own codes.
    pub fn new(code: ProblemCode, detail: impl Into<String>, request_id: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code: Cow::Borrowed(code.as_str()),
            detail: detail.into(),
            request_id: request_id.into(),
        }
    }

    /// The proxy's own code, if it is one.
    pub fn known(&self) -> Option<ProblemCode> {
        ProblemCode::ALL.iter().copied().find(|code| code.as_str() == self.code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, code, detail, request_id } = self;
        write!(f, "{detail} ({code}, HTTP {status}, request {request_id})")
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_kebab_case() {
        let mut seen = std::collections::HashSet::new();
        for code in ProblemCode::ALL {
            assert!(seen.insert(code.as_str()), "{code} stands twice");
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
            assert!((400..600).contains(&code.status()), "{code}");
        }
    }

    #[test]
    fn a_problem_finds_its_code_again() {
        let problem = Problem::new(ProblemCode::NoSession, "no session", "r1");
        assert_eq!(problem.known(), Some(ProblemCode::NoSession));
        let foreign = Problem { code: "chain-expired".into(), ..problem };
        assert_eq!(foreign.known(), None);
    }
}
