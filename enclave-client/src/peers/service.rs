//! All peers of one enclave, as its manifest has them.

use std::{
    collections::HashMap,
    fmt, io,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use countersign_protocol::{Destination, Interval};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    IdentityError, Inbound, InboundLimits, NsmTime, Outbound, Own, PeerIdentity, Place, Site,
    config::{CONFIG_KEY, ConfigSource, ConfigWatch, Verifiers},
};
use crate::{
    attest::{Backoff, chain},
    device::Device,
    egress::Egress,
    ingress::IngressListen,
    manifest::{PeerEntry, PeerPort, PeerSource},
    random::Fraction,
    transport::Listen,
};

/// What is common to all peers: this enclave's key, the time, the roots.
pub struct Service {
    own: Own,
    verifiers: Verifiers,
    /// Where ConfigMaps are mounted.
    config_maps: Arc<Path>,
}

impl Service {
    /// Makes the key and asks the NSM for the time.
    ///
    /// # Errors
    /// [`PeersStartError`].
    pub async fn start(
        device: Device,
        verifiers: Verifiers,
        config_maps: &Path,
        stop: &CancellationToken,
    ) -> Result<Self, PeersStartError> {
        let identity = PeerIdentity::generate().map_err(PeersStartError::Identity)?;
        let own = Own { identity, device, time: Arc::new(NsmTime::default()), stop: stop.clone() };
        // Before anything else: no configuration counts without the time.
        if let Err(why) = own.time.ask(&own.device, &own.identity).await {
            warn!(code = why.code(), "the NSM does not tell the time yet: {}", chain(&why));
        }
        tokio::spawn(keep_time(own.clone()));
        Ok(Self { own, verifiers, config_maps: config_maps.into() })
    }

    /// The ways to the peers of `outboundConnections`, each through `way`.
    pub fn outbound(&self, entries: &[PeerEntry], way: &Weak<Egress>) -> HashMap<Destination, Arc<Outbound>> {
        let route = |entry: &PeerEntry| {
            let PeerEntry { destination, source, interval } = entry;
            let site = self.site(Place::Destination(destination.clone()), source, *interval);
            let route = Outbound::new(destination.clone(), site, self.own.clone(), way.clone());
            (destination.clone(), route)
        };
        entries.iter().map(route).collect()
    }

    /// Listens at the ports of `peers`, each in a task of its own. Returns when all of them listen.
    ///
    /// # Errors
    /// [`PeersStartError::Listen`].
    pub async fn listen(&self, ports: &[PeerPort], listen: &IngressListen) -> Result<(), PeersStartError> {
        let limits = InboundLimits::default();
        for port in ports {
            let PeerPort { listen_port, application_port, source, interval } = port;
            let at = listen.at(*listen_port);
            let failed = |why| PeersStartError::Listen { at: at.clone(), why };
            let listener = at.bind().await.map_err(failed)?;
            info!(code = "peer-listens", "peers are taken at {at}, for 127.0.0.1:{application_port}");
            let site = self.site(Place::Port(listen_port.get()), source, *interval);
            let inbound = Inbound::new(*application_port, site, self.own.clone(), limits.clone());
            tokio::spawn(inbound.serve(listener));
        }
        Ok(())
    }

    fn site(&self, place: Place, source: &PeerSource, interval: Interval) -> Arc<Site> {
        let path = self.config_maps.join(&source.config_map).join(CONFIG_KEY);
        let source = ConfigSource { path, pin: source.pin.clone() };
        let (mut watch, standing) = ConfigWatch::new(source, self.verifiers.clone(), self.own.time.clone());
        watch.look();
        let site = Site::new(place, interval, standing);
        tokio::spawn(watch.run(self.own.stop.clone()));
        tokio::spawn(site.clone().run(self.own.stop.clone()));
        site
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("own", &self.own.identity).finish_non_exhaustive()
    }
}

/// Until the NSM has told the time once, no configuration counts: so it is asked until it does, and again each hour.
async fn keep_time(own: Own) {
    let asking = async {
        let mut backoff = Backoff::default();
        let mut wait = if own.time.now_secs().is_some() { ASK_AGAIN } else { Backoff::FLOOR };
        loop {
            sleep(wait).await;
            wait = match own.time.ask(&own.device, &own.identity).await {
                Ok(()) => {
                    backoff.reset();
                    ASK_AGAIN
                }
                Err(why) => {
                    warn!(code = why.code(), "the NSM does not tell the time: {}", chain(&why));
                    backoff.fail(Fraction::random())
                }
            };
        }
    };
    own.stop.run_until_cancelled(asking).await;
}

/// The monotonic clock is good for longer; an enclave that its host has paused is not.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

/// What could not be set up.
#[derive(Debug)]
pub enum PeersStartError {
    /// The key, or TLS.
    Identity(IdentityError),
    /// A port.
    Listen {
        /// Where.
        at: Listen,
        /// What the system said.
        why: io::Error,
    },
}

impl fmt::Display for PeersStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(_) => f.write_str("this enclave has no key for its peers"),
            Self::Listen { at, .. } => write!(f, "peers cannot be listened for at {at}"),
        }
    }
}

impl std::error::Error for PeersStartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Identity(why) => Some(why),
            Self::Listen { why, .. } => Some(why),
        }
    }
}
