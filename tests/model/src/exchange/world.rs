use super::{
    breaches::{self, Breach},
    moves,
    parties::{Connection, Deployment, End, Place},
    setting::Setting,
    words,
};
use crate::{Parts, Protocol};

/// One moment of the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// All there will be in this run.
    pub connections: Vec<Connection>,
    /// In the order in which they were made.
    pub challenges: Vec<Challenge>,
    /// Those of honest enclaves, in the order in which they were made. A document's place in this list is its sequence
    /// number too: it grows within each enclave.
    pub documents: Vec<Document>,
    /// In order.
    pub accepted: Vec<Acceptance>,
    /// Checks that failed on the way here.
    pub ignored: Parts,
}

/// A nonce that an honest end made and sent to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Challenge {
    /// Who asked, and where.
    pub by: Place,
    /// It was answered, with success.
    pub used: bool,
}

/// What the NSM of an honest enclave signed. All else that stands in it (key, SPKIs, exporter, role) follows from the
/// place where it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Document {
    /// Who made it, and for which connection.
    pub made_at: Place,
    /// The challenge it answers, and the exporter's context.
    pub nonce: Nonce,
    /// The attester's own challenge in this round, where the binder names both nonces.
    pub own: Option<usize>,
    /// The deployment in the binder.
    pub deployment: Deployment,
    /// How many challenges there were when it was made.
    pub seen: usize,
}

/// What an enclave is asked to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nonce {
    /// The challenge with this number.
    Of(usize),
    /// One that the attacker made up.
    Attackers,
}

/// A document that a verifier took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Acceptance {
    /// Who, and for the key of the other end of which connection.
    pub by: Place,
    /// For this challenge.
    pub challenge: usize,
    /// On this evidence.
    pub evidence: Evidence,
}

/// What an acceptance rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The honest document with this number.
    Honest(usize),
    /// A document that the attacker made to measure: signed by his own enclave's NSM, or by nobody.
    Attackers,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An honest end makes a challenge. An earlier one of this end can be answered no more.
    Ask(Place),
    /// An honest enclave makes a document for what it was asked on this connection.
    Answer(Document),
    /// An honest end takes a document as the answer to its last challenge, although these checks fail.
    Take(Acceptance, Parts),
}

impl World {
    /// The end of a connection.
    pub fn end(&self, place: Place) -> &End {
        self.connections[place.connection].end(place.side)
    }

    /// The last challenge that this end made.
    pub(super) fn last_challenge(&self, by: Place) -> Option<usize> {
        self.challenges.iter().rposition(|challenge| challenge.by == by)
    }

    /// The document that this end made in the round that it began with this challenge.
    pub(super) fn answer_in_round(&self, by: Place, challenge: usize) -> Option<&Document> {
        self.documents.iter().find(|document| (document.made_at, document.own) == (by, Some(challenge)))
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        (0..self.connections.len()).flat_map(Place::both)
    }
}

impl Protocol for Setting {
    type State = World;
    type Step = Step;
    type Breach = Breach;

    fn starts(&self, removed: Parts) -> Vec<World> {
        let possible = self.connections();
        let possible: Vec<_> = possible.iter().filter(|(_, ignored)| ignored.is_within(removed)).collect();
        let mut starts = vec![(World::empty(), 0)];
        let mut longest = starts.clone();
        for _ in 0..self.bounds.connections {
            let mut longer = Vec::new();
            for (world, from) in longest {
                // Connections are numbered in the order of `possible`: which was made first means nothing.
                for (number, (connection, ignored)) in possible.iter().enumerate().skip(from) {
                    let mut world = world.clone();
                    world.connections.push(*connection);
                    world.ignored = world.ignored.and(*ignored);
                    longer.push((world, number));
                }
            }
            starts.extend(longer.iter().cloned());
            longest = longer;
        }
        starts.into_iter().map(|(world, _)| world).collect()
    }

    fn steps(&self, removed: Parts, world: &World) -> Vec<Step> {
        moves::of(self, removed, world)
    }

    fn after(&self, world: &World, step: &Step) -> World {
        let mut world = world.clone();
        match *step {
            Step::Ask(by) => world.challenges.push(Challenge { by, used: false }),
            Step::Answer(document) => world.documents.push(document),
            Step::Take(acceptance, ignored) => {
                world.challenges[acceptance.challenge].used = true;
                world.accepted.push(acceptance);
                world.ignored = world.ignored.and(ignored);
            }
        }
        world
    }

    fn ignored(&self, world: &World) -> Parts {
        world.ignored
    }

    fn breaches(&self, world: &World) -> Vec<Breach> {
        breaches::of(self, world)
    }

    /// Each end that asks has taken a document of the other, on a connection between honest parties.
    fn is_goal(&self, world: &World) -> bool {
        (0..world.connections.len()).any(|connection| {
            let asking = Place::both(connection).into_iter().filter(|place| {
                let end = world.end(*place);
                end.purpose.expects().is_some() || end.is_attacker()
            });
            let mut asking = asking.peekable();
            asking.peek().is_some()
                && asking.all(|place| world.accepted.iter().any(|acceptance| acceptance.by == place))
        })
    }

    fn tell_start(&self, world: &World) -> Vec<String> {
        words::start(world)
    }

    fn tell_step(&self, world: &World, step: &Step) -> String {
        words::step(world, step)
    }
}

impl World {
    fn empty() -> Self {
        Self {
            connections: Vec::new(),
            challenges: Vec::new(),
            documents: Vec::new(),
            accepted: Vec::new(),
            ignored: Parts::NONE,
        }
    }
}
