use std::path::Path;

use super::{mistake::Collector, raw::RawTelemetry};

/// Who is told of it all: the collector that the file names. Where it names none,
/// OpenTelemetry's variables may.
#[derive(Clone, Debug, Default)]
pub struct TelemetryConfig {
    #[cfg(feature = "otlp")]
    written: Option<with_otlp::Written>,
}

#[cfg(not(feature = "otlp"))]
pub(super) fn telemetry(raw: Option<RawTelemetry>, _directory: &Path, found: &Collector) -> TelemetryConfig {
    if let Some(RawTelemetry { span, .. }) = raw {
        let message = "this build does not know OpenTelemetry; one with the cargo feature \"otlp\" does";
        found.note(span, "telemetry", message);
    }
    TelemetryConfig::default()
}

#[cfg(feature = "otlp")]
pub(super) fn telemetry(raw: Option<RawTelemetry>, directory: &Path, found: &Collector) -> TelemetryConfig {
    TelemetryConfig { written: raw.map(|raw| with_otlp::written(raw, directory, found)) }
}

#[cfg(feature = "otlp")]
mod with_otlp {
    use std::{ops::RangeInclusive, time::Duration};

    use countersign_telemetry::{
        Ratio,
        otlp::{Anchors, BadSetting, Endpoint, Environment, Headers, Resource, Settings},
    };
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use toml::Spanned;

    use super::{super::files, *};
    use crate::config::limits;

    /// What the table says; all of it may be left out.
    #[derive(Clone, Debug)]
    pub(super) struct Written {
        endpoint: Option<Endpoint>,
        headers: Option<Headers>,
        anchors: Anchors,
        interval: Duration,
        ratio: Ratio,
        service_name: Option<String>,
        attributes: Vec<(String, String)>,
    }

    impl TelemetryConfig {
        /// With what the environment says where the file does not; `None` where neither
        /// names a collector.
        ///
        /// # Errors
        /// A variable that cannot be read.
        pub fn settings(
            &self,
            variable: impl Fn(&str) -> Option<String>,
        ) -> Result<Option<Settings>, BadSetting> {
            let environment = Environment::read(variable)?;
            let Self { written } = self;
            let written = written.clone().unwrap_or_default();
            let Some(endpoint) = written.endpoint.or(environment.endpoint.clone()) else { return Ok(None) };
            let mut resource = environment.resource(Resource::new(SERVICE, env!("CARGO_PKG_VERSION")))?;
            if let Some(name) = written.service_name {
                resource = resource.with("service.name", name);
            }
            for (name, value) in written.attributes {
                resource = resource.with(&name, value);
            }
            Ok(Some(Settings {
                endpoint,
                headers: written.headers.or(environment.headers).unwrap_or_default(),
                resource,
                ratio: written.ratio,
                interval: written.interval,
                anchors: written.anchors,
            }))
        }
    }

    impl Default for Written {
        fn default() -> Self {
            Self {
                endpoint: None,
                headers: None,
                anchors: Anchors::Public,
                interval: Settings::INTERVAL,
                ratio: Ratio::ALL,
                service_name: None,
                attributes: Vec::new(),
            }
        }
    }

    pub(super) fn written(raw: RawTelemetry, directory: &Path, found: &Collector) -> Written {
        let RawTelemetry {
            span: _,
            endpoint,
            headers_file,
            ca,
            interval_seconds,
            trace_ratio,
            service_name,
            attributes,
        } = raw;
        let interval = limits::number(
            interval_seconds,
            "telemetry.interval_seconds",
            INTERVAL,
            Settings::INTERVAL.as_secs(),
            found,
        );
        Written {
            endpoint: endpoint.and_then(|endpoint| address(&endpoint, found)),
            headers: headers_file.and_then(|file| headers(&file, directory, found)),
            anchors: ca.and_then(|file| anchors(&file, directory, found)).unwrap_or(Anchors::Public),
            interval: Duration::from_secs(interval),
            ratio: trace_ratio.and_then(|ratio| share(&ratio, found)).unwrap_or(Ratio::ALL),
            service_name: service_name.map(Spanned::into_inner),
            attributes: attributes
                .into_iter()
                .map(|(name, values)| {
                    let values: Vec<_> = values.into_iter().map(Spanned::into_inner).collect();
                    (name.into_inner(), values.join(","))
                })
                .collect(),
        }
    }

    fn address(text: &Spanned<String>, found: &Collector) -> Option<Endpoint> {
        let parsed = Endpoint::parse(text.get_ref());
        // The address is not repeated: it may hold a password.
        parsed.map_err(|error| found.note(text.span(), "telemetry.endpoint", error.to_string())).ok()
    }

    fn headers(file: &Spanned<String>, directory: &Path, found: &Collector) -> Option<Headers> {
        const FIELD: &str = "telemetry.headers_file";
        let bytes = files::read(file, FIELD, directory, found)?;
        let Ok(text) = std::str::from_utf8(&bytes) else {
            found.note(file.span(), FIELD, "expected lines of \"name: value\"; found no text");
            return None;
        };
        Headers::of_lines(text).map_err(|error| found.note(file.span(), FIELD, error.to_string())).ok()
    }

    fn anchors(file: &Spanned<String>, directory: &Path, found: &Collector) -> Option<Anchors> {
        const FIELD: &str = "telemetry.ca";
        let pem = files::read(file, FIELD, directory, found)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Some(Anchors::Only(certificates)),
            _ => {
                let message = "expected a PEM file with the collector's root; found no certificate in it";
                found.note(file.span(), FIELD, message);
                None
            }
        }
    }

    fn share(ratio: &Spanned<f64>, found: &Collector) -> Option<Ratio> {
        let share = Ratio::new(*ratio.get_ref());
        if share.is_none() {
            let message = format!("expected a number from 0 to 1; found {}", ratio.get_ref());
            found.note(ratio.span(), "telemetry.trace_ratio", message);
        }
        share
    }

    const SERVICE: &str = "countersign-proxy";

    /// A second is for tests, an hour for whoever pays by the point.
    const INTERVAL: RangeInclusive<u64> = 1..=3600;
}
