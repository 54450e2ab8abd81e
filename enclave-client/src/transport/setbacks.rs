use std::{fmt, io, time::Duration};

use tokio::time::sleep;
use tracing::warn;

use crate::random::Fraction;

/// Failures in a row of what takes connections or packets. Out of descriptors or
/// memory, most likely: they come back when connections end, unless the processor
/// is burnt by trying again at once.
#[derive(Debug, Default)]
pub(crate) struct Setbacks {
    in_a_row: u32,
}

impl Setbacks {
    /// It went well: the next failure is the first of its row.
    pub(crate) fn over(&mut self) {
        self.in_a_row = 0;
    }

    /// Waits longer with each failure; the first of a row has a line in the log.
    pub(crate) async fn wait(&mut self, place: impl fmt::Display, why: &io::Error) {
        if self.in_a_row == 0 {
            warn!(code = "accept-failed", "{place}: accept failed: {why}");
        }
        let pause = pause(self.in_a_row, Fraction::random());
        self.in_a_row = self.in_a_row.saturating_add(1);
        sleep(pause).await;
    }
}

/// 10 ms, doubled by each failure up to 1.28 s; half of it at random.
pub(crate) fn pause(failures: u32, jitter: Fraction) -> Duration {
    let most = SHORTEST_PAUSE * (1 << failures.min(LONGEST_PAUSE));
    most.mul_f64(0.5 + 0.5 * jitter.get())
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// As a power of two.
const LONGEST_PAUSE: u32 = 7;

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let ms = |failures, jitter| pause(failures, jitter).as_millis();
        assert_eq!((ms(0, Fraction::ZERO), ms(0, Fraction::ONE)), (5, 10));
        assert_eq!((ms(3, Fraction::ONE), ms(7, Fraction::ONE)), (80, 1280));
        assert_eq!((ms(u32::MAX, Fraction::ZERO), ms(u32::MAX, Fraction::ONE)), (640, 1280));
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_of_failures_waits_longer_until_it_is_over() {
        let why = io::Error::from(io::ErrorKind::OutOfMemory);
        let mut setbacks = Setbacks::default();
        let waited = async |setbacks: &mut Setbacks| {
            let before = Instant::now();
            setbacks.wait("a door", &why).await;
            before.elapsed()
        };
        for _ in 0..7 {
            waited(&mut setbacks).await;
        }
        assert!(waited(&mut setbacks).await >= Duration::from_millis(640));
        setbacks.over();
        assert!(waited(&mut setbacks).await <= Duration::from_millis(11));
    }
}
