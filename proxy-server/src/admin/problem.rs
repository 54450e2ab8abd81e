//! The one conversion from an error to an answer of this port (RFC 9457).
//!
//! The caller is told a stable code, a sentence and the request id. What lies
//! outside the caller's scope is not in it, and what only operators of the
//! machine should read goes to the log under that id.

use std::{borrow::Cow, fmt};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    code::Code,
    identity::{AuthError, Denied, Scope},
};
use crate::store::{ChangeError, StoreError};

/// Why a request was not answered as asked. Rendered once, by [`render`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    code: &'static str,
    status: StatusCode,
    detail: Cow<'static, str>,
    /// Apart, so that results stay small.
    more: Box<More>,
}

/// What few errors have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    field: Option<Cow<'static, str>>,
    known: Vec<String>,
    retry_after: Option<u64>,
    /// Only for the log.
    cause: Option<String>,
}

impl ApiError {
    /// An error whose sentence is all there is to say.
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let (code, status) = (code.as_str(), code.status());
        Self { code, status, detail: detail.into(), more: Box::default() }
    }

    /// What the request says in `field` makes no sense.
    pub(super) fn invalid(field: impl Into<Cow<'static, str>>, reason: impl fmt::Display) -> Self {
        let field = field.into();
        let detail = format!("{field}: {reason}");
        Self::new(Code::Invalid, detail).with(|more| more.field = Some(field))
    }

    /// There is no such thing, or not for this caller: the same words for both.
    pub(super) fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    /// Nothing the caller did; the cause is for the log.
    pub(super) fn internal(cause: impl fmt::Display) -> Self {
        Self::new(Code::Internal, "try again").because(cause)
    }

    /// When to try again, in whole seconds.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        self.with(|more| more.retry_after = Some(seconds.max(1)))
    }

    /// More for the log.
    pub(super) fn because(self, cause: impl fmt::Display) -> Self {
        self.with(|more| more.cause = Some(cause.to_string()))
    }

    fn with(mut self, change: impl FnOnce(&mut More)) -> Self {
        change(&mut self.more);
        self
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether it says nothing of the request: the same may be answered in a while.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// A refused change, as somebody may hear it who sees all workloads.
    pub(super) fn of_change(error: ChangeError) -> Self {
        let detail = error.to_string();
        let of = |code: Code| Self::new(code, detail.clone());
        match error {
            ChangeError::NotFound { what, known } => Self::not_found(what).with(|more| more.known = known),
            ChangeError::Exists { .. } => of(Code::Exists),
            ChangeError::Revision { .. } => of(Code::RevisionMismatch),
            ChangeError::Buried { .. } => of(Code::Buried),
            ChangeError::Overlaps { .. } => of(Code::Overlaps),
            ChangeError::SamePcrs { .. } => of(Code::SamePcrs),
            ChangeError::AlreadyRevoked { .. } => of(Code::AlreadyRevoked),
            ChangeError::NothingWaits { .. } => of(Code::NothingWaits),
            ChangeError::OwnApproval { .. } => of(Code::OwnApproval),
            ChangeError::AlreadyApproved { .. } => of(Code::AlreadyApproved),
            ChangeError::KeptByFile { .. } => of(Code::KeptByFile),
            ChangeError::TooMany { .. } => of(Code::TooMany),
            ChangeError::IdempotencyMismatch { .. } => of(Code::IdempotencyMismatch),
            ChangeError::Invalid { field: "cursor", .. } => of(Code::BadCursor),
            ChangeError::Invalid { field, reason } => Self::invalid(field, reason),
        }
    }

    /// A refused change for somebody who sees some workloads only: a clash with another
    /// team's measurement cannot be hidden, but whose it is can.
    pub(super) fn of_change_for_some(error: ChangeError, sees: impl Fn(&str) -> bool) -> Self {
        let workload = |full: &str| full.split('/').next().unwrap_or_default().to_owned();
        match error {
            ChangeError::NotFound { what, known: _ } => Self::not_found(what),
            ChangeError::Overlaps { other } if !sees(&workload(&other)) => {
                let other = "a measurement".to_owned();
                Self::of_change(ChangeError::Overlaps { other })
            }
            ChangeError::Buried { measurement } if !sees(&workload(&measurement)) => {
                let measurement = "a measurement of another workload".to_owned();
                Self::of_change(ChangeError::Buried { measurement })
            }
            other => Self::of_change(other),
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = Self { code: error.code(), status, ..Self::new(Code::Internal, error.to_string()) };
        let answer = match &error {
            AuthError::TooManyFailures { retry_after } => answer.retry_after(retry_after.as_secs() + 1),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => answer.retry_after(1),
            _ => answer,
        };
        if std::error::Error::source(&error).is_some() {
            return answer.because(crate::log::Chain(&error));
        }
        answer
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let code = match &denied {
            Denied::Role { .. } => Code::RoleMissing,
            Denied::OutsideScope { asked: Scope::Everything } => Code::InstallationWide,
            // The same words as for one that does not exist.
            Denied::OutsideScope { asked: asked @ Scope::Workloads(_) } => {
                return Self::not_found(format_args!("workload {asked}"));
            }
            Denied::Escalation { .. } => Code::Escalation,
            Denied::TooDeep => Code::LineageTooLong,
        };
        Self::new(code, denied.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(error) => Self::of_change(error),
            error @ (StoreError::Open { .. }
            | StoreError::Absent { .. }
            | StoreError::Silent { .. }
            | StoreError::Statement { .. }
            | StoreError::Address { .. }
            | StoreError::Forked { .. }) => {
                Self::new(Code::StoreUnavailable, "the store did not answer: try again")
                    .retry_after(1)
                    .because(crate::log::Chain(&error))
            }
            error @ StoreError::Corrupt { .. } => Self::internal(crate::log::Chain(&error)),
        }
    }
}

/// Handlers answer with the error itself; [`render`] gives it its words, where
/// the request id is known.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Makes the answer that carries a problem, and gives it to the log too.
pub(super) fn render(response: Response, request_id: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let Some(error) = parts.extensions.remove::<ApiError>() else {
        return Response::from_parts(parts, body);
    };
    let ApiError { code, status, detail, more } = error;
    let More { field, known, retry_after, cause } = *more;
    log(code, status, &detail, cause.as_deref(), request_id);
    let problem = Problem {
        status: status.as_u16(),
        code: code.to_owned(),
        detail: detail.into_owned(),
        request_id: request_id.to_owned(),
        field: field.map(Cow::into_owned),
        known,
    };
    // Texts and a number: this always has a JSON form.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    // Headers that the router set (Allow) stay.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(seconds) = retry_after {
        parts.headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if parts.status == StatusCode::UNAUTHORIZED {
        parts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    Response::from_parts(parts, body.into())
}

fn log(code: &str, status: StatusCode, detail: &str, cause: Option<&str>, request_id: &str) {
    if status.is_server_error() {
        tracing::error!(code, request_id, reason = detail, cause, "admin request failed");
    } else {
        tracing::debug!(code, request_id, reason = detail, cause, "admin request refused");
    }
}

/// What went wrong (RFC 9457). The code is stable, the words are not.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The HTTP status, repeated.
    #[schema(minimum = 400, maximum = 599, example = 412)]
    status: u16,
    /// Stable, kebab-case.
    #[schema(pattern = "^[a-z]+(-[a-z]+)*$", example = "revision-mismatch")]
    code: String,
    /// One sentence for a person.
    #[schema(example = "measurement payments/v1 was changed meanwhile: revision 3, not 2")]
    detail: String,
    /// Finds the request in log and audit; the header x-request-id has it too.
    #[schema(pattern = "^[0-9a-f]{16}-[0-9a-f]{1,16}$", example = "5d1f0a9cc4e1b7a2-1f")]
    request_id: String,
    /// Which part of the request is wrong, where it is one part.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "lease.max_seconds")]
    field: Option<String>,
    /// Names that there are instead, where that helps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    known: Vec<String>,
}

/// RFC 9457 section 3.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// RFC 6750 section 3.
const CHALLENGE: &str = "Bearer realm=\"countersign\"";
