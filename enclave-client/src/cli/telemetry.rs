//! Which collector is told, and who said so.

use std::{fmt, io, path::PathBuf};

use clap::Args;
use countersign_protocol::DestinationError;
use countersign_telemetry::{
    Ratio,
    otlp::{Anchors, BadSetting, Endpoint, Environment, Headers, Resource, Settings},
};

use crate::{
    manifest::TelemetryEntry,
    random::request_id,
    telemetry::{Collector, NamedBy},
    tls::{AnchorError, certificates},
};

/// For `run` and for `host`.
#[derive(Debug, Args)]
pub(super) struct TelemetryArgs {
    /// Send traces, metrics and logs to this OTLP collector (HTTP): http://host:4318, https://host.
    /// In an enclave the manifest's rules must allow it. Also in OTEL_EXPORTER_OTLP_ENDPOINT
    #[arg(long, value_name = "URL", value_parser = Endpoint::parse)]
    otlp_endpoint: Option<Endpoint>,
    /// PEM file with the certificates that the collector's must chain to, instead of the public roots
    #[arg(long, value_name = "FILE")]
    otlp_anchor: Option<PathBuf>,
    /// File with headers for the collector, one `name: value` a line. Also in OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, value_name = "FILE")]
    otlp_headers: Option<PathBuf>,
    /// Which share of the traces that begin here is recorded, 0 to 1; others as whoever began them says
    #[arg(long, value_name = "SHARE", default_value_t = Ratio::ALL, value_parser = ratio)]
    otlp_trace_ratio: Ratio,
}

fn ratio(text: &str) -> Result<Ratio, String> {
    text.parse().ok().and_then(Ratio::new).ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

impl TelemetryArgs {
    /// The collector that was named, if one was: on the command line, else in the manifest, else in the
    /// environment. `service` is what this program is called there.
    ///
    /// # Errors
    /// [`TelemetryUsage`], with who named the collector.
    pub(super) fn collector(
        &self,
        service: &'static str,
        manifest: Option<&TelemetryEntry>,
    ) -> Result<Option<Collector>, TelemetryUsage> {
        self.collector_of(service, manifest, |name| std::env::var(name).ok())
    }

    fn collector_of(
        &self,
        service: &'static str,
        manifest: Option<&TelemetryEntry>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Collector>, TelemetryUsage> {
        let named = self.otlp_endpoint.clone().or_else(|| manifest.map(|entry| entry.endpoint.clone()));
        let by = if named.is_some() { NamedBy::Operator } else { NamedBy::Environment };
        let usage = |why| TelemetryUsage { by, why };
        let environment = environment(&variable).map_err(usage)?;
        let Some(endpoint) = named.or_else(|| environment.endpoint.clone()) else { return Ok(None) };
        let resource = Resource::new(service, env!("CARGO_PKG_VERSION"));
        let resource = resource.with("service.instance.id", request_id());
        let resource = environment.resource(resource).map_err(Why::Setting).map_err(usage)?;
        let settings = Settings {
            headers: self.headers(&environment).map_err(usage)?,
            ratio: self.otlp_trace_ratio,
            anchors: self.anchors(manifest).map_err(usage)?,
            ..Settings::new(endpoint, resource)
        };
        Collector::new(settings, by).map(Some).map_err(Why::Destination).map_err(usage)
    }

    fn headers(&self, environment: &Environment) -> Result<Headers, Why> {
        let Some(file) = &self.otlp_headers else {
            return Ok(environment.headers.clone().unwrap_or_default());
        };
        let text = std::fs::read_to_string(file).map_err(|why| Why::File(file.clone(), why))?;
        Headers::of_lines(&text).map_err(Why::Setting)
    }

    fn anchors(&self, manifest: Option<&TelemetryEntry>) -> Result<Anchors, Why> {
        let Some(file) = &self.otlp_anchor else {
            let written = manifest.and_then(|entry| entry.anchors.clone());
            return Ok(written.map_or(Anchors::Public, Anchors::Only));
        };
        let pem = std::fs::read(file).map_err(|why| Why::File(file.clone(), why))?;
        certificates(&pem).map(Anchors::Only).map_err(|why| Why::Anchors(file.clone(), why))
    }
}

/// What the environment says, if it is for an exporter over HTTP. The application reads the same variables, and
/// it may speak gRPC.
fn environment(variable: &impl Fn(&str) -> Option<String>) -> Result<Environment, Why> {
    match variable(PROTOCOL).as_deref().map(str::trim) {
        None | Some("" | "http/protobuf") => Environment::read(variable).map_err(Why::Setting),
        Some(_) => Ok(Environment::default()),
    }
}

/// Why a collector that was named cannot be told.
#[derive(Debug)]
pub(super) struct TelemetryUsage {
    /// Who named it.
    pub(super) by: NamedBy,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Setting(BadSetting),
    Destination(DestinationError),
    File(PathBuf, io::Error),
    Anchors(PathBuf, AnchorError),
}

impl fmt::Display for TelemetryUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("telemetry: ")?;
        match &self.why {
            Why::Setting(why) => f.write_str(&crate::attest::chain(why)),
            Why::Destination(why) => write!(f, "the collector's host: {why}"),
            Why::File(file, why) => write!(f, "{}: cannot be read: {why}", file.display()),
            Why::Anchors(file, why) => write!(f, "{}: {why}", file.display()),
        }
    }
}

impl std::error::Error for TelemetryUsage {}

const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

#[cfg(test)]
mod tests {
    use super::*;

    fn named(args: &[&str], manifest: Option<&str>, variables: &[(&str, &str)]) -> Result<String, String> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            telemetry: TelemetryArgs,
        }
        let line = <Line as clap::Parser>::try_parse_from([&["test"], args].concat())
            .map_err(|why| why.to_string())?;
        let manifest =
            manifest.map(|url| TelemetryEntry { endpoint: Endpoint::parse(url).unwrap(), anchors: None });
        let variable = |asked: &str| {
            let found = variables.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        };
        let collector = line.telemetry.collector_of("test", manifest.as_ref(), variable);
        let collector = collector.map_err(|why| format!("{:?}: {why}", why.by))?;
        Ok(collector.map_or("none".to_owned(), |one| format!("{:?}: {}", one.named_by(), one.destination())))
    }

    const VARIABLE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://environment:4318");

    #[test]
    fn the_command_line_goes_before_the_manifest_and_that_before_the_environment() {
        let flag = ["--otlp-endpoint", "https://flag"];
        let manifest = Some("http://manifest:4318");
        assert_eq!(named(&flag, manifest, &[VARIABLE]).unwrap(), "Operator: flag:443");
        assert_eq!(named(&[], manifest, &[VARIABLE]).unwrap(), "Operator: manifest:4318");
        assert_eq!(named(&[], None, &[VARIABLE]).unwrap(), "Environment: environment:4318");
        assert_eq!(named(&[], None, &[]).unwrap(), "none");
        // Meant for the application alone.
        let grpc = [VARIABLE, (PROTOCOL, "grpc")];
        assert_eq!(named(&[], None, &grpc).unwrap(), "none");
        assert_eq!(named(&flag, None, &grpc).unwrap(), "Operator: flag:443");
    }

    #[test]
    fn what_cannot_be_used_is_said_without_a_secret() {
        for (args, says) in [
            (&["--otlp-endpoint", "collector:4318"][..], "no address of a collector"),
            (&["--otlp-trace-ratio", "2"], "expected a number from 0 to 1"),
            (
                &["--otlp-endpoint", "http://a", "--otlp-headers", "/nowhere"],
                "Operator: telemetry: /nowhere: cannot be read",
            ),
            (
                &["--otlp-endpoint", "http://a", "--otlp-anchor", "/nowhere"],
                "Operator: telemetry: /nowhere: cannot be read",
            ),
        ] {
            let said = named(args, None, &[]).unwrap_err();
            assert!(said.contains(says), "{args:?}: {said}");
        }
        let planted = ("OTEL_EXPORTER_OTLP_HEADERS", "planted-secret");
        let said = named(&[], None, &[VARIABLE, planted]).unwrap_err();
        assert!(said.starts_with("Environment: ") && !said.contains("planted"), "{said}");
    }
}
