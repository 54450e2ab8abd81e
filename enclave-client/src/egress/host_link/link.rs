use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use countersign_protocol::{Destination, Host, Problem, egress::EgressPolicy};
use countersign_telemetry::TraceContext;
use tokio::time::{Instant, sleep, timeout};

use super::{
    cache::Cache,
    line::{Line, Trouble},
    trunks::Trunks,
};
use crate::{
    egress::EgressError,
    host::wire::{Accepted, Addresses, Answer, AnswerError, HostCode, Request},
    random::Fraction,
    transport::{Dial, Stream, pause},
    trunk::Trunk,
};

/// The way to the host half. Clones share what it knows.
#[derive(Clone, Debug)]
pub struct HostLink(pub(super) Arc<Link>);

#[derive(Debug)]
pub(super) struct Link {
    at: Dial,
    cache: Cache,
    trunks: Trunks,
    /// When the host half was last found to be away.
    away: Mutex<Option<Instant>>,
}

impl HostLink {
    /// Knows where the host half listens; connects when asked to.
    pub fn new(at: Dial) -> Self {
        let (cache, trunks) = (Cache::default(), Trunks::default());
        Self(Arc::new(Link { at, cache, trunks, away: Mutex::default() }))
    }

    /// Where the host half listens.
    pub fn at(&self) -> &Dial {
        &self.0.at
    }

    /// Has the host half resolve the name, judges the addresses here, has it dial
    /// one of those that pass. For an address, and for the word `host`, the
    /// judgement of the destination, which the caller made, was the whole one.
    /// With the stream comes the address that the host half says it dialled, of a name one of those that passed.
    /// The host half is told which trace the connection belongs to.
    ///
    /// # Errors
    /// [`EgressError`].
    pub async fn open(
        &self,
        destination: &Destination,
        policy: &EgressPolicy,
        trace: Option<TraceContext>,
    ) -> Result<(Stream, IpAddr), EgressError> {
        let open = async {
            if !destination.host().is_resolved() {
                return self.0.connect(destination, Accepted::Itself, trace).await;
            }
            let judged = judge(policy, destination, &self.0.addresses(destination).await?)?;
            match self.0.connect(destination, Accepted::These(judged), trace).await {
                // The name has moved since it was asked for.
                Err(EgressError::Host(problem)) if HostCode::AddressesDiffer.is(&problem) => {
                    self.0.cache.forget(destination);
                    let judged = judge(policy, destination, &self.0.addresses(destination).await?)?;
                    self.0.connect(destination, Accepted::These(judged), trace).await
                }
                other => other,
            }
        };
        timeout(OPEN_DEADLINE, open).await.unwrap_or(Err(EgressError::Deadline))
    }

    /// The addresses that the host half's resolver knows for a destination, with its port;
    /// never none. An address is itself, and nobody is asked.
    ///
    /// # Errors
    /// [`EgressError`].
    pub async fn resolve(&self, destination: &Destination) -> Result<Vec<SocketAddr>, EgressError> {
        let with_port = |ip: &IpAddr| SocketAddr::new(*ip, destination.port());
        match destination.host() {
            Host::Address(ip) => Ok(vec![with_port(ip)]),
            Host::Name(name) if &**name == Host::PARENT => Err(EgressError::NoAddress),
            Host::Name(_) => {
                let asked = timeout(OPEN_DEADLINE, self.0.addresses(destination)).await;
                let addresses = asked.unwrap_or(Err(EgressError::Deadline))?;
                Ok(addresses.as_slice().iter().map(with_port).collect())
            }
        }
    }

    /// Has the host half dial one address of a destination, which the caller
    /// judged. The name goes along, for the rule sets of the parent name names.
    ///
    /// # Errors
    /// [`EgressError`].
    pub async fn dial(
        &self,
        destination: &Destination,
        address: IpAddr,
        trace: Option<TraceContext>,
    ) -> Result<Stream, EgressError> {
        let accepted = match Addresses::first_of([address]) {
            Some(address) if destination.host().is_resolved() => Accepted::These(address),
            _ => Accepted::Itself,
        };
        let dial = timeout(OPEN_DEADLINE, self.0.connect(destination, accepted, trace));
        let dialled = dial.await.unwrap_or(Err(EgressError::Deadline));
        if let Err(EgressError::Host(problem)) = &dialled
            && HostCode::AddressesDiffer.is(problem)
        {
            // The name has moved: whoever tries again asks anew.
            self.0.cache.forget(destination);
        }
        dialled.map(|(stream, _)| stream)
    }
}

/// Links to one place are one way, whatever each knows of it.
impl PartialEq for HostLink {
    fn eq(&self, other: &Self) -> bool {
        self.0.at == other.0.at
    }
}

impl Eq for HostLink {}

impl Hash for HostLink {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.at.hash(state);
    }
}

/// Those addresses that the enclave's policy lets pass.
fn judge(policy: &EgressPolicy, to: &Destination, addresses: &Addresses) -> Result<Addresses, EgressError> {
    let mut denied = None;
    let mut passing = Vec::new();
    for &address in addresses.as_slice() {
        match policy.judge_address(to, address) {
            Ok(()) => passing.push(address),
            Err(denial) => denied = Some(EgressError::denied(to, &denial)),
        }
    }
    Addresses::first_of(passing).ok_or(denied.unwrap_or(EgressError::NoAddress))
}

impl Link {
    async fn addresses(&self, destination: &Destination) -> Result<Addresses, EgressError> {
        if let Some(known) = self.cache.get(destination) {
            return Ok(known);
        }
        let (_, answer) = self.ask(&Request::Resolve(destination.clone())).await?;
        match answer {
            Answer::Resolved(resolved) => {
                let addresses = resolved.addresses().ok_or(EgressError::NoAddress)?;
                self.cache.put(destination, &addresses, resolved.lifetime_seconds);
                Ok(addresses)
            }
            Answer::Refused(problem) => Err(said(problem)),
            Answer::Connected(_) | Answer::Trunk => Err(invalid(&AnswerError::Body)),
        }
    }

    async fn connect(
        &self,
        to: &Destination,
        accepted: Accepted,
        trace: Option<TraceContext>,
    ) -> Result<(Stream, IpAddr), EgressError> {
        let request = Request::Connect { destination: to.clone(), accepted, trace };
        let (line, answer) = self.ask(&request).await?;
        let Request::Connect { accepted, .. } = &request else { return Err(EgressError::Deadline) };
        match (answer, accepted, to.host()) {
            (Answer::Refused(problem), ..) => Err(said(problem)),
            // A host half that lies says what was asked for; this finds one that errs.
            (Answer::Connected(address), Accepted::These(these), _)
                if !these.as_slice().contains(&address) =>
            {
                Err(invalid(&AnswerError::Field("Countersign-Address")))
            }
            (Answer::Connected(address), Accepted::Itself, Host::Address(asked)) if address != *asked => {
                Err(invalid(&AnswerError::Field("Countersign-Address")))
            }
            (Answer::Connected(address), ..) => Ok((line.into_stream(), address)),
            (Answer::Resolved(_) | Answer::Trunk, ..) => Err(invalid(&AnswerError::Body)),
        }
    }

    /// Asks over a lane of its own, and once more where that one broke: over a new trunk, if with the trunk. A trunk
    /// that stands has a host half that stops, or carries all it can: a connection of its own finds out which.
    async fn ask(&self, request: &Request) -> Result<(Line, Answer), EgressError> {
        let (line, trunk) = self.line().await?;
        let line = match line.ask(request).await {
            Err(Trouble::Gone(_)) if trunk.is_over() => self.line().await?.0,
            Err(Trouble::Gone(_)) => Line::new(self.reach().await?),
            answered => return self.answered(answered),
        };
        self.answered(line.ask(request).await)
    }

    fn answered(&self, answered: Result<(Line, Answer), Trouble>) -> Result<(Line, Answer), EgressError> {
        answered.map_err(|trouble| match trouble {
            Trouble::Gone(why) => self.is_away(&why.to_string()),
            Trouble::Invalid(why) => invalid(&why),
        })
    }

    /// A lane of a trunk that stands, or else of a new one.
    async fn line(&self) -> Result<(Line, Arc<Trunk>), EgressError> {
        let place = self.trunks.next();
        if let Some(found) = place.lane() {
            return Ok(found);
        }
        let _one_at_a_time = place.filling.lock().await;
        if let Some(found) = place.lane() {
            return Ok(found);
        }
        place.fill(self.trunk().await?).ok_or_else(|| self.is_away("it closed a connection at once"))
    }

    /// A new trunk.
    async fn trunk(&self) -> Result<Trunk, EgressError> {
        let (line, answer) = self.answered(Line::new(self.reach().await?).ask(&Request::Trunk).await)?;
        match answer {
            Answer::Trunk => {
                let (trunk, driver) = Trunk::opening(line.into_stream());
                tokio::spawn(driver);
                Ok(trunk)
            }
            Answer::Refused(problem) => Err(said(problem)),
            Answer::Connected(_) | Answer::Resolved(_) => Err(invalid(&AnswerError::Body)),
        }
    }

    /// A new connection. A host half that was there a moment ago is waited for,
    /// with pauses: it may be restarting.
    async fn reach(&self) -> Result<Stream, EgressError> {
        let begun = Instant::now();
        let patience = if self.is_known_away(begun) { Duration::ZERO } else { PATIENCE };
        let mut failures = 0;
        loop {
            match self.at.connect().await {
                Ok(stream) => {
                    *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return Ok(stream);
                }
                Err(why) if begun.elapsed() >= patience => {
                    return Err(self.is_away(&crate::attest::chain(&why)));
                }
                Err(_) => sleep(pause(failures, Fraction::random())).await,
            }
            failures += 1;
        }
    }

    fn is_known_away(&self, now: Instant) -> bool {
        let away = *self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|away| now.duration_since(away) < AWAY)
    }

    fn is_away(&self, why: &str) -> EgressError {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        EgressError::Host(HostCode::HostAway.problem(format!(
            "the host half is away: {why}; is `countersign-enclave host` running on the parent?"
        )))
    }
}

/// What comes from the parent is shown as the parent's words, whatever code it chose.
fn said(problem: Problem) -> EgressError {
    EgressError::Host(Problem { detail: format!("the host half says: {}", problem.detail), ..problem })
}

fn invalid(why: &AnswerError) -> EgressError {
    EgressError::Host(HostCode::HostAnswerInvalid.problem(format!("the host half's answer is wrong: {why}")))
}

/// To open a connection, every attempt included. The host half's own deadlines
/// (5 s to resolve, 8.75 s to connect) end before it.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(20);

/// How long a host half that was not known to be away is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How long it is known to be away without asking twice.
pub(super) const AWAY: Duration = Duration::from_secs(5);
