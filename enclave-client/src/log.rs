//! The log: standard error, text or JSON, one line for each decision.

use clap::ValueEnum;
use tracing_subscriber::{
    EnvFilter, filter::LevelFilter, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::telemetry::LateLayer;

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For collectors: one JSON object a line
    Json,
}

/// Starts the log on standard error. Its level is `info`, or what `COUNTERSIGN_LOG` says. Lines also go
/// where the layer is told to, from then on.
pub fn init(format: LogFormat) -> LateLayer {
    init_to(format, std::io::stderr)
}

/// Starts the log with another place for its lines.
pub fn init_to<W>(format: LogFormat, writer: W) -> LateLayer
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("COUNTERSIGN_LOG")
        .from_env_lossy();
    let late = LateLayer::default();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let log = tracing_subscriber::registry().with(filter).with(late.clone());
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => log.with(lines.with_ansi(false)).try_init(),
        LogFormat::Json => log.with(lines.json().flatten_event(true)).try_init(),
    };
    late
}
