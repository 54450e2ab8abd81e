//! The log: one line a decision, with its code, and no secret in it.

use std::{collections::HashMap, error::Error, fmt, io::IsTerminal, sync::Mutex, time::Duration};

use tokio::time::Instant;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt::time::SystemTime, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::LogFormat;

/// Something else that takes the log's events.
pub type Layer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// Sends the log to stderr, and to whatever else takes it. `RUST_LOG` narrows both;
/// `info` is the default. Does nothing when a subscriber stands already (tests).
pub fn start(format: LogFormat, also: Option<Layer>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_timer(SystemTime)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let lines: Layer = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Text => lines.with_target(false).boxed(),
    };
    let layers: Vec<Layer> = [lines].into_iter().chain(also).collect();
    let _ = tracing_subscriber::registry().with(layers).with(filter).try_init();
}

/// An error with all its sources, as one line. Some errors repeat their source
/// in their own words; the line does not.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut error = self.0;
        while let Some(source) = error.source() {
            let next = source.to_string();
            if !said.contains(&next) {
                write!(f, ": {next}")?;
                said = next;
            }
            error = source;
        }
        Ok(())
    }
}

/// Bounds the lines that refusals write: a flood of junk must not become a
/// flood of log. Each code has a few lines a second; the next line tells how
/// many went without.
#[derive(Debug)]
pub struct Sampler {
    windows: Mutex<HashMap<&'static str, Window>>,
    per_second: u32,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    written: u32,
    suppressed: u64,
}

/// Whether to write a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Write it, and say how many of its code went without since the last one.
    Write {
        /// How many.
        suppressed: u64,
    },
    /// Do not.
    Suppress,
}

impl Sampler {
    /// So many lines a second for each code.
    pub fn new(per_second: u32) -> Self {
        Self { windows: Mutex::default(), per_second }
    }

    /// Counts one line of this code. Codes come from the program, so there are few.
    pub fn take(&self, code: &'static str) -> Sample {
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let window = windows.entry(code).or_insert(Window { began: now, written: 0, suppressed: 0 });
        if now.duration_since(window.began) >= Duration::from_secs(1) {
            (window.began, window.written) = (now, 0);
        }
        if window.written >= self.per_second {
            window.suppressed += 1;
            return Sample::Suppress;
        }
        window.written += 1;
        Sample::Write { suppressed: std::mem::take(&mut window.suppressed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_code_has_its_lines_and_the_rest_is_counted() {
        let sampler = Sampler::new(2);
        let write = |suppressed| Sample::Write { suppressed };
        let taken: Vec<_> = (0..5).map(|_| sampler.take("a")).collect();
        assert_eq!(taken, [write(0), write(0), Sample::Suppress, Sample::Suppress, Sample::Suppress]);
        assert_eq!(sampler.take("b"), write(0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(sampler.take("a"), write(3));
        assert_eq!(sampler.take("a"), write(0));
    }
}
