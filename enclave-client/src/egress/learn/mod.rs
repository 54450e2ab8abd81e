//! Learning, for development: what no rule allows passes, and is written down.
//!
//! ```text
//!   judgement ──► Enforcement ──► recorder.rs ──► written.rs: a manifest
//! ```
//!
//! A deny rule holds all the same: somebody has decided it.

mod recorder;
mod written;

use std::{net::IpAddr, sync::Arc};

use countersign_protocol::{
    Destination,
    egress::{Denial, EgressPolicy, Rule},
};

pub use recorder::Recorder;

/// Whether the rules hold.
#[derive(Clone, Debug, Default)]
pub enum Enforcement {
    /// They do.
    #[default]
    Enforce,
    /// What no rule allows passes and is recorded.
    Learn(Arc<Recorder>),
}

impl Enforcement {
    /// What comes of the policy's judgement of a destination.
    pub(crate) fn settle<'p>(
        &self,
        destination: &Destination,
        judged: Result<&Rule, Denial<'p>>,
    ) -> Result<(), Denial<'p>> {
        match self {
            Self::Enforce => judged.map(drop),
            Self::Learn(recorder) => recorder.settle(destination, judged),
        }
    }

    /// The policy for the addresses that a name leads to: while learning, the deny rules alone.
    pub(super) fn for_addresses<'a>(&'a self, policy: &'a EgressPolicy) -> &'a EgressPolicy {
        match self {
            Self::Enforce => policy,
            Self::Learn(recorder) => &recorder.permissive,
        }
    }

    /// Notes an address that somebody has connected to and `policy` would not have allowed. Where the host half
    /// dials, it is the one that it named, of those that were judged here.
    pub(super) fn connected(&self, destination: &Destination, address: IpAddr, policy: &EgressPolicy) {
        if let Self::Learn(recorder) = self
            && destination.host().is_resolved()
            && policy.judge_address(destination, address).is_err()
        {
            recorder.add_address(destination, address);
        }
    }
}

#[cfg(test)]
mod tests;
