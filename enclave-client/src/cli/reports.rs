//! Telemetry of `run`: made before anything is counted, started once there is a way out.

use std::{fmt, sync::Arc};

use countersign_protocol::{Destination, Host, egress::EgressPolicy};
use countersign_telemetry::otlp::{BadSetting, Otlp, Security};
use tokio::sync::watch;
use tracing::{info, warn};

use super::TelemetryOptions;
use crate::{
    attest::Status,
    egress::{Egress, Enforcement},
    telemetry::{CollectorDenied, Exporter, Figures, LateLayer, NamedBy, Report, Telemetry, ThroughEgress},
};

/// What is told, before it is known how it gets out.
pub(super) struct Reports {
    telemetry: Telemetry,
    out: Option<Out>,
}

struct Out {
    otlp: Otlp,
    figures: Arc<Figures>,
    destination: Destination,
    late: LateLayer,
}

impl Reports {
    /// Nothing, if no collector was named; or the policy does not let it out and nobody said on purpose that it
    /// should.
    ///
    /// # Errors
    /// [`ReportsError`].
    pub(super) fn new(
        options: TelemetryOptions,
        policy: &EgressPolicy,
        enforcement: &Enforcement,
        through_host: bool,
    ) -> Result<Self, ReportsError> {
        let TelemetryOptions { collector: Some(collector), late } = options else { return Ok(Self::none()) };
        match (collector.judge(policy, enforcement), collector.named_by()) {
            (Ok(()), _) => {}
            (Err(why), NamedBy::Operator) => return Err(ReportsError::Denied(why)),
            (Err(why), NamedBy::Environment) => {
                warn!(
                    code = "telemetry-denied",
                    "OTEL_EXPORTER_OTLP_ENDPOINT is left to the application: {why}"
                );
                return Ok(Self::none());
            }
        }
        let settings = collector.settings();
        info!(code = "telemetry", collector = %collector.destination(), "traces, metrics and logs go to a collector");
        if through_host && settings.endpoint.security() == Security::Plain {
            warn!(code = "telemetry-plain", "without TLS the host can read what is told: use https");
        }
        let otlp = Otlp::new(settings.clone()).map_err(ReportsError::Setting)?;
        let figures = Arc::new(Figures::default());
        let telemetry = Telemetry::new(otlp.tracer(), Some(figures.clone()));
        let destination = collector.destination().clone();
        Ok(Self { telemetry, out: Some(Out { otlp, figures, destination, late }) })
    }

    fn none() -> Self {
        Self { telemetry: Telemetry::default(), out: None }
    }

    /// For everything that tells.
    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Begins to send, by the way that everything takes.
    pub(super) fn start(
        self,
        egress: &Arc<Egress>,
        sessions: Vec<(Host, watch::Receiver<Status>)>,
    ) -> Option<Exporter> {
        let Out { otlp, figures, destination, late } = self.out?;
        late.set(otlp.layer());
        let report = Report { figures, sessions, counts: otlp.counts() };
        let way = ThroughEgress { egress: egress.clone(), destination };
        Some(Exporter::start(otlp, way, report))
    }
}

/// Why the collector that was named cannot be told.
#[derive(Debug)]
pub enum ReportsError {
    /// The egress policy.
    Denied(CollectorDenied),
    /// Its settings.
    Setting(BadSetting),
}

impl fmt::Display for ReportsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) => why.fmt(f),
            Self::Setting(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for ReportsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Denied(why) => why.source(),
            Self::Setting(why) => why.source(),
        }
    }
}
