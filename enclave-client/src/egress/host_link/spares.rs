use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, task::yield_now, time::Instant};

use super::{line::Line, link::Link};

/// Connections to the host half that wait for a request, so that opening one
/// more is a single round trip. They are refilled when a connection that was one
/// of them ends, which keeps nobody waiting, and when few are left; never
/// otherwise. Of a link that nobody uses any more the host half closes them; up to
/// [`SPARES`] descriptors here are freed when the next connection is taken.
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

    fn left(&self) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Opens what is missing if few are left.
    pub(super) fn refill_if_low(link: &Arc<Link>) {
        if link.spares.left() < FEW {
            Self::refill(link);
        }
    }

    /// Opens what is missing, beside whoever needs the connection that was just taken.
    fn refill(link: &Arc<Link>) {
        // There is none where the program ends, and connections with it.
        let Ok(runtime) = Handle::try_current() else { return };
        if link.spares.left() >= SPARES || link.spares.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        let link = link.clone();
        runtime.spawn(async move {
            // Whether it is away is found out by whoever needs it.
            while let Ok(stream) = link.dial().await {
                link.spares.put(Line::new(stream));
                if link.spares.left() >= SPARES {
                    break;
                }
                // One at a time: whoever opens a connection meanwhile is not behind all of them.
                yield_now().await;
            }
            link.spares.filling.store(false, Ordering::Release);
        });
    }
}

/// Refills the spares when it is dropped, which is with the connection that was one of them.
#[derive(Debug)]
pub struct Refill(Arc<Link>);

impl Refill {
    pub(super) fn of(link: &Arc<Link>) -> Self {
        Self(link.clone())
    }
}

impl Drop for Refill {
    fn drop(&mut self) {
        Spares::refill(&self.0);
    }
}

/// How many wait.
const SPARES: usize = 8;

/// Fewer are not waited with until a connection ends.
const FEW: usize = 4;

/// Older ones are not used: the host half closes what says nothing for 60 s.
const AGE: Duration = Duration::from_secs(45);

/// The host half takes 16 on one connection.
const REQUESTS: usize = 15;
