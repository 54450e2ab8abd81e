use std::time::Duration;

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};

/// Whether a batch that failed with this status is sent again (OTLP 1.x, "Retryable
/// Response Codes"). All other failures are the batch's own.
pub(super) fn again(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// What the collector asks for, in seconds; a date is not read. Bounded, since whoever
/// answers would else decide how long nothing is told.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_ASKED))
}

/// 0.5 s, doubled by each failure up to half a minute. `jitter` (0 to 255) takes away up
/// to half, so that programs which lost one collector do not come back together.
pub(super) fn pause(failures: u32, jitter: u8) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST);
    whole - whole * u32::from(jitter) / (2 * 256)
}

pub(super) fn jitter() -> u8 {
    let mut byte = [0];
    // Without randomness there is no jitter; nothing else rests on it.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    byte[0]
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
const LONGEST_ASKED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_bound_and_jitter_only_shortens() {
        let ms = |failures, jitter| pause(failures, jitter).as_millis();
        assert_eq!(
            [0, 1, 2, 5, 6, 7, u32::MAX].map(|n| ms(n, 0)),
            [500, 1000, 2000, 16000, 30000, 30000, 30000]
        );
        assert_eq!((ms(0, 128), ms(6, 128)), (375, 22500));
        assert!(pause(0, 255) > FIRST / 2);
    }

    #[test]
    fn what_a_collector_asks_for_is_bounded() {
        let after = |value: &str| asked(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]));
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("86400"), Some(LONGEST_ASKED));
        for unread in ["Fri, 07 Nov 2026 23:59:59 GMT", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(after(unread), None, "{unread}");
        }
        assert_eq!(asked(&HeaderMap::new()), None);
    }

    #[test]
    fn only_what_may_pass_is_sent_again() {
        let retried: Vec<u16> =
            (200..600).filter(|code| StatusCode::from_u16(*code).is_ok_and(again)).collect();
        assert_eq!(retried, [429, 502, 503, 504]);
    }
}
