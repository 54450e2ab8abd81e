use std::{fmt, io};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Health, ProxyHealth};
use crate::{
    child::ApplicationState,
    device::Device,
    ingress::{self, IngressError, IngressLimits, IngressListen},
    manifest::IngressEntry,
    transport::Listen,
};

/// What a `run` offers to the world outside, and where.
#[derive(Clone, Debug, Default)]
pub struct Inside {
    /// Where ingress ports listen.
    pub ingress: IngressListen,
    /// Where health is asked for; `None`: nowhere.
    pub health: Option<Listen>,
}

impl Inside {
    /// Starts all of it; each part lives in tasks of its own until `stop`.
    ///
    /// # Errors
    /// [`InsideError`]: a port that cannot be listened on, a certificate that cannot be used.
    pub async fn start(
        &self,
        entries: &[IngressEntry],
        device: &Device,
        proxies: Vec<ProxyHealth>,
        application: watch::Receiver<ApplicationState>,
        stop: &CancellationToken,
    ) -> Result<(), InsideError> {
        if let Some(at) = &self.health {
            let failed = |why| InsideError::Health { at: at.clone(), why };
            let listener = at.bind().await.map_err(failed)?;
            info!("health is told at {at}");
            let health = Health { proxies, application, device: device.clone() };
            tokio::spawn(health.serve(listener, stop.clone()));
        }
        ingress::start(entries, &self.ingress, device, IngressLimits::default(), stop)
            .await
            .map_err(InsideError::Ingress)
    }
}

/// What could not be offered.
#[derive(Debug)]
pub enum InsideError {
    /// The health port.
    Health {
        /// Where.
        at: Listen,
        /// What the system said.
        why: io::Error,
    },
    /// An ingress port.
    Ingress(IngressError),
}

impl fmt::Display for InsideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Health { at, .. } => write!(f, "health cannot be told at {at}"),
            Self::Ingress(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for InsideError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Health { why, .. } => Some(why),
            Self::Ingress(why) => why.source(),
        }
    }
}
