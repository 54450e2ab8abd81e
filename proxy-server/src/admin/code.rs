//! Every code this port answers with.

use http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:ident;)+) => {
        /// Why a request was not answered as asked, in one stable word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word on the wire, in the log and in `docs/refusals.md`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// What it means, for the OpenAPI document.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

codes! {
    /// The request is not well-formed HTTP.
    BadRequest = "bad-request", BAD_REQUEST;
    /// The body is not JSON.
    BadJson = "bad-json", BAD_REQUEST;
    /// A parameter of the query is unknown, stands twice or has no such value.
    BadQuery = "bad-query", BAD_REQUEST;
    /// If-Match, If-None-Match, Idempotency-Key or Last-Event-ID is not what it must be.
    BadHeader = "bad-header", BAD_REQUEST;
    /// The cursor is none that this list gave.
    BadCursor = "bad-cursor", BAD_REQUEST;
    /// The request comes from a page of another origin.
    ForeignOrigin = "foreign-origin", FORBIDDEN;
    /// None of the caller's roles gives this permission.
    RoleMissing = "role-missing", FORBIDDEN;
    /// This concerns the whole installation; the caller has some workloads only.
    InstallationWide = "installation-wide", FORBIDDEN;
    /// The token asked for would do more than its maker.
    Escalation = "escalation", FORBIDDEN;
    /// Made by a token made by a token: the lineage is as long as it may be.
    LineageTooLong = "token-lineage-too-long", FORBIDDEN;
    /// There is no such thing, or it is not the caller's to see.
    NotFound = "not-found", NOT_FOUND;
    /// The path exists; the method does not fit it.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED;
    /// The body was not complete in time.
    RequestTimeout = "request-timeout", REQUEST_TIMEOUT;
    /// There is one of that name already.
    Exists = "exists", CONFLICT;
    /// These PCRs were revoked: lift the tombstone first.
    Buried = "buried", CONFLICT;
    /// An enclave could match this and a measurement of another workload.
    Overlaps = "overlaps", CONFLICT;
    /// The workload has these PCRs already.
    SamePcrs = "same-pcrs", CONFLICT;
    /// It is revoked already.
    AlreadyRevoked = "already-revoked", CONFLICT;
    /// Nothing of it waits for approval.
    NothingWaits = "nothing-waits", CONFLICT;
    /// Nobody approves what they wrote, or what the maker of their token wrote.
    OwnApproval = "own-approval", CONFLICT;
    /// They approved it before.
    AlreadyApproved = "already-approved", CONFLICT;
    /// The configuration file keeps it: change it there.
    KeptByFile = "kept-by-file", CONFLICT;
    /// A bound of the installation is reached.
    TooMany = "too-many", CONFLICT;
    /// Somebody changed it meanwhile: read it again.
    RevisionMismatch = "revision-mismatch", PRECONDITION_FAILED;
    /// There is one already, and If-None-Match says that there must be none.
    AlreadyThere = "already-there", PRECONDITION_FAILED;
    /// The body is over its limit.
    TooLarge = "too-large", PAYLOAD_TOO_LARGE;
    /// The body is not called application/json.
    NotJson = "not-json", UNSUPPORTED_MEDIA_TYPE;
    /// The body is JSON and does not say what it must.
    Invalid = "invalid", UNPROCESSABLE_ENTITY;
    /// The Idempotency-Key was used for another request.
    IdempotencyMismatch = "idempotency-mismatch", UNPROCESSABLE_ENTITY;
    /// Something that exists is changed with If-Match only, so that nobody overwrites what they have not read.
    PreconditionRequired = "precondition-required", PRECONDITION_REQUIRED;
    /// As many listeners to events as there may be.
    TooManyListeners = "too-many-listeners", TOO_MANY_REQUESTS;
    /// Nothing the caller did.
    Internal = "internal", INTERNAL_SERVER_ERROR;
    /// As many requests under way as there may be.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE;
    /// The answer was not ready in time.
    TooSlow = "too-slow", SERVICE_UNAVAILABLE;
    /// The store did not answer.
    StoreUnavailable = "store-unavailable", SERVICE_UNAVAILABLE;
    /// The proxy has not seen its store lately.
    Stale = "stale", SERVICE_UNAVAILABLE;
    /// The proxy runs and cannot do its work; the sentence says which check fails.
    NotReady = "not-ready", SERVICE_UNAVAILABLE;
    /// The proxy was told to stop, and opens nothing new.
    Draining = "draining", SERVICE_UNAVAILABLE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_kebab_case() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code:?} stands twice");
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code:?}");
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert!(code.meaning().trim().ends_with('.'), "{code:?}");
        }
    }
}
