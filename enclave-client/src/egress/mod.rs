//! The one way out: every entrance (HTTP proxy, transparent listeners, the KMS
//! endpoint) asks here, and nothing else dials for the application.
//!
//! ```text
//!   Destination ──► EgressPolicy::judge ──► peer?   peers/ (attested TLS, over one of the ways below)
//!                                     └──► gated?  pool/ (through the public proxy)
//!                                     └──► outer:   resolve, judge_address, dial that very address
//!                                            Direct      this machine has a network
//!                                            Host(link)  the host half carries the bytes
//! ```

mod connection;
mod cuttable;
mod direct;
mod error;
mod host_link;
mod learn;

use std::{collections::HashMap, sync::Arc};

use countersign_protocol::{Destination, egress::EgressPolicy};
use countersign_telemetry::{Span, names::ROUTE};

use crate::{
    peers::Outbound,
    pool::Pool,
    telemetry::{Telemetry, names},
};

pub use connection::{Connection, Way};
pub(crate) use cuttable::Cuttable;
pub use error::EgressError;
pub use host_link::HostLink;
pub use learn::{Enforcement, Recorder};

/// Everything that may leave, and how.
pub struct Egress {
    policy: EgressPolicy,
    gated: HashMap<Destination, Arc<Pool>>,
    peers: HashMap<Destination, Arc<Outbound>>,
    outer: Outer,
    enforcement: Enforcement,
    telemetry: Telemetry,
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
        let (peers, enforcement, telemetry) = Default::default();
        Self { policy, gated, peers, outer, enforcement, telemetry }
    }

    /// The same, with destinations that are peer enclaves. They too must be allowed by the policy.
    #[must_use]
    pub fn with_peers(self, peers: HashMap<Destination, Arc<Outbound>>) -> Self {
        Self { peers, ..self }
    }

    /// The same, with rules that hold or are being learnt.
    #[must_use]
    pub fn with_enforcement(self, enforcement: Enforcement) -> Self {
        Self { enforcement, ..self }
    }

    /// The same, telling what it does.
    #[must_use]
    pub fn with_telemetry(self, telemetry: Telemetry) -> Self {
        Self { telemetry, ..self }
    }

    /// What everything that leaves here tells by.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The rules in force.
    pub fn policy(&self) -> &EgressPolicy {
        &self.policy
    }

    /// The rules by which [`Egress::open`] decides: while learning, the deny rules alone.
    pub fn in_force(&self) -> &EgressPolicy {
        self.enforcement.for_addresses(&self.policy)
    }

    /// Opens a connection to a destination, if the policy lets it pass.
    ///
    /// # Errors
    /// [`EgressError`]: denied with the rule, not opened, or not reachable.
    pub async fn open(&self, destination: &Destination) -> Result<Connection, EgressError> {
        self.open_under(destination, &mut Span::none()).await
    }

    /// The same, as part of a span: its context goes to whoever carries the bytes on, and what was decided is
    /// noted in it.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub async fn open_under(
        &self,
        destination: &Destination,
        span: &mut Span,
    ) -> Result<Connection, EgressError> {
        let opened = self.judge_and_open(destination, span).await;
        let figures = self.telemetry.figures();
        match opened {
            Ok(way) => Ok(Connection::new(way, figures)),
            Err(why) => {
                if let Some(figures) = figures {
                    figures.tunnels.refused.add(why.word());
                }
                Err(why)
            }
        }
    }

    async fn judge_and_open(&self, destination: &Destination, span: &mut Span) -> Result<Way, EgressError> {
        let judged = self.policy.judge(destination);
        span.set_with(names::RULE, || match &judged {
            Ok(rule) => rule.to_string().into(),
            Err(denial) => denial.to_string().into(),
        });
        self.enforcement
            .settle(destination, judged)
            .map_err(|denial| EgressError::denied(destination, &denial))?;
        if let Some(peer) = self.peers.get(destination) {
            span.set(ROUTE, "enclave");
            let channel = peer.open().await.map_err(EgressError::Peer)?;
            return Ok(Way::Peer(Box::new(channel)));
        }
        span.set(ROUTE, if self.gated.contains_key(destination) { "proxy" } else { "default" });
        self.reach(destination, span).await
    }

    /// The bytes' way to a destination that the policy let pass: what a peer's TLS runs over.
    pub(crate) async fn reach(&self, destination: &Destination, span: &mut Span) -> Result<Way, EgressError> {
        if let Some(pool) = self.gated.get(destination) {
            return pool.open(destination, span).await.map(Way::Tunnel).map_err(EgressError::Gated);
        }
        let policy = self.enforcement.for_addresses(&self.policy);
        match &self.outer {
            Outer::Direct => {
                let (stream, address) = direct::open(destination, policy).await?;
                self.enforcement.connected(destination, address, &self.policy);
                Ok(Way::Plain(stream))
            }
            Outer::Host(link) => {
                let (stream, address) = link.open(destination, policy, span.context()).await?;
                self.enforcement.connected(destination, address, &self.policy);
                Ok(Way::Plain(stream))
            }
        }
    }
}
