//! What an enclave is told that is given no credentials.

use countersign_protocol::ProblemCode;

use crate::{refusal::Refused, replica::Absent, session::RegisterError};

pub(super) fn over(error: RegisterError) -> Refused {
    Refused::new(error.code(), error.to_string())
}

pub(super) fn absent(absent: Absent) -> Refused {
    match absent {
        Absent::Unknown => Refused::new(ProblemCode::NoSession, "there is no such session: attest"),
        Absent::OtherKey => Refused::new(ProblemCode::KeyMismatch, "the session was given to another key"),
        Absent::Ended(reason) => over(RegisterError::Ended(reason)),
        Absent::NoRoom => {
            Refused::new(ProblemCode::Overloaded, "the proxy has as many sessions as it may have")
        }
        Absent::NotLookedUp => Refused::new(
            ProblemCode::Stale,
            "the proxy could not ask its store about this session: try again",
        ),
    }
}

pub(super) fn not_now() -> Refused {
    Refused::new(ProblemCode::CredentialsUnavailable, UNAVAILABLE)
}

pub(super) const STALE: &str = "the proxy has not seen its store lately: try again";
pub(super) const ADMITS_NO_MORE: &str = "the session's measurement admits no more: attest again";
pub(super) const NOT_OFFERED: &str =
    "the proxy has no AWS role for this workload ([[sts.role]] in its configuration)";
pub(super) const UNAVAILABLE: &str = "AWS gave the proxy no credentials for this session: try again later";
