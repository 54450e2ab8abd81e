use std::{fmt::Display, future::Future, io::IsTerminal, path::Path, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::failure::Failure;

/// Tells the story on standard output: numbered steps, one line for each thing
/// that was checked. Colours and the running clock only on a terminal.
pub(crate) struct Narrator {
    step: u32,
    style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Terminal,
    Plain,
}

impl Narrator {
    /// A narrator before the first step.
    pub(crate) fn new() -> Self {
        let style = if std::io::stdout().is_terminal() { Style::Terminal } else { Style::Plain };
        Self { step: 0, style }
    }

    /// Begins the next step.
    pub(crate) fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n{}", self.bold(&format!("{}. {title}", self.step)));
    }

    /// Something that was checked and is so.
    pub(crate) fn checked(&self, what: impl Display) {
        println!("   {} {what}", self.paint("32", "✓"));
    }

    /// Something that happens, or is worth knowing.
    pub(crate) fn says(&self, what: impl Display) {
        println!("     {what}");
    }

    /// A line to copy into a shell.
    pub(crate) fn command(&self, what: &str, command: &str) {
        println!("\n   # {what}\n   {}", self.bold(command));
    }

    /// A step that did not go as told.
    pub(crate) fn failed(&self, what: impl Display) {
        println!("   {} {what}", self.paint("31", "✗"));
    }

    /// The last word.
    pub(crate) fn ends(&self, what: &str) {
        println!("\n{}", self.bold(what));
    }

    /// Waits for `event`, at most `limit`, and shows that it does.
    ///
    /// # Errors
    /// What `event` fails with, or that it did not come in time.
    pub(crate) async fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        log: &Path,
        event: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let mut ticks = interval(PROGRESS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut event = std::pin::pin!(event);
        let outcome = loop {
            tokio::select! {
                outcome = timeout_at(started + limit, &mut event) => break outcome,
                _ = ticks.tick() => self.progress(what, started.elapsed(), limit),
            }
        };
        self.clear();
        outcome.unwrap_or_else(|_| {
            Err(Failure::new(format!("{what} within {} s", limit.as_secs()), "nothing of the kind").log(log))
        })
    }

    fn progress(&self, what: &str, passed: Duration, limit: Duration) {
        let line =
            format!("     … waiting for {what} ({} of at most {} s)", passed.as_secs(), limit.as_secs());
        match self.style {
            // One line that is written over again and again.
            Style::Terminal => eprint!("\r\x1b[2K{line}"),
            Style::Plain if passed.as_secs().is_multiple_of(PLAIN_EVERY) => println!("{line}"),
            Style::Plain => {}
        }
    }

    fn clear(&self) {
        if self.style == Style::Terminal {
            eprint!("\r\x1b[2K");
        }
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match self.style {
            Style::Terminal => format!("\x1b[{colour}m{text}\x1b[0m"),
            Style::Plain => text.to_owned(),
        }
    }
}

/// A sign of life.
const PROGRESS: Duration = Duration::from_secs(1);

/// Seconds between two signs of life in a file.
const PLAIN_EVERY: u64 = 5;
