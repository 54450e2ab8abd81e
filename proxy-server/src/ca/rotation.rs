use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{CaError, SessionCa};
use crate::log::Chain;

/// What [`SessionCa::rotate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The present intermediate has more than half its life before it.
    NotDue,
    /// Another one issues from now on. Certificates of the one before hold on.
    Done,
}

impl SessionCa {
    /// Makes another intermediate if it is time. Only one caller at a time, or two are made.
    ///
    /// # Errors
    /// [`CaError`]: the present one goes on.
    pub async fn rotate(&self, now: OffsetDateTime) -> Result<Rotation, CaError> {
        if !self.present().is_due(now) {
            return Ok(Rotation::NotDue);
        }
        let next = self.root.intermediate(now).await?;
        self.replace(next);
        Ok(Rotation::Done)
    }

    /// Rotates ahead of time until `stop`. A root that cannot be asked is asked
    /// again for as long as it takes; issuing goes on meanwhile.
    pub async fn rotate_loop(self: Arc<Self>, stop: CancellationToken) {
        let mut failures = 0;
        while let Some(()) = stop.run_until_cancelled(sleep(pause(failures))).await {
            let now = OffsetDateTime::now_utc();
            match stop.run_until_cancelled(self.rotate(now)).await {
                None => break,
                Some(Ok(Rotation::NotDue)) => failures = 0,
                Some(Ok(Rotation::Done)) => {
                    failures = 0;
                    tracing::info!(code = "session-ca-rotated", "the session CA has another intermediate");
                }
                Some(Err(error)) => {
                    failures += 1;
                    let left = self.present().not_after - now;
                    tracing::error!(
                        code = "session-ca-rotation-failed",
                        failures,
                        hours_left = left.whole_hours(),
                        error = %Chain(&error),
                        "the session CA's next intermediate could not be had; the present one goes on"
                    );
                }
            }
        }
    }
}

/// Until the next look: a minute, doubled by each failure up to 16, and half of
/// it left to chance, so that replicas started together do not ask together.
fn pause(failures: u32) -> Duration {
    let most = LOOK * (1 << failures.min(4));
    let mut random = [0; 2];
    // Without randomness they ask together: unpleasant, and not wrong.
    let _ = rand::fill(&mut random);
    most / 2 + (most / 2) * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX)
}

/// How often the clock is looked at: a machine that slept has jumped ahead.
const LOOK: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_to_a_quarter_of_an_hour_and_no_further() {
        for (failures, most) in [(0, 60), (1, 120), (4, 960), (5, 960), (u32::MAX, 960)] {
            for _ in 0..100 {
                let pause = pause(failures).as_secs_f64();
                assert!(pause >= f64::from(most) / 2.0 && pause <= f64::from(most), "{failures}: {pause}");
            }
        }
    }
}
