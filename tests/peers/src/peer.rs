//! The competitors, each called the way its documentation says.

mod attestation_doc_validation;
mod nitro_attest;
mod nsm_utils;
#[cfg(feature = "qos")]
mod qos;
mod ttk;

use std::str::FromStr;

use crate::clock::Clock;

/// One verification of a document given as bytes. Errors are the peer's own words.
pub(crate) type Verifier = Box<dyn Fn(&[u8]) -> Result<(), String>>;

/// A competitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    AttestationDocValidation,
    NitroAttest,
    NsmUtils,
    #[cfg(feature = "qos")]
    Qos,
    Ttk,
}

impl Peer {
    pub(crate) const ALL: &[Self] = &[
        Self::AttestationDocValidation,
        Self::NitroAttest,
        Self::NsmUtils,
        #[cfg(feature = "qos")]
        Self::Qos,
        Self::Ttk,
    ];

    /// The name on the command line and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AttestationDocValidation => "attestation-doc-validation",
            Self::NitroAttest => "nitro_attest",
            Self::NsmUtils => "nsm-nitro-enclave-utils",
            #[cfg(feature = "qos")]
            Self::Qos => "qos_nsm",
            Self::Ttk => "ttkserver",
        }
    }

    /// The name on crates.io.
    pub(crate) fn crate_name(self) -> &'static str {
        match self {
            Self::Ttk => "TTKServer",
            other => other.name(),
        }
    }

    /// Where the peer takes the time of verification from.
    pub(crate) fn clock(self) -> Clock {
        match self {
            Self::AttestationDocValidation => Clock::Process,
            _ => Clock::Argument,
        }
    }

    /// Prepares verification at `at_ms` milliseconds since 1970. What a user would do once at start
    /// (decode the root certificate, build a trust store) is done here, outside the measured loop.
    ///
    /// # Errors
    /// Fails when the time or the peer's own root certificate cannot be used.
    pub(crate) fn verifier(self, at_ms: u64) -> Result<Verifier, String> {
        match self {
            Self::AttestationDocValidation => Ok(attestation_doc_validation::verifier()),
            Self::NitroAttest => nitro_attest::verifier(at_ms),
            Self::NsmUtils => Ok(nsm_utils::verifier(at_ms)),
            #[cfg(feature = "qos")]
            Self::Qos => qos::verifier(at_ms),
            Self::Ttk => Ok(ttk::verifier(at_ms)),
        }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|peer| peer.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|peer| peer.name()).collect();
            format!("unknown peer {name:?}, expected one of {}", known.join(", "))
        })
    }
}
