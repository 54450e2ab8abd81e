use std::{borrow::Cow, error::Error, fmt, io};

use countersign_protocol::{Deployment, Epoch, Problem, message::MessageError};

use crate::{device::DeviceError, telemetry::OTHER, transport::DialError};

/// Why an attestation did not lead to a session.
#[derive(Debug)]
pub enum AttestError {
    /// The proxy's name or address.
    Dial(DialError),
    /// The handshake: the certificate, most of the time.
    Tls(io::Error),
    /// The connection broke, or the answer was no HTTP.
    Http(hyper::Error),
    /// Something was not done in time.
    Deadline {
        /// Handshake, challenge or answer.
        what: &'static str,
    },
    /// The proxy said no, and why.
    Refused(Problem),
    /// The proxy said no in words of its own.
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is larger than any answer can be.
    TooLong,
    /// The answer is no message of the protocol.
    Message(MessageError),
    /// The policy epoch went back.
    EpochWentBack {
        /// Whose.
        deployment: Deployment,
        /// The highest seen.
        seen: Epoch,
        /// What was offered now.
        offered: Epoch,
    },
    /// The proxy is of another installation than the manifest names.
    OtherDeployment {
        /// The one in the manifest.
        expected: Deployment,
        /// What the proxy calls its own.
        actual: Deployment,
    },
    /// One proxy name called itself more deployments than it can be.
    TooManyDeployments,
    /// No document.
    Device(DeviceError),
    /// The granted certificate is for another key, or no certificate.
    ForeignCertificate,
    /// TLS gave no exporter or no server certificate, or its configuration failed.
    TlsState(rustls::Error),
}

/// What to do after a failure, besides waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Another address may do better, at once.
    OtherAddress,
    /// Every address would say the same: wait.
    Wait,
}

impl AttestError {
    /// Stable and kebab-case: the proxy's own word for a refusal, ours for the rest.
    pub fn code(&self) -> &str {
        match self {
            Self::Dial(_) => "proxy-unreachable",
            Self::Tls(_) | Self::TlsState(_) => "proxy-tls-failed",
            Self::Http(_) => "proxy-connection-broke",
            Self::Deadline { .. } => "proxy-timeout",
            Self::Refused(problem) => &problem.code,
            Self::Status { .. } | Self::TooLong | Self::Message(_) | Self::ForeignCertificate => {
                "proxy-answer-invalid"
            }
            Self::EpochWentBack { .. } | Self::TooManyDeployments => "proxy-epoch-suspicious",
            Self::OtherDeployment { .. } => "proxy-deployment-differs",
            Self::Device(_) => "device-failed",
        }
    }

    /// [`Self::code`] for whoever counts: a word, whatever the proxy wrote.
    pub(crate) fn word(&self) -> Cow<'static, str> {
        match self {
            Self::Refused(problem) if is_word(&problem.code) => problem.code.clone(),
            Self::Refused(_) => Cow::Borrowed(OTHER),
            own => Cow::Owned(own.code().to_owned()),
        }
    }

    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            // A policy decision is the deployment's, and a document is not cheap.
            Self::Refused(problem) if problem.status < 500 => Remedy::Wait,
            Self::Device(_) => Remedy::Wait,
            _ => Remedy::OtherAddress,
        }
    }
}

impl fmt::Display for AttestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(_) => f.write_str("the proxy cannot be reached"),
            Self::Tls(_) => f.write_str("TLS handshake with the proxy failed"),
            Self::Http(_) => f.write_str("HTTP exchange with the proxy failed"),
            Self::Deadline { what } => write!(f, "{what} was not done in time"),
            Self::Refused(problem) => write!(f, "the proxy refused: {problem}"),
            Self::Status { status } => {
                write!(f, "the proxy answered HTTP {status} without a problem document")
            }
            Self::TooLong => f.write_str("the proxy's answer is too long"),
            Self::Message(_) => f.write_str("the proxy's answer is no message of the protocol"),
            Self::EpochWentBack { deployment, seen, offered } => {
                write!(f, "epoch of deployment {deployment} went back from {seen} to {offered}")
            }
            Self::OtherDeployment { expected, actual } => {
                write!(f, "the proxy is of deployment {actual}; the manifest names {expected}")
            }
            Self::TooManyDeployments => f.write_str("the proxy calls itself another deployment each time"),
            Self::Device(_) => f.write_str("no attestation document"),
            Self::ForeignCertificate => f.write_str("the granted certificate is not for this enclave's key"),
            Self::TlsState(_) => f.write_str("TLS does not give what the binder needs"),
        }
    }
}

impl Error for AttestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dial(why) => Some(why),
            Self::Tls(why) => Some(why),
            Self::Http(why) => Some(why),
            Self::Message(why) => Some(why),
            Self::Device(why) => Some(why),
            Self::TlsState(why) => Some(why),
            _ => None,
        }
    }
}

/// As codes are: short, lower case, with dashes.
fn is_word(code: &str) -> bool {
    (1..=48).contains(&code.len())
        && code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// An error and all its sources in one line, for the log.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
