//! The registry beside a naive model, driven by generated sequences of events,
//! and its promises one by one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, LeaseBounds, ProblemCode, SessionId};
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::policy::{Destinations, Limits, Workload};

#[tokio::test(start_paused = true)]
async fn generated_events_end_as_in_the_model() {
    for seed in 1..=60 {
        Run::new(seed).play(400).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lapse_cuts_within_a_few_milliseconds_and_a_renewal_puts_it_off() {
    let sessions = registry(10);
    let stop = CancellationToken::new();
    let looping = tokio::spawn(sessions.clone().lapse_loop(Arc::new(NobodyElse), stop.clone()));
    let start = Instant::now();
    let granted = sessions.admit(admission(1, 1, 30), start).unwrap();
    let mut permit = granted.session.register_tunnel().unwrap();

    tokio::time::sleep(Duration::from_secs(15)).await;
    let renewed = sessions.admit(admission(1, 2, 30), Instant::now()).unwrap();
    assert_eq!(renewed.renewed, Renewal::Renewed);
    assert_eq!(renewed.session.id(), granted.session.id());

    assert_eq!(permit.cut().await, EndReason::LeaseLapsed);
    let late = start.elapsed() - Duration::from_secs(45);
    assert!(late <= Duration::from_millis(50), "cut {late:?} after the lapse");
    assert!(sessions.is_empty());
    stop.cancel();
    looping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_renewal_with_a_shorter_lease_ends_sooner() {
    let sessions = registry(10);
    let stop = CancellationToken::new();
    tokio::spawn(sessions.clone().lapse_loop(Arc::new(NobodyElse), stop.clone()));
    let start = Instant::now();
    let granted = sessions.admit(admission(1, 1, 600), start).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    sessions.admit(admission(1, 2, 30), Instant::now()).unwrap();
    let mut permit = granted.session.register_tunnel().unwrap();
    assert_eq!(permit.cut().await, EndReason::LeaseLapsed);
    assert_eq!(start.elapsed().as_secs(), 31);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_lapsed_takes_no_tunnel_even_before_the_loop_comes_by() {
    let sessions = registry(10);
    let granted = sessions.admit(admission(1, 1, 30), Instant::now()).unwrap();
    let permit = granted.session.register_tunnel().unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    let lapsed = RegisterError::Ended(EndReason::LeaseLapsed);
    assert_eq!(granted.session.register_tunnel().unwrap_err(), lapsed);
    assert_eq!(permit.still_allowed().unwrap_err(), lapsed);
    assert_eq!(lapsed.code(), ProblemCode::LeaseLapsed);
}

#[tokio::test(start_paused = true)]
async fn the_first_reason_stays_and_reaches_every_watcher() {
    let sessions = registry(10);
    let granted = sessions.admit(admission(1, 1, 30), Instant::now()).unwrap();
    let id = granted.session.id();
    let mut permit = granted.session.register_tunnel().unwrap();
    let mut watch = granted.session.watch().unwrap();
    let waiting = tokio::spawn(async move { (permit.cut().await, watch.ended().await) });
    tokio::task::yield_now().await;
    assert_eq!(sessions.end(&id, EndReason::MeasurementRevoked), Ended { sessions: 1, tunnels: 1 });
    assert_eq!(sessions.end(&id, EndReason::EndedByAdmin), Ended::default());
    let both = (EndReason::MeasurementRevoked, EndReason::MeasurementRevoked);
    assert_eq!(waiting.await.unwrap(), both);
    assert!(sessions.find(&id).is_none());
    assert_eq!(
        granted.session.register_tunnel().unwrap_err(),
        RegisterError::Ended(EndReason::MeasurementRevoked)
    );
}

#[tokio::test(start_paused = true)]
async fn every_limit_holds_and_is_named() {
    let sessions = registry(2);
    let now = Instant::now();
    let first = sessions.admit(admission(1, 1, 30), now).unwrap();
    sessions.admit(admission(2, 1, 30), now).unwrap();
    assert_eq!(sessions.admit(admission(3, 1, 30), now).unwrap_err(), AdmitError::Full { limit: 2 });

    let one = Limits { max_sessions: 1, max_tunnels_per_session: 1, ..Limits::default() };
    let narrow = |key| Admission { workload: workload("narrow", one), ..admission(key, 1, 30) };
    let sessions = registry(10);
    sessions.admit(narrow(1), now).unwrap();
    assert_eq!(sessions.admit(narrow(2), now).unwrap_err(), AdmitError::TooManySessions { limit: 1 });
    sessions.admit(admission(3, 1, 30), now).unwrap();

    let session = sessions.list().into_iter().find(|view| view.workload == "narrow").unwrap();
    let session = sessions.find(&session.id).unwrap();
    let held = session.register_tunnel().unwrap();
    assert_eq!(session.register_tunnel().unwrap_err(), RegisterError::TooManyTunnels { limit: 1 });
    drop(held);
    let _again = session.register_tunnel().unwrap();
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn an_instance_has_so_many_sessions_and_no_more() {
    let sessions = registry(10);
    let now = Instant::now();
    let on = |key, sequence, module: &str| Admission {
        instance: Some(Instance::of_module(module)),
        ..admission(key, sequence, 30)
    };
    let first = sessions.admit(on(1, 1, "i-1-enc1"), now).unwrap();
    sessions.admit(on(2, 1, "i-1-enc2"), now).unwrap();
    let full = AdmitError::TooManyOfInstance { limit: 2 };
    assert_eq!(sessions.admit(on(3, 1, "i-1-enc3"), now).unwrap_err(), full);
    assert_eq!(full.code(), ProblemCode::TooManyOfInstance);
    sessions.admit(on(2, 2, "i-1-enc2"), now).unwrap();
    sessions.admit(on(3, 1, "i-2-enc1"), now).unwrap();
    sessions.end(&first.session.id(), EndReason::EndedByAdmin);
    sessions.admit(on(4, 1, "i-1-enc4"), now).unwrap();
    assert_eq!(sessions.admit(on(5, 1, "i-1-enc5"), now).unwrap_err(), full);

    // What another process admitted is counted when it attests here, and stays.
    sessions
        .restore(SessionId::from_bytes([9; 16]), admission(6, 1, 30), now + Duration::from_secs(30))
        .unwrap();
    sessions.admit(on(6, 2, "i-1-enc6"), now).unwrap();
    assert_eq!(sessions.admit(on(6, 3, "i-2-enc6"), now).unwrap_err(), AdmitError::Conflict);
    sessions
        .end_where(EndReason::EndedByAdmin, |session| session.key() != KeyThumbprint::from_bytes([6; 32]));
    sessions.admit(on(7, 1, "i-1-enc7"), now).unwrap();
    assert_eq!(sessions.admit(on(8, 1, "i-1-enc8"), now).unwrap_err(), full);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_renewed_only_as_what_it_was() {
    let sessions = registry(10);
    let now = Instant::now();
    sessions.admit(admission(1, 5, 30), now).unwrap();
    for got in [0, 4, 5] {
        assert_eq!(
            sessions.admit(admission(1, got, 30), now).unwrap_err(),
            AdmitError::SequenceReplayed { last: 5, got }
        );
    }
    for foreign in [
        Admission { boot_id: BootId::from_bytes([9; 16]), ..admission(1, 6, 30) },
        Admission { measurement: "other".into(), ..admission(1, 6, 30) },
        Admission { workload: workload("other", Limits::default()), ..admission(1, 6, 30) },
    ] {
        assert_eq!(sessions.admit(foreign, now).unwrap_err(), AdmitError::Conflict);
    }
    assert_eq!(sessions.list()[0].sequence, 5, "a refusal changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_restored_session_keeps_its_id_and_its_end() {
    let sessions = registry(10);
    let id = SessionId::from_bytes([7; 16]);
    let ends = Instant::now() + Duration::from_secs(9);
    sessions.restore(id, admission(1, 4, 30), ends).unwrap();
    assert_eq!(sessions.restore(id, admission(2, 4, 30), ends).unwrap_err(), AdmitError::NotRestorable);
    let other = SessionId::from_bytes([8; 16]);
    assert_eq!(sessions.restore(other, admission(1, 4, 30), ends).unwrap_err(), AdmitError::Conflict);
    let over = Instant::now();
    assert_eq!(sessions.restore(other, admission(2, 4, 30), over).unwrap_err(), AdmitError::NotRestorable);
    let stale = AdmitError::SequenceReplayed { last: 4, got: 4 };
    assert_eq!(sessions.admit(admission(1, 4, 30), Instant::now()).unwrap_err(), stale);
    assert_eq!(sessions.lapse(ends - Duration::from_millis(1)), Ended::default());
    assert_eq!(sessions.lapse(ends), Ended { sessions: 1, tunnels: 0 });
}

#[tokio::test(start_paused = true)]
async fn ends_by_hand_leave_no_growing_heap() {
    let sessions = registry(10);
    for round in 0..20_000u32 {
        let granted = sessions.admit(admission(1, 1, 600), Instant::now()).unwrap();
        sessions.end(&granted.session.id(), EndReason::EndedByAdmin);
        let bound = deadlines::SLACK + 2;
        assert!(sessions.deadline_entries() <= bound, "round {round}: {}", sessions.deadline_entries());
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

fn workload(name: &str, limits: Limits) -> Arc<Workload> {
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
