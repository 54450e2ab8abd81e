//! The one way out: every entrance (HTTP proxy, transparent listeners, the KMS
//! endpoint) asks here, and nothing else dials for the application.
//!
//! ```text
//!   Destination ──► EgressPolicy::judge ──► gated?  pool/ (through the public proxy)
//!                                     └──► outer:   resolve, judge_address, dial that very address
//!                                            Direct      this machine has a network
//!                                            Host(link)  the host half carries the bytes
//! ```

mod connection;
mod error;
mod host_link;
mod learn;

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use countersign_protocol::{Destination, Host, egress::EgressPolicy};

use crate::{
    pool::Pool,
    transport::{Address, Dial},
};

pub use connection::Connection;
pub use error::EgressError;
pub use host_link::HostLink;
pub use learn::{Enforcement, Recorder};

/// Everything that may leave, and how.
pub struct Egress {
    policy: EgressPolicy,
    gated: HashMap<Destination, Arc<Pool>>,
    outer: Outer,
    enforcement: Enforcement,
}

/// How an ungated connection leaves.
#[derive(Debug)]
pub enum Outer {
    /// This machine has a network: names are resolved and addresses dialled here.
    Direct,
    /// The host half of the parent machine resolves and dials.
    Host(HostLink),
}

impl Egress {
    /// The gated destinations must be allowed by the policy too: it is asked first.
    pub fn new(policy: EgressPolicy, gated: HashMap<Destination, Arc<Pool>>, outer: Outer) -> Self {
        Self { policy, gated, outer, enforcement: Enforcement::Enforce }
    }

    /// The same, with rules that hold or are being learnt.
    #[must_use]
    pub fn with_enforcement(self, enforcement: Enforcement) -> Self {
        Self { enforcement, ..self }
    }

    /// The rules in force.
    pub fn policy(&self) -> &EgressPolicy {
        &self.policy
    }

    /// Opens a connection to a destination, if the policy lets it pass.
    ///
    /// # Errors
    /// [`EgressError`]: denied with the rule, not opened, or not reachable.
    pub async fn open(&self, destination: &Destination) -> Result<Connection, EgressError> {
        self.enforcement
            .settle(destination, self.policy.judge(destination))
            .map_err(|denial| EgressError::denied(destination, &denial))?;
        if let Some(pool) = self.gated.get(destination) {
            return pool.open(destination).await.map(Connection::Tunnel).map_err(EgressError::Gated);
        }
        match &self.outer {
            Outer::Direct => self.dial(destination).await,
            Outer::Host(link) => link
                .open(destination, self.enforcement.outer_policy(&self.policy))
                .await
                .map(Connection::Plain),
        }
    }

    async fn dial(&self, destination: &Destination) -> Result<Connection, EgressError> {
        let mut last = None;
        for address in self.addresses(destination).await? {
            match Address::Tcp(address).connect().await {
                Ok(stream) => {
                    self.enforcement.dialled(destination, address.ip());
                    return Ok(Connection::Plain(stream));
                }
                Err(why) => last = Some(EgressError::Dial(why)),
            }
        }
        Err(last.unwrap_or(EgressError::NoAddress))
    }

    /// The addresses that may be dialled: those that were judged, and no others.
    async fn addresses(&self, destination: &Destination) -> Result<Vec<SocketAddr>, EgressError> {
        if matches!(destination.host(), Host::Name(name) if &**name == "host") {
            return Ok(vec![(std::net::Ipv4Addr::LOCALHOST, destination.port()).into()]);
        }
        let found = Dial::Tcp(destination.clone()).resolve().await.map_err(EgressError::Dial)?;
        let mut allowed = Vec::new();
        let mut denied = None;
        for address in found {
            let Address::Tcp(address) = address else { continue };
            let judged = self.policy.judge_address(destination, address.ip());
            match self.enforcement.settle_address(destination, address.ip(), judged) {
                Ok(()) => allowed.push(address),
                Err(denial) => denied = Some(EgressError::denied(destination, &denial)),
            }
        }
        match denied {
            Some(denied) if allowed.is_empty() => Err(denied),
            _ => Ok(allowed),
        }
    }
}
