use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{line::Line, link::Link};

/// Connections to the host half that wait for a request, so that opening one
/// more is a single round trip. They are refilled after each use and not
/// otherwise: a link that nobody uses keeps none for long.
#[derive(Debug, Default)]
pub(super) struct Spares {
    lines: Mutex<Vec<Line>>,
    filling: AtomicBool,
}

impl Spares {
    /// One that is alive and young; the others are closed.
    pub(super) fn take(&self) -> Option<Line> {
        let now = Instant::now();
        loop {
            let mut line = self.lines.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if now.duration_since(line.since()) < AGE && line.asked() < REQUESTS && line.is_alive() {
                return Some(line);
            }
        }
    }

    /// Keeps a connection that can carry another request.
    pub(super) fn put(&self, line: Line) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < SPARES {
            lines.push(line);
        }
    }

    /// Whether some are being opened.
    #[cfg(test)]
    pub(super) fn filling(&self) -> bool {
        self.filling.load(Ordering::Acquire)
    }

    fn has_room(&self) -> bool {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).len() < SPARES
    }

    /// Opens what is missing, beside whoever needs the connection that was just taken.
    pub(super) fn refill(link: &Arc<Link>) {
        if !link.spares.has_room() || link.spares.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        let link = link.clone();
        tokio::spawn(async move {
            while link.spares.has_room() {
                // Whether it is away is found out by whoever needs it.
                let Ok(stream) = link.dial().await else { break };
                link.spares.put(Line::new(stream));
            }
            link.spares.filling.store(false, Ordering::Release);
        });
    }
}

/// How many wait.
const SPARES: usize = 8;

/// Older ones are not used: the host half closes what says nothing for 60 s.
const AGE: Duration = Duration::from_secs(45);

/// The host half takes 16 on one connection.
const REQUESTS: usize = 15;
