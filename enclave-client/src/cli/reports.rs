//! Telemetry of `run`: made before anything is counted, started once there is a way out.

use std::{fmt, sync::Arc};

use countersign_protocol::{Destination, Host, egress::EgressPolicy};
use countersign_telemetry::otlp::{BadSetting, Otlp, Security};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{TelemetryOptions, transparent::WayOut};
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
        way_out: WayOut,
    ) -> Result<Self, ReportsError> {
        let TelemetryOptions { collector: Some(collector), late } = options else { return Ok(Self::none()) };
        let settings = collector.settings();
        let readable = way_out == WayOut::Host && settings.endpoint.security() == Security::Plain;
        let judged = match collector.judge(policy, enforcement) {
            Ok(()) if readable && !settings.headers.is_empty() => Err(ReportsError::Exposed),
            judged => judged.map_err(ReportsError::Denied),
        };
        match (judged, collector.named_by()) {
            (Ok(()), _) => {}
            (Err(why), NamedBy::Operator) => return Err(why),
            (Err(why), NamedBy::Environment) => {
                warn!(
                    code = "telemetry-denied",
                    "OTEL_EXPORTER_OTLP_ENDPOINT is left to the application: {why}"
                );
                return Ok(Self::none());
            }
        }
        info!(code = "telemetry", collector = %collector.destination(), "traces, metrics and logs go to a collector");
        if readable {
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
    /// The host could read the headers, which are secrets.
    Exposed,
    /// Its settings.
    Setting(BadSetting),
}

impl fmt::Display for ReportsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) => why.fmt(f),
            Self::Exposed => f.write_str(
                "the collector's headers are secrets, and without TLS the host can read them: name it with https://",
            ),
            Self::Setting(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for ReportsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Denied(why) => why.source(),
            Self::Exposed => None,
            Self::Setting(why) => why.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_protocol::egress::{Action, Rule};
    use countersign_telemetry::otlp::{Endpoint, Headers, Resource, Settings};

    use super::*;
    use crate::telemetry::Collector;

    /// What becomes of a collector that the policy allows.
    fn told(url: &str, headers: &str, by: NamedBy, way_out: WayOut) -> Result<bool, String> {
        let settings = Settings {
            headers: Headers::of_pairs(headers).unwrap(),
            ..Settings::new(Endpoint::parse(url).unwrap(), Resource::new("test", "0"))
        };
        let collector = Collector::new(settings, by).unwrap();
        let rule = Rule::new(Action::Allow, collector.destination().to_string().parse().unwrap(), "test");
        let policy = EgressPolicy::new(vec![rule]).unwrap();
        let late = LateLayer::default();
        let options = TelemetryOptions { collector: Some(collector), late };
        let reports = Reports::new(options, &policy, &Enforcement::Enforce, way_out);
        reports.map(|reports| reports.out.is_some()).map_err(|why| why.to_string())
    }

    #[test]
    fn no_header_goes_where_the_host_could_read_it() {
        let key = "authorization=planted";
        let why = told("http://collector", key, NamedBy::Operator, WayOut::Host).unwrap_err();
        assert!(why.contains("https://") && !why.contains("planted"), "{why}");
        assert_eq!(told("http://collector", key, NamedBy::Environment, WayOut::Host), Ok(false));
        for (url, headers, way_out) in [
            ("https://collector", key, WayOut::Host),
            ("http://collector", "", WayOut::Host),
            ("http://collector", key, WayOut::Direct),
        ] {
            assert_eq!(told(url, headers, NamedBy::Operator, way_out), Ok(true), "{url} {headers}");
        }
    }
}
