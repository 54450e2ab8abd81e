//! Refusals by time: the document is too old, or from the future.

use super::{Refusal, Row};
use crate::time::UnixMillis;
use std::time::Duration;

/// How a document's timestamp does not suit the caller's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sentence of a variant says what its fields are")]
pub enum FreshnessRefusal {
    /// Made longer ago than the caller allows.
    TooOld { timestamp: UnixMillis, at: UnixMillis, limit: Duration },
    /// Made later than the caller's time and the allowance for clocks that differ.
    FromTheFuture { timestamp: UnixMillis, at: UnixMillis, limit: Duration },
}

impl From<FreshnessRefusal> for Refusal {
    fn from(refusal: FreshnessRefusal) -> Self {
        Self::Freshness(refusal)
    }
}

impl FreshnessRefusal {
    pub(super) fn row(&self) -> Row {
        match *self {
            Self::TooOld { timestamp, at, limit } => Row::new(
                "document-too-old",
                format!("a document made at most {limit:?} before {at}"),
                format!("one made at {timestamp}, {:?} before", at.since(timestamp)),
            ),
            Self::FromTheFuture { timestamp, at, limit } => Row::new(
                "document-from-the-future",
                format!("a document made at most {limit:?} after {at}"),
                format!("one made at {timestamp}, {:?} after", timestamp.since(at)),
            ),
        }
    }
}
