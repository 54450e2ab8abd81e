use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use countersign_protocol::ProblemCode;
use tokio::time::Instant;

use crate::{refusal::Refused, session::Instance};

/// Bounds the documents of one EC2 instance that are looked at in a minute.
///
/// Only documents whose signature and chain hold are counted: anybody can write
/// an instance's name, and only its NSM can sign it.
pub(super) struct InstanceRate {
    limit: u32,
    minute: Mutex<Minute>,
}

struct Minute {
    began: Instant,
    seen: HashMap<Instance, u32>,
}

impl InstanceRate {
    /// At most `limit` a minute.
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, minute: Mutex::new(Minute { began: Instant::now(), seen: HashMap::new() }) }
    }

    /// Counts one document.
    pub(super) fn take(&self, instance: &Instance, now: Instant) -> Result<(), Refused> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(minute.began) >= MINUTE {
            *minute = Minute { began: now, seen: HashMap::new() };
        }
        let room = minute.seen.len() < MOST;
        let count = match minute.seen.get_mut(instance) {
            Some(count) => count,
            None if room => minute.seen.entry(instance.clone()).or_default(),
            // Nobody has so many machines; those that are counted stay bounded.
            None => return Ok(()),
        };
        if *count >= self.limit {
            let detail =
                format!("the EC2 instance attested {} times within a minute: try again later", self.limit);
            return Err(Refused::new(ProblemCode::AttestingTooOften, detail));
        }
        *count += 1;
        Ok(())
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Instances counted at once: about 10 MB.
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_instance_has_its_own_minute() {
        let rate = InstanceRate::new(2);
        let (one, other) = (Instance::of_module("i-1-enc1"), Instance::of_module("i-2-enc1"));
        let take = |instance| rate.take(instance, Instant::now()).map_err(|refused| refused.code());
        assert_eq!([take(&one), take(&one), take(&one)], [Ok(()), Ok(()), Err("attesting-too-often")]);
        assert_eq!(take(&other), Ok(()));
        tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
        assert_eq!(take(&one), Err("attesting-too-often"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(take(&one), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let rate = InstanceRate::new(1);
        for number in 0..MOST + 10 {
            let instance = Instance::of_module(&format!("i-{number}-enc1"));
            assert!(rate.take(&instance, Instant::now()).is_ok());
        }
        assert_eq!(rate.minute.lock().unwrap().seen.len(), MOST);
        assert!(
            rate.take(&Instance::of_module("i-0-enc2"), Instant::now()).is_err(),
            "the first is still counted"
        );
    }
}
