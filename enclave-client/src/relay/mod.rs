//! Bytes both ways between two streams, until both sides are done.
//!
//! ```text
//!   near (who asked) ──up──► scratch.rs ──► far (the destination)
//!                    ◄─down─    one for each thread, lent while bytes move
//! ```
//!
//! - A relay holds no buffer while it waits: ten thousand idle ones cost their futures and sockets.
//! - A side is read only when the other has taken everything: a slow reader holds its writer back.
//! - A half-close goes through; an error on one side is a reset on the other, never an end, so
//!   that nobody takes a truncated answer for a whole one.
//! - Nothing is ended for being slow or silent; a side whose other end is gone is.

mod flow;
mod scratch;
mod side;
#[cfg(test)]
mod tests;

use std::{fmt, future::poll_fn, io};

use bytes::Bytes;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

pub(crate) use scratch::with_scratch;
pub use side::Side;
pub(crate) use side::hung_up;

use flow::Flow;

/// Carries bytes until both sides are done, or one broke, or `cut` is cancelled.
/// Anything but [`End::Finished`] resets both sides.
pub async fn relay<N: Side, F: Side>(
    mut near: N,
    mut far: F,
    early: Early,
    cut: Option<&CancellationToken>,
) -> Report {
    let mut flow = Flow::new(early);
    let end = tokio::select! {
        // Checked first: when it is cancelled no further byte moves.
        biased;
        () = cancelled(cut) => End::Cut,
        end = poll_fn(|cx| flow.poll(cx, &mut near, &mut far)) => end,
    };
    if !matches!(end, End::Finished) {
        near.abort();
        far.abort();
    }
    if !matches!(end, End::Cut) {
        // Closing is the dearest part, and nobody waits for it: whoever opens has the first turn.
        yield_now().await;
    }
    let (up, down) = flow.moved();
    Report { end, up, down }
}

async fn cancelled(cut: Option<&CancellationToken>) {
    match cut {
        Some(cut) => cut.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Bytes that were read before the relay began: they go first.
#[derive(Clone, Debug, Default)]
pub struct Early {
    /// For the far side.
    pub up: Bytes,
    /// For the near side.
    pub down: Bytes,
}

/// What a relay did.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// Bytes from the near side that were taken on.
    pub up: u64,
    /// Bytes from the far side that were taken on.
    pub down: u64,
}

/// How a relay ended.
#[derive(Debug)]
pub enum End {
    /// Both sides finished in order.
    Finished,
    /// The near side broke.
    Near(io::Error),
    /// The far side broke.
    Far(io::Error),
    /// It was cut.
    Cut,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("both sides are done"),
            Self::Near(why) => write!(f, "the asking side broke: {why}"),
            Self::Far(why) => write!(f, "the destination's side broke: {why}"),
            Self::Cut => f.write_str("cut"),
        }
    }
}
