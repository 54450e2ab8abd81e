use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::store::UnixMs;

/// A moment as the API writes it (RFC 3339, milliseconds, UTC).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(in crate::cli) struct Stamp(String);

impl Stamp {
    /// To the second, which is enough for a list.
    pub(in crate::cli) fn short(&self) -> String {
        match self.0.split_once('.') {
            Some((seconds, fraction)) if fraction.ends_with('Z') => format!("{seconds}Z"),
            _ => self.0.clone(),
        }
    }

    fn millis(&self) -> Option<i64> {
        let at = OffsetDateTime::parse(&self.0, &Rfc3339).ok()?;
        i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
    }

    /// Whether it lies behind `now`.
    pub(in crate::cli) fn is_past(&self, now: UnixMs) -> bool {
        self.millis().is_some_and(|at| at <= now.0)
    }
}

/// How long it is until then, by this machine's clock: `54 s`.
pub(in crate::cli) fn left(until: &Stamp, now: UnixMs) -> String {
    let millis = until.millis().map_or(0, |until| UnixMs(until).since(now));
    format!("{} s", millis / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_short_and_spans_are_not_negative() {
        let stamp = |text: &str| Stamp(text.to_owned());
        assert_eq!(stamp("2026-11-22T03:04:05.678Z").short(), "2026-11-22T03:04:05Z");
        assert_eq!(stamp("2026-11-22T03:04:05Z").short(), "2026-11-22T03:04:05Z");
        assert_eq!(left(&stamp("1970-01-01T00:01:00.500Z"), UnixMs(5_000)), "55 s");
        assert_eq!(left(&stamp("1970-01-01T00:00:00Z"), UnixMs(5_000)), "0 s");
        assert!(stamp("1970-01-01T00:00:00Z").is_past(UnixMs(0)));
        assert!(!stamp("no time").is_past(UnixMs(0)));
    }
}
