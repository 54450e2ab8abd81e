//! The way to an OpenTelemetry collector, where there is one.

use countersign_telemetry::{Counts, Tracer};
use tokio_util::sync::CancellationToken;

use super::Telemetry;
use crate::{config::TelemetryConfig, log};

/// The way to an OpenTelemetry collector; or none, and then nothing is kept for it.
#[derive(Debug, Default)]
pub struct Outlet {
    #[cfg(feature = "otlp")]
    otlp: Option<countersign_telemetry::otlp::Otlp>,
}

impl Outlet {
    /// Nobody is told.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whose spans are told.
    pub fn tracer(&self) -> Tracer {
        #[cfg(feature = "otlp")]
        if let Some(otlp) = &self.otlp {
            return otlp.tracer();
        }
        Tracer::off()
    }

    /// What became of what was told: nothing, where nobody is.
    pub fn counts(&self) -> Counts {
        #[cfg(feature = "otlp")]
        if let Some(otlp) = &self.otlp {
            return otlp.counts();
        }
        Counts::default()
    }

    /// What takes the log's events; `None` where nobody is told of them.
    pub fn log_layer(&self) -> Option<log::Layer> {
        #[cfg(feature = "otlp")]
        if let Some(otlp) = &self.otlp {
            return Some(Box::new(otlp.layer()));
        }
        None
    }
}

#[cfg(feature = "otlp")]
impl Outlet {
    /// As the configuration says, or where it says nothing, OpenTelemetry's variables.
    /// What is wrong with those is told in the log and changes nothing else: an
    /// environment that was written for other programs stops no proxy.
    pub fn new(
        config: &TelemetryConfig,
        variable: impl Fn(&str) -> Option<String>,
    ) -> (Self, Option<String>) {
        use countersign_telemetry::otlp::Otlp;

        let made = config.settings(variable).and_then(|settings| settings.map(Otlp::new).transpose());
        match made {
            Ok(otlp) => (Self { otlp }, None),
            Err(error) => (Self::none(), Some(log::Chain(&error).to_string())),
        }
    }

    /// Tells the collector until `stopping`, then what is left; with figures of `telemetry`,
    /// in the name of this replica.
    pub async fn run(self, telemetry: Telemetry, replica: String, stopping: CancellationToken) {
        use countersign_telemetry::{metrics::of_open_metrics, otlp::TcpConnect};

        let Some(otlp) = self.otlp else { return };
        tracing::info!(code = "telemetry", endpoint = %otlp.endpoint(), "telemetry goes to this collector");
        let figures = move || {
            of_open_metrics(&telemetry.metrics.open_metrics()).unwrap_or_else(|error| {
                tracing::error!(code = "telemetry-not-read", %error, "figures are not told");
                Vec::new()
            })
        };
        otlp.with_attribute("service.instance.id", replica).run(TcpConnect, figures, stopping).await;
    }
}

/// This build knows no collector.
#[cfg(not(feature = "otlp"))]
impl Outlet {
    /// Nobody is told.
    pub fn new(_: &TelemetryConfig, _: impl Fn(&str) -> Option<String>) -> (Self, Option<String>) {
        (Self::none(), None)
    }

    /// Does nothing.
    pub async fn run(self, _: Telemetry, _: String, _: CancellationToken) {}
}
