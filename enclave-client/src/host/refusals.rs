use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use countersign_protocol::{Destination, Problem};
use countersign_telemetry::TraceContext;
use tokio::time::Instant;
use tracing::warn;

use crate::{telemetry::trace_id, throttle::Throttle};

/// Writes refusals to the log: each with a line, up to [`LINES`] a second of each code. An enclave
/// that asks for what it may not have as fast as it can fills no disk of the parent, and hides no
/// refusal of another kind.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// As many as there are codes, which only this program makes.
    by_code: Mutex<HashMap<Cow<'static, str>, Throttle>>,
}

impl Refusals {
    /// Writes what was refused, and before it how many of its code were not written.
    pub(super) fn tell(
        &self,
        trace: Option<TraceContext>,
        destination: Option<&Destination>,
        problem: &Problem,
    ) {
        let Problem { status, code, detail, request_id } = problem;
        let Some(suppressed) = self.pass(code.clone(), Instant::now()) else { return };
        if suppressed > 0 {
            warn!(code = "refusals-suppressed", of = %code, suppressed, "suppressed {suppressed} lines of {code}");
        }
        let destination = destination.map(Destination::to_string).unwrap_or_default();
        warn!(%destination, trace_id = trace_id(trace), status, %code, %request_id, "refused: {detail}");
    }

    fn pass(&self, code: Cow<'static, str>, now: Instant) -> Option<u64> {
        let mut by_code = self.by_code.lock().unwrap_or_else(PoisonError::into_inner);
        by_code.entry(code).or_insert_with(|| Throttle::new(LINES, Duration::from_secs(1))).pass(now)
    }
}

const LINES: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_code_is_bounded_and_counted_and_hides_no_other() {
        let refusals = Refusals::default();
        let pass = |code| refusals.pass(Cow::Borrowed(code), Instant::now());
        for _ in 0..LINES {
            assert_eq!(pass("egress-rule-set"), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(pass("egress-rule-set"), None);
        }
        assert_eq!(pass("address-denied"), Some(0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pass("egress-rule-set"), Some(1000));
        assert_eq!(pass("egress-rule-set"), Some(0));
    }
}
