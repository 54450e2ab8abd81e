use std::net::SocketAddr;

use countersign_protocol::{Destination, egress::EgressPolicy};

use super::EgressError;
use crate::transport::{Dial, Stream};

/// The way to the host half.
#[derive(Debug)]
pub struct HostLink {
    at: Dial,
}

impl HostLink {
    /// Knows where the host half listens; connects when asked to.
    pub fn new(at: Dial) -> Self {
        Self { at }
    }

    /// Has the host half resolve the name, judges the addresses here, has it dial one of those.
    ///
    /// # Errors
    /// [`EgressError`].
    pub async fn open(
        &self,
        _destination: &Destination,
        _policy: &EgressPolicy,
    ) -> Result<Stream, EgressError> {
        let _ = &self.at;
        Err(EgressError::Deadline)
    }

    /// The addresses that the host half's resolver knows for a destination, with its port;
    /// never none. An address is itself, and nobody is asked.
    ///
    /// # Errors
    /// [`EgressError`].
    pub async fn resolve(&self, _destination: &Destination) -> Result<Vec<SocketAddr>, EgressError> {
        Err(EgressError::Deadline)
    }

    /// Has the host half dial an address that the caller judged.
    ///
    /// # Errors
    /// [`EgressError`].
    pub async fn dial(&self, _address: SocketAddr) -> Result<Stream, EgressError> {
        Err(EgressError::Deadline)
    }
}
