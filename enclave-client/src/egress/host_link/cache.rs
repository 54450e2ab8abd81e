use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use countersign_protocol::Destination;
use tokio::time::Instant;

use crate::host::wire::Addresses;

/// Addresses that the host half gave, for as long as it said, and never longer than [`LONGEST`].
/// They are judged each time that they are used.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<Destination, (Addresses, Instant)>>);

impl Cache {
    pub(super) fn get(&self, destination: &Destination) -> Option<Addresses> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (addresses, until) = known.get(destination)?;
        (Instant::now() < *until).then(|| addresses.clone())
    }

    pub(super) fn put(&self, destination: &Destination, addresses: &Addresses, seconds: u32) {
        let now = Instant::now();
        let until = now + Duration::from_secs(seconds.into()).min(LONGEST);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_NAMES {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() >= MAX_NAMES {
            known.clear();
        }
        known.insert(destination.clone(), (addresses.clone(), until));
    }

    pub(super) fn forget(&self, destination: &Destination) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(destination);
    }
}

const LONGEST: Duration = Duration::from_secs(30);

const MAX_NAMES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_known_for_longer_than_the_longest_and_not_of_everybody() {
        let cache = Cache::default();
        let addresses: Addresses = "192.0.2.1".parse().unwrap();
        let name = |number: usize| format!("n{number}.example:443").parse::<Destination>().unwrap();
        cache.put(&name(0), &addresses, u32::MAX);
        cache.put(&name(1), &addresses, 0);
        assert_eq!((cache.get(&name(0)), cache.get(&name(1))), (Some(addresses.clone()), None));
        tokio::time::advance(LONGEST).await;
        assert_eq!(cache.get(&name(0)), None);
        for number in 0..MAX_NAMES * 2 {
            cache.put(&name(number), &addresses, 5);
            assert!(cache.0.lock().unwrap().len() <= MAX_NAMES);
        }
        cache.forget(&name(MAX_NAMES * 2 - 1));
        assert_eq!(cache.get(&name(MAX_NAMES * 2 - 1)), None);
    }
}
