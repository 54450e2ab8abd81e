//! The log: standard error, text or JSON, one line for each decision.

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::MakeWriter};

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For collectors: one JSON object a line
    Json,
}

/// Starts the log on standard error. Its level is `info`, or what `COUNTERSIGN_LOG` says.
pub fn init(format: LogFormat) {
    init_to(format, std::io::stderr);
}

/// Starts the log with another place for its lines.
pub fn init_to<W>(format: LogFormat, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("COUNTERSIGN_LOG")
        .from_env_lossy();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
