//! The keeper against a scripted site: paused time, no sockets.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use countersign_protocol::{Deployment, Epoch, LeaseBounds, Nonce, Problem, ProblemCode, SessionId};
use tokio::sync::mpsc;

use super::*;
use crate::{
    attest::Trouble,
    key::EnclaveKey,
    tls::{Anchors, Protocol, client_config},
};

/// What happened, with the time since the start in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Resolved,
    Connected(&'static str),
    Attested(&'static str),
    Failed(&'static str),
}

#[derive(Clone, Copy)]
enum Step {
    Grant {
        epoch: u64,
    },
    Refuse(ProblemCode),
    Break,
    /// Granted at an epoch, and the connection closes at once.
    GrantAndClose {
        epoch: u64,
    },
    ConnectFails,
}

#[derive(Clone)]
struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    events: mpsc::UnboundedSender<(u64, Event)>,
    start: Instant,
    addresses: &'static [&'static str],
    attested: Arc<dyn Fn(u64) -> Attested + Send + Sync>,
}

impl Script {
    fn tell(&self, event: Event) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap();
        self.events.send((ms, event)).unwrap();
    }

    fn next(&self) -> Step {
        self.steps.lock().unwrap().pop_front().unwrap_or(Step::Grant { epoch: u64::MAX })
    }

    fn peek_connect_fails(&self) -> bool {
        let mut steps = self.steps.lock().unwrap();
        let fails = matches!(steps.front(), Some(Step::ConnectFails));
        if fails {
            steps.pop_front();
        }
        fails
    }
}

struct ScriptedLink {
    script: Script,
    address: &'static str,
    step: Step,
    closes: bool,
}

impl Site for Script {
    type Address = &'static str;
    type Link = ScriptedLink;

    async fn resolve(&self) -> Result<Vec<&'static str>, AttestError> {
        self.tell(Event::Resolved);
        Ok(self.addresses.to_vec())
    }

    async fn connect(&self, address: &&'static str) -> Result<ScriptedLink, AttestError> {
        if self.peek_connect_fails() {
            self.tell(Event::Failed(address));
            return Err(AttestError::Deadline { what: "connect" });
        }
        self.tell(Event::Connected(address));
        Ok(ScriptedLink { script: self.clone(), address, step: Step::Break, closes: false })
    }
}

impl Link for ScriptedLink {
    async fn challenge(&mut self) -> Result<Challenge, AttestError> {
        self.step = self.script.next();
        let epoch = match self.step {
            Step::Grant { epoch } | Step::GrantAndClose { epoch } => epoch,
            Step::Refuse(code) => {
                self.script.tell(Event::Failed(self.address));
                return Err(AttestError::Refused(Problem::new(code, "no", "r1")));
            }
            Step::Break | Step::ConnectFails => {
                self.script.tell(Event::Failed(self.address));
                return Err(AttestError::Deadline { what: "the challenge" });
            }
        };
        Ok(Challenge {
            nonce: Nonce::from_bytes([0; 32]),
            deployment: "demo".parse::<Deployment>().unwrap(),
            epoch: Epoch(epoch),
            lease_bounds: LeaseBounds::default(),
        })
    }

    async fn answer(&mut self, challenge: &Challenge, lease: Lease) -> Result<Attested, AttestError> {
        assert_eq!(lease, Lease::MIN);
        self.closes = matches!(self.step, Step::GrantAndClose { .. });
        self.script.tell(Event::Attested(self.address));
        Ok((self.script.attested)(challenge.epoch.0))
    }

    async fn closed(&mut self) {
        if !self.closes {
            std::future::pending::<()>().await;
        }
    }
}

struct Run {
    events: mpsc::UnboundedReceiver<(u64, Event)>,
    status: watch::Receiver<Status>,
    nudge: Nudge,
    _stop: tokio_util::sync::DropGuard,
}

impl Run {
    fn start(addresses: &'static [&'static str], steps: &[Step], jitter: fn() -> Fraction) -> Self {
        let key = EnclaveKey::generate().unwrap();
        let tls = |protocol| client_config(&Anchors::bundled(), key.self_signed(), protocol).unwrap();
        let (http1, http2) = (tls(Protocol::Http1), tls(Protocol::Http2));
        let attested = move |epoch| Attested {
            session: SessionId::from_bytes([1; 16]),
            lease: Lease::MIN,
            epoch: Epoch(epoch),
            asked_at: Instant::now(),
            gateway: None,
            http1: http1.clone(),
            http2: http2.clone(),
        };
        let (sender, events) = mpsc::unbounded_channel();
        let script = Script {
            steps: Arc::new(Mutex::new(steps.iter().copied().collect())),
            events: sender,
            start: Instant::now(),
            addresses,
            attested: Arc::new(attested),
        };
        let nudge = Nudge::default();
        let (keeper, status) = Keeper::new(script, Interval::MIN, nudge.clone());
        let stop = CancellationToken::new();
        tokio::spawn(keeper.with_jitter(jitter).run(stop.clone()));
        Self { events, status, nudge, _stop: stop.drop_guard() }
    }

    async fn next(&mut self) -> (u64, Event) {
        self.events.recv().await.unwrap()
    }

    async fn take(&mut self, count: usize) -> Vec<(u64, Event)> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.next().await);
        }
        all
    }
}

const GRANT: Step = Step::Grant { epoch: 7 };

fn half() -> Fraction {
    Fraction::HALF
}

#[tokio::test(start_paused = true)]
async fn it_attests_again_at_half_the_lease_on_the_same_connection() {
    use Event::*;
    let mut run = Run::start(&["a"], &[GRANT, GRANT, GRANT], half);
    let seen = run.take(5).await;
    assert_eq!(
        seen,
        [
            (0, Resolved),
            (0, Connected("a")),
            (0, Attested("a")),
            (15_000, Attested("a")),
            (30_000, Attested("a"))
        ]
    );
    let mut early = Run::start(&["a"], &[GRANT, GRANT], || Fraction::ZERO);
    assert_eq!(early.take(4).await[3], (13_500, Attested("a")));
    let mut late = Run::start(&["a"], &[GRANT, GRANT], || Fraction::ONE);
    assert_eq!(late.take(4).await[3], (16_500, Attested("a")));
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_replaced_while_the_lease_goes_on() {
    use Event::*;
    let mut run = Run::start(&["a"], &[GRANT, Step::Break, GRANT], half);
    let seen = run.take(7).await;
    assert_eq!(
        seen[3..],
        [(15_000, Failed("a")), (15_000, Resolved), (15_000, Connected("a")), (15_000, Attested("a"))]
    );
    assert!(run.status.borrow().session(Instant::now()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_the_old_lease_goes_on_until_it_lapses() {
    use Event::*;
    let steps: Vec<_> = [GRANT, Step::Break].into_iter().chain([Step::ConnectFails; 6]).collect();
    let mut run = Run::start(&["a"], &steps, || Fraction::ONE);
    run.take(3).await;
    assert_eq!(run.next().await, (16_500, Failed("a")));
    // Full jitter at its widest: 0.5, 1, 2, 4, 8 s after each failure.
    for at in [16_500, 17_000, 18_000, 20_000, 24_000] {
        assert_eq!(run.take(2).await, [(at, Resolved), (at, Failed("a"))]);
        assert!(run.status.borrow().session(Instant::now()).is_ok(), "lease of 30 s, {at} ms");
    }
    assert_eq!(run.take(2).await, [(32_000, Resolved), (32_000, Failed("a"))]);
    let expected = Trouble::Failed {
        code: "proxy-timeout".to_owned(),
        detail: "connect was not done in time".to_owned(),
        request_id: None,
    };
    assert_eq!(run.status.borrow().session(Instant::now()).unwrap_err(), &expected);
}

#[tokio::test(start_paused = true)]
async fn every_address_is_tried_in_turn_and_the_next_round_begins_with_the_next() {
    use Event::*;
    let steps = [Step::ConnectFails, Step::Break, GRANT, Step::Break, GRANT];
    let mut run = Run::start(&["a", "b", "c"], &steps, half);
    let seen: Vec<_> = run.take(11).await.into_iter().map(|(_, event)| event).collect();
    assert_eq!(
        seen,
        [
            Resolved,
            Failed("a"),
            Connected("b"),
            Failed("b"),
            Connected("c"),
            Attested("c"),
            // The standing connection breaks: c first, where it worked.
            Failed("c"),
            Resolved,
            Connected("c"),
            Attested("c"),
            Attested("c"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_round_and_is_published_with_code_and_request_id() {
    use Event::*;
    let mut run = Run::start(&["a", "b"], &[Step::Refuse(ProblemCode::MeasurementRevoked), GRANT], half);
    assert_eq!(run.take(3).await, [(0, Resolved), (0, Connected("a")), (0, Failed("a"))]);
    run.status.changed().await.unwrap();
    let expected = Trouble::Failed {
        code: "measurement-revoked".to_owned(),
        detail: "no".to_owned(),
        request_id: Some("r1".to_owned()),
    };
    assert_eq!(run.status.borrow_and_update().trouble(), &expected);
    // Half of the first window of 500 ms above the floor of 100 ms.
    assert_eq!(run.take(3).await, [(300, Resolved), (300, Connected("b")), (300, Attested("b"))]);
    run.status.changed().await.unwrap();
    assert_eq!(run.status.borrow().trouble(), &Trouble::Nothing);
}

#[tokio::test(start_paused = true)]
async fn a_draining_replica_sends_us_to_the_next_at_once() {
    use Event::*;
    let mut run = Run::start(&["a", "b"], &[Step::Refuse(ProblemCode::Draining), GRANT], half);
    let seen = run.take(5).await;
    assert_eq!(seen[2..], [(0, Failed("a")), (0, Connected("b")), (0, Attested("b"))]);
}

#[tokio::test(start_paused = true)]
async fn an_address_whose_epoch_goes_back_is_not_attested_to() {
    use Event::*;
    let steps = [GRANT, Step::Break, Step::Grant { epoch: 6 }, Step::Grant { epoch: 7 }];
    let mut run = Run::start(&["old", "new"], &steps, half);
    run.take(3).await;
    let seen: Vec<_> = run.take(5).await.into_iter().map(|(_, event)| event).collect();
    // No Attested("old"): no document was shown to it.
    assert_eq!(seen, [Failed("old"), Resolved, Connected("old"), Connected("new"), Attested("new")]);
}

#[tokio::test(start_paused = true)]
async fn a_nudge_hurries_but_never_more_than_once_a_second() {
    use Event::*;
    let mut run = Run::start(&["a"], &[], || Fraction::ZERO);
    run.take(3).await;
    for at in [1000, 2000, 3000] {
        run.nudge.attest_soon();
        assert_eq!(run.next().await, (at, Attested("a")));
    }
    assert_eq!(run.next().await, (16_500, Attested("a")));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_hurries_only_if_it_had_stood() {
    use Event::*;
    // Closed before its first renewal: the usual time.
    let mut run = Run::start(&["a"], &[Step::GrantAndClose { epoch: 1 }], half);
    let seen = run.take(6).await;
    assert_eq!(seen[3..], [(15_000, Resolved), (15_000, Connected("a")), (15_000, Attested("a"))]);
    // Closed after a renewal: the proxy restarted, so 0 to 2 s.
    let mut run = Run::start(&["a"], &[GRANT, Step::GrantAndClose { epoch: 7 }], half);
    let seen = run.take(7).await;
    assert_eq!(
        seen[3..],
        [(15_000, Attested("a")), (16_000, Resolved), (16_000, Connected("a")), (16_000, Attested("a"))]
    );
}
