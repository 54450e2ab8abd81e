use std::{io, sync::Arc, time::Duration};

use countersign_protocol::Destination;
use countersign_telemetry::otlp::{Connect, Connecting, Otlp, Stream};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::report::Report;
use crate::egress::{Cuttable, Egress};

/// Sends what is told, beside everything else.
pub(crate) struct Exporter {
    stopping: CancellationToken,
    sending: JoinHandle<()>,
}

impl Exporter {
    /// Starts to send; `report` is read for figures.
    pub(crate) fn start(otlp: Otlp, way: impl Connect, report: Report) -> Self {
        let stopping = CancellationToken::new();
        let sending = tokio::spawn(otlp.run(way, move || report.read(), stopping.clone()));
        Self { stopping, sending }
    }

    /// Sends what is left, for so long at most.
    pub(crate) async fn finish(self, patience: Duration) {
        self.stopping.cancel();
        // What was not sent in time is lost, as all telemetry may be.
        let _ = timeout(patience, self.sending).await;
    }
}

/// The way that the enclave's policy gives a collector, as any other destination: through the host half, or
/// through the public proxy.
pub(crate) struct ThroughEgress {
    pub(crate) egress: Arc<Egress>,
    pub(crate) destination: Destination,
}

impl Connect for ThroughEgress {
    /// Not part of any span: an exporter that traced itself would never end.
    fn connect(&self, _: &str, _: u16) -> Connecting {
        let (egress, destination) = (self.egress.clone(), self.destination.clone());
        Box::pin(async move {
            let connection = egress.open(&destination).await.map_err(io::Error::other)?;
            Ok(Box::new(Cuttable::new(connection)) as Box<dyn Stream>)
        })
    }
}
