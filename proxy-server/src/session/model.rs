//! The registry beside a naive model, driven by generated sequences of events.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, LeaseBounds, SessionId};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::*;
use crate::policy::{Destinations, Limits, Workload};

#[tokio::test(start_paused = true)]
async fn generated_events_end_as_in_the_model() {
    for seed in 1..=60 {
        Run::new(seed).play(400).await;
    }
}

struct Run {
    random: Random,
    sessions: Sessions,
    model: BTreeMap<u8, Standing>,
    held: Vec<(u8, TunnelPermit)>,
    /// The last sequence number of sessions that lapsed, as long as they did not come back.
    lapsed: BTreeMap<SessionId, u64>,
}

/// What the model knows of a key's session.
struct Standing {
    id: SessionId,
    sequence: u64,
    ends: Instant,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            sessions: registry(6),
            model: BTreeMap::new(),
            held: Vec::new(),
            lapsed: BTreeMap::new(),
        }
    }

    async fn play(mut self, steps: usize) {
        for _ in 0..steps {
            match self.random.below(11) {
                0..=2 => self.admit(),
                3 => self.end(),
                4 => self.register(),
                5 => self.adopt(),
                6 => self.adopt(),
                7 => self.follow(),
                8 if !self.held.is_empty() => {
                    let index = self.random.below(self.held.len() as u64) as usize;
                    self.held.swap_remove(index);
                }
                _ => self.pass_time().await,
            }
            self.compare();
        }
    }

    fn admit(&mut self) {
        let key = self.random.below(8) as u8;
        let seconds = 30 + self.random.below(100);
        let sequence = self.random.below(40);
        let now = Instant::now();
        let ends = now + Duration::from_secs(seconds);
        let result = self.sessions.admit(admission(key, sequence, seconds), now);
        let full = self.model.len() == 6;
        match self.model.get_mut(&key) {
            Some(standing) if sequence <= standing.sequence => {
                let error = AdmitError::SequenceReplayed { last: standing.sequence, got: sequence };
                assert_eq!(result.unwrap_err(), error);
            }
            Some(standing) => {
                let granted = result.unwrap();
                assert_eq!((granted.renewed, granted.session.id()), (Renewal::Renewed, standing.id));
                (standing.sequence, standing.ends) = (sequence, ends);
            }
            None if full => assert_eq!(result.unwrap_err(), AdmitError::Full { limit: 6 }),
            None => {
                let granted = result.unwrap();
                assert_eq!(granted.renewed, Renewal::New);
                self.model.insert(key, Standing { id: granted.session.id(), sequence, ends });
            }
        }
    }

    /// What another replica admitted comes in, if the policy is still the same.
    fn adopt(&mut self) {
        let key = self.random.below(8) as u8;
        // A key has two sessions elsewhere: replicas admitted it at one time.
        let id = SessionId::from_bytes([100 + 2 * key + self.random.below(2) as u8; 16]);
        let (sequence, seconds) = (self.random.below(40), 30 + self.random.below(100));
        let ends = Instant::now() + Duration::from_secs(seconds);
        let same_policy = self.random.below(4) > 0;
        let result = self.sessions.adopt(id, admission(key, sequence, seconds), ends, || same_policy);
        let full = self.model.len() == 6;
        match self.model.get_mut(&key) {
            _ if !same_policy => assert_eq!(result.unwrap_err(), AdmitError::PolicyChanged),
            Some(known) if known.id == id => {
                assert_eq!(result.unwrap().id(), id);
                if sequence > known.sequence {
                    (known.sequence, known.ends) = (sequence, ends);
                }
            }
            _ if self.lapsed.get(&id).is_some_and(|last| sequence <= *last) => {
                assert_eq!(result.unwrap_err(), AdmitError::NotRestorable);
            }
            Some(other) if other.ends >= ends => assert_eq!(result.unwrap_err(), AdmitError::Conflict),
            Some(other) => {
                assert_eq!(result.unwrap().id(), id);
                self.lapsed.insert(other.id, other.sequence);
                *other = Standing { id, sequence, ends };
            }
            None if full => assert_eq!(result.unwrap_err(), AdmitError::Full { limit: 6 }),
            None => {
                assert_eq!(result.unwrap().id(), id);
                self.model.insert(key, Standing { id, sequence, ends });
            }
        }
    }

    /// Another replica renewed a session, this one's or not.
    fn follow(&mut self) {
        let key = self.random.below(8) as u8;
        let (sequence, seconds) = (self.random.below(40), 30 + self.random.below(100));
        let ends = Instant::now() + Duration::from_secs(seconds);
        let Some(known) = self.model.get_mut(&key) else { return };
        self.sessions.follow(&known.id, admission(key + 1, sequence, seconds), ends);
        self.sessions.follow(&known.id, admission(key, sequence, seconds), ends);
        if sequence > known.sequence {
            (known.sequence, known.ends) = (sequence, ends);
        }
    }

    fn end(&mut self) {
        let key = self.random.below(8) as u8;
        let Some(standing) = self.model.remove(&key) else { return };
        let tunnels = self.held.iter().filter(|(of, permit)| *of == key && permit_lives(permit)).count();
        let ended = self.sessions.end(&standing.id, EndReason::EndedByAdmin);
        assert_eq!(ended, Ended { sessions: 1, tunnels });
        self.lapsed.remove(&standing.id);
    }

    fn register(&mut self) {
        let key = self.random.below(8) as u8;
        let Some(standing) = self.model.get(&key) else { return };
        let session = self.sessions.find(&standing.id).unwrap();
        self.held.push((key, session.register_tunnel().unwrap()));
    }

    async fn pass_time(&mut self) {
        tokio::time::advance(Duration::from_millis(self.random.below(20_000))).await;
        let now = Instant::now();
        let due = self.model.values().filter(|standing| standing.ends <= now).count();
        assert_eq!(self.sessions.lapse(now).sessions, due);
        for standing in self.model.values().filter(|standing| standing.ends <= now) {
            self.lapsed.insert(standing.id, standing.sequence);
        }
        self.model.retain(|_, standing| standing.ends > now);
    }

    fn compare(&self) {
        let mut views = self.sessions.list();
        views.sort_by_key(|view| *view.key.as_bytes());
        let seen: Vec<_> = views.iter().map(|view| (view.id, view.sequence, view.lease_ends)).collect();
        let model: Vec<_> = self.model.values().map(|one| (one.id, one.sequence, one.ends)).collect();
        assert_eq!(seen, model);
        for (key, permit) in &self.held {
            let of_model = self.model.get(key).is_some_and(|one| one.id == permit.session().id());
            // An id that was ended can come back from elsewhere: as another session.
            let same = self.sessions.find(&permit.session().id());
            let lives = of_model && same.is_some_and(|same| Arc::ptr_eq(&same, permit.session()));
            assert_eq!(permit_lives(permit), lives);
        }
        let all_gone = self.held.iter().all(|(_, permit)| permit_lives(permit));
        assert_eq!(self.sessions.let_go().now_or_never().is_some(), all_gone);
        let census = self.sessions.census();
        let tunnels = self.held.iter().filter(|(_, permit)| permit_lives(permit)).count();
        assert_eq!((census.sessions, census.tunnels), (self.model.len() as u64, tunnels as u64));
        let holding: u64 = census.holding.iter().map(|holding| holding.tunnels).sum();
        assert_eq!(holding, census.tunnels);
    }
}

fn permit_lives(permit: &TunnelPermit) -> bool {
    permit.still_allowed().is_ok()
}

pub(super) fn registry(max_sessions: usize) -> Sessions {
    Sessions::new(SessionsLimits { max_sessions, max_per_instance: 2 })
}

pub(super) fn admission(key: u8, sequence: u64, lease: u64) -> Admission {
    Admission {
        workload: workload("demo", Limits::default()),
        measurement: "release-1".into(),
        key: KeyThumbprint::from_bytes([key; 32]),
        boot_id: BootId::from_bytes([1; 16]),
        sequence,
        lease: Lease::from_secs(lease).unwrap(),
        epoch: Epoch(1),
        instance: None,
    }
}

pub(super) fn workload(name: &str, limits: Limits) -> Arc<Workload> {
    Arc::new(Workload {
        name: name.parse().unwrap(),
        destinations: Destinations::default(),
        addresses: Vec::new(),
        lease_bounds: LeaseBounds::default(),
        limits,
    })
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
