//! A later connection between peers: within the interval, a key that was attested before is taken without documents.
//!
//! Seen from enclave A, whose peer configurations name two services, each with the image it must run. A has just
//! attested the worker in full ([`crate::exchange`] shows what that is worth) and remembers its key and measurement.

use std::fmt;

use crate::{Part, Parts, Protocol};

/// What exists in one exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later {
    /// Whether the attacker has learnt the worker's key.
    pub workers_key: KeyKept,
}

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKept {
    /// In its enclave only.
    Secret,
    /// With the attacker too.
    Leaked,
}

/// Who opens or accepts the later connection; each with a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// The enclave that was attested.
    Worker,
    /// Anybody else.
    Attacker,
}

/// What A's peer configurations are for. Each accepts one image, of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Computes.
    Worker,
    /// Keeps what must not reach a worker.
    Database,
}

/// One moment, as A sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    memory: Memory,
    images: Images,
    taken: Option<Taken>,
    ignored: Parts,
}

/// What A remembers of the worker's attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Memory {
    WithinInterval,
    Older,
}

/// What the worker's peer configuration accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Images {
    Worker,
    /// A newer serial took the measurement out.
    None,
}

/// A later connection that A took without documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Taken {
    peer: Peer,
    service: Service,
    memory: Memory,
    images: Images,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The interval passes.
    Elapse,
    /// The worker attests in full again.
    Renew,
    /// A newer peer configuration no longer accepts the worker's image.
    Withdraw,
    /// A takes a connection without documents.
    Take {
        /// Who is at the other end.
        peer: Peer,
        /// Whose key it proved.
        key: Peer,
        /// What A takes it for.
        service: Service,
        /// The checks that fail.
        ignored: Parts,
    },
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// Taken: not the enclave that was attested.
    Impostor,
    /// Taken: an enclave whose last attestation is older than the interval.
    Stale,
    /// Taken: an enclave whose image this service does not accept.
    OtherImage,
}

impl Protocol for Later {
    type State = Moment;
    type Step = Step;
    type Breach = Breach;

    fn starts(&self, _: Parts) -> Vec<Moment> {
        let (memory, images) = (Memory::WithinInterval, Images::Worker);
        vec![Moment { memory, images, taken: None, ignored: Parts::NONE }]
    }

    fn steps(&self, removed: Parts, moment: &Moment) -> Vec<Step> {
        if moment.taken.is_some() {
            return Vec::new();
        }
        let mut steps = vec![Step::Elapse, Step::Withdraw];
        if moment.images == Images::Worker {
            steps.push(Step::Renew);
        }
        let attackers_keys: &[Peer] = match self.workers_key {
            KeyKept::Secret => &[Peer::Attacker],
            KeyKept::Leaked => &[Peer::Attacker, Peer::Worker],
        };
        let attackers = attackers_keys.iter().map(|key| (Peer::Attacker, *key));
        for (peer, key) in attackers.chain([(Peer::Worker, Peer::Worker)]) {
            for service in [Service::Worker, Service::Database] {
                let ignored = failing(moment, key, service);
                steps.push(Step::Take { peer, key, service, ignored });
            }
        }
        steps.retain(|step| !matches!(step, Step::Take { ignored, .. } if !ignored.is_within(removed)));
        steps
    }

    fn after(&self, moment: &Moment, step: &Step) -> Moment {
        let Moment { memory, images, .. } = *moment;
        match *step {
            Step::Elapse => Moment { memory: Memory::Older, ..*moment },
            Step::Renew => Moment { memory: Memory::WithinInterval, ..*moment },
            Step::Withdraw => Moment { images: Images::None, ..*moment },
            Step::Take { peer, service, ignored, .. } => {
                let taken = Some(Taken { peer, service, memory, images });
                Moment { taken, ignored: moment.ignored.and(ignored), ..*moment }
            }
        }
    }

    fn ignored(&self, moment: &Moment) -> Parts {
        moment.ignored
    }

    fn breaches(&self, moment: &Moment) -> Vec<Breach> {
        let Some(Taken { peer, service, memory, images }) = moment.taken else { return Vec::new() };
        let mut breaches = Vec::new();
        if peer != Peer::Worker {
            breaches.push(Breach::Impostor);
        }
        if memory == Memory::Older {
            breaches.push(Breach::Stale);
        }
        if peer == Peer::Worker && (service == Service::Database || images == Images::None) {
            breaches.push(Breach::OtherImage);
        }
        breaches
    }

    fn is_goal(&self, moment: &Moment) -> bool {
        moment.taken.is_some_and(|taken| (taken.peer, taken.service) == (Peer::Worker, Service::Worker))
    }

    fn tell_start(&self, _: &Moment) -> Vec<String> {
        Vec::new()
    }

    fn tell_step(&self, _: &Moment, step: &Step) -> String {
        match *step {
            Step::Elapse => "the interval passes".into(),
            Step::Renew => "the worker attests again".into(),
            Step::Withdraw => "the worker's image is accepted no more".into(),
            Step::Take { peer, key, service, ignored } => {
                let key = if key == peer { String::new() } else { format!(" with the {key}'s key") };
                let taken = format!("A takes the {peer}{key} for the {service}, without documents");
                if ignored.is_empty() { taken } else { format!("{taken}, unchecked: {ignored}") }
            }
        }
    }
}

/// The checks that stand in the way of a connection without documents.
fn failing(moment: &Moment, key: Peer, service: Service) -> Parts {
    let accepts = service == Service::Worker && moment.images == Images::Worker;
    Parts::NONE
        .unless(key == Peer::Worker, Part::KnownKey)
        .unless(moment.memory == Memory::WithinInterval, Part::Interval)
        .unless(accepts, Part::Appraisal)
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Attacker => "attacker",
        })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Database => "database",
        })
    }
}
