use std::{collections::VecDeque, sync::Arc};

use countersign_protocol::SessionId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{http1::Idle, http2::Standing, limits};
use crate::attest::Attested;

/// The connections of one session, and when the sessions before it end.
///
/// A renewal keeps the session and so its connections: the gateway goes by the
/// session's record, not by the certificate shown when a connection began. A new
/// session has connections of its own; what runs on the old ones may finish
/// until the old lease lapses.
pub(super) struct State {
    current: Option<Generation>,
    retired: VecDeque<Retired>,
    last_open: Instant,
}

struct Generation {
    session: SessionId,
    until: Instant,
    cut: CancellationToken,
    standing: Vec<Standing>,
    idle: VecDeque<Idle>,
}

struct Retired {
    until: Instant,
    cut: CancellationToken,
}

/// What a look at the connections found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// What to connect next.
    pub(super) missing: Option<Missing>,
    /// The other end closed a connection soon after it was made.
    pub(super) died_young: bool,
}

/// What the pool lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Standing,
    Idle,
}

impl State {
    pub(super) fn new(now: Instant) -> Self {
        Self { current: None, retired: VecDeque::new(), last_open: now }
    }

    /// Makes `attested` the current session, or prolongs it if it is; its cut.
    pub(super) fn adopt(&mut self, attested: &Arc<Attested>) -> CancellationToken {
        if let Some(current) = &mut self.current
            && current.session == attested.session
        {
            current.until = current.until.max(attested.until());
            return current.cut.clone();
        }
        self.retire();
        let cut = CancellationToken::new();
        self.current = Some(Generation {
            session: attested.session,
            until: attested.until(),
            cut: cut.clone(),
            standing: Vec::new(),
            idle: VecDeque::new(),
        });
        cut
    }

    fn retire(&mut self) {
        if let Some(Generation { until, cut, .. }) = self.current.take() {
            self.retired.push_back(Retired { until, cut });
        }
        while self.retired.len() > limits::RETIRED
            && let Some(oldest) = self.retired.pop_front()
        {
            oldest.cut.cancel();
        }
    }

    /// Ends the tunnels of every lease that is over.
    pub(super) fn cut_lapsed(&mut self, now: Instant) {
        if let Some(current) = self.current.take_if(|current| current.until <= now) {
            current.cut.cancel();
        }
        self.retired.retain(|retired| {
            let lasts = now < retired.until;
            if !lasts {
                retired.cut.cancel();
            }
            lasts
        });
    }

    pub(super) fn cut_all(&mut self) {
        self.retire();
        for retired in self.retired.drain(..) {
            retired.cut.cancel();
        }
    }

    /// When [`State::cut_lapsed`] has something to do next.
    pub(super) fn next_cut(&self) -> Option<Instant> {
        let current = self.current.iter().map(|current| current.until);
        current.chain(self.retired.iter().map(|retired| retired.until)).min()
    }

    pub(super) fn opened_at(&mut self, now: Instant) {
        self.last_open = now;
    }

    /// Drops what is dead or not needed, and says what to connect next.
    pub(super) fn survey(&mut self, now: Instant) -> Survey {
        let active = now.duration_since(self.last_open) < limits::ACTIVE;
        let mut survey = Survey::default();
        let Some(current) = self.current.as_mut() else {
            return survey;
        };
        let young = |since: Instant| now.duration_since(since) < limits::YOUNG;
        current.standing.retain(|standing| {
            survey.died_young |= !standing.is_alive() && young(standing.since());
            standing.is_alive()
        });
        current.idle.retain_mut(|idle| {
            let alive = idle.is_alive(now);
            survey.died_young |= !alive && young(idle.since());
            alive && active
        });
        let full = !current.standing.iter().any(Standing::has_room);
        if full && current.standing.len() < limits::STANDING {
            survey.missing = Some(Missing::Standing);
        } else if active && current.idle.len() < limits::IDLE {
            survey.missing = Some(Missing::Idle);
        }
        survey
    }

    /// A warm connection that still lives.
    pub(super) fn take_idle(&mut self, now: Instant) -> Option<Idle> {
        let idle = &mut self.current.as_mut()?.idle;
        std::iter::from_fn(|| idle.pop_front()).find_map(|mut idle| idle.is_alive(now).then_some(idle))
    }

    /// A standing connection with room.
    pub(super) fn pick_standing(&self) -> Option<Standing> {
        self.current.as_ref()?.standing.iter().find(|standing| standing.has_room()).cloned()
    }

    /// Keeps a new connection, unless its session is over by now.
    pub(super) fn add_standing(&mut self, session: SessionId, standing: Standing) {
        if let Some(current) = self.current.as_mut().filter(|current| current.session == session) {
            current.standing.push(standing);
        }
    }

    /// Keeps a new connection, unless its session is over by now.
    pub(super) fn add_idle(&mut self, session: SessionId, idle: Idle) {
        if let Some(current) = self.current.as_mut().filter(|current| current.session == session) {
            current.idle.push_back(idle);
        }
    }
}
