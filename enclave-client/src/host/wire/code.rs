use std::borrow::Cow;

use countersign_protocol::Problem;

use crate::random::request_id;

/// The refusals that only the host half, or the way to it, has. All others are
/// those of the proxy ([`countersign_protocol::ProblemCode`]), with the same meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostCode {
    /// No `EgressRuleSet` on the parent names the destination or its address.
    EgressRuleSet,
    /// None of the addresses that the enclave accepts is one of the name's.
    AddressesDiffer,
    /// Nobody takes connections where the host half should listen. Said inside the enclave.
    HostAway,
    /// The host half answered something that is no answer. Said inside the enclave.
    HostAnswerInvalid,
    /// The host half did not answer in time. Said inside the enclave.
    HostTimeout,
}

impl HostCode {
    /// Every code.
    pub const ALL: [Self; 5] = [
        Self::EgressRuleSet,
        Self::AddressesDiffer,
        Self::HostAway,
        Self::HostAnswerInvalid,
        Self::HostTimeout,
    ];

    /// The stable word on the wire and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EgressRuleSet => "egress-rule-set",
            Self::AddressesDiffer => "addresses-differ",
            Self::HostAway => "host-away",
            Self::HostAnswerInvalid => "host-answer-invalid",
            Self::HostTimeout => "host-timeout",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::EgressRuleSet => 403,
            Self::AddressesDiffer => 409,
            Self::HostAway => 503,
            Self::HostAnswerInvalid => 502,
            Self::HostTimeout => 504,
        }
    }

    /// A refusal with this code, under a new request id.
    pub fn problem(self, detail: impl Into<String>) -> Problem {
        Problem {
            status: self.status(),
            code: Cow::Borrowed(self.as_str()),
            detail: detail.into(),
            request_id: request_id(),
        }
    }

    /// Whether a refusal has this code.
    pub fn is(self, problem: &Problem) -> bool {
        problem.code == self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use countersign_protocol::ProblemCode;

    use super::*;

    #[test]
    fn no_code_is_one_of_the_proxys() {
        for code in HostCode::ALL {
            let taken = ProblemCode::ALL.iter().any(|other| other.as_str() == code.as_str());
            assert!(!taken, "{code:?}");
            assert!(code.is(&code.problem("no")));
        }
    }
}
