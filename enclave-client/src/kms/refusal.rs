use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use serde::Serialize;

use super::{
    AuthorizationError, CredentialError, ObjectError, OperationError, RuleError, SiteError,
    cms::{OpenError, ReadError},
    recipient::RecipientError,
    upstream::SendError,
};
use crate::attest::chain;

/// Why a call got an answer of this endpoint's own, and not KMS's.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Not `POST /`.
    Path,
    /// Too large.
    TooLarge {
        limit: usize,
    },
    /// The body did not come whole.
    Body,
    Operation(OperationError),
    Authorization(AuthorizationError),
    Request(ObjectError),
    /// The caller brought a `Recipient` of its own.
    OwnRecipient,
    Rule(RuleError),
    Credentials(CredentialError),
    Site(SiteError),
    Recipient(Arc<RecipientError>),
    /// A header cannot be signed.
    Unsignable,
    Send(SendError),
    /// A call was answered with plaintext, or an attested one without an envelope.
    NotAttested(&'static str),
    /// The answer is no object as KMS's are.
    Answer(ObjectError),
    Encoding,
    Envelope(ReadError),
    Open(OpenError),
    Deadline,
    /// The program is stopping.
    Gone,
}

impl Refusal {
    /// As KMS would write it. A 4xx is final to an SDK; a 5xx is tried again.
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        #[derive(Serialize)]
        struct Body {
            __type: &'static str,
            message: String,
        }
        let (status, code) = self.status_and_code();
        let body = Body { __type: code, message: format!("countersign: {self}") };
        let mut response = Response::new(Full::new(serde_json::to_vec(&body).unwrap_or_default().into()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(super::exchange::JSON));
        response
    }

    pub(super) fn status_and_code(&self) -> (StatusCode, &'static str) {
        let (bad, busy) = (StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE);
        match self {
            Self::Path => (StatusCode::NOT_FOUND, "UnknownOperationException"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException"),
            Self::Operation(_) => (bad, "UnknownOperationException"),
            Self::Authorization(why) => (bad, why.code()),
            Self::Body | Self::Request(_) | Self::Unsignable => (bad, "SerializationException"),
            Self::OwnRecipient | Self::Site(_) => (bad, "ValidationException"),
            Self::Rule(_) => (bad, "AccessDeniedException"),
            Self::NotAttested(_) => (bad, "PlaintextRefusedException"),
            Self::Answer(_) | Self::Encoding | Self::Envelope(_) | Self::Open(_) => {
                (bad, "EnvelopeRefusedException")
            }
            Self::Credentials(_) | Self::Recipient(_) | Self::Send(_) | Self::Gone => {
                (busy, "KMSInternalException")
            }
            Self::Deadline => (busy, "DependencyTimeoutException"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("KMS is asked with POST /"),
            Self::TooLarge { limit } => write!(f, "the request has more than {limit} bytes"),
            Self::Body => f.write_str("the request did not come whole"),
            Self::Operation(why) => why.fmt(f),
            Self::Authorization(why) => why.fmt(f),
            Self::Request(why) => write!(f, "the request: {why}"),
            Self::OwnRecipient => f.write_str("this endpoint adds Recipient itself: leave it out"),
            Self::Rule(why) => why.fmt(f),
            Self::Credentials(why) => why.fmt(f),
            Self::Site(why) => why.fmt(f),
            Self::Recipient(why) => write!(f, "no attestation document: {why}"),
            Self::Unsignable => f.write_str("a header cannot be signed"),
            Self::Send(why) => f.write_str(&chain(why)),
            Self::NotAttested(why) => write!(f, "the answer {why}"),
            Self::Answer(why) => write!(f, "the answer: {why}"),
            Self::Encoding => f.write_str("the answer: CiphertextForRecipient is not base64"),
            Self::Envelope(why) => write!(f, "CiphertextForRecipient: {why}"),
            Self::Open(why) => write!(f, "CiphertextForRecipient: {why}"),
            Self::Deadline => f.write_str("KMS did not answer in time"),
            Self::Gone => f.write_str("the program is stopping"),
        }
    }
}
