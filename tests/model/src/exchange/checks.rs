use super::{
    kind::Kind,
    parties::{Party, Place, Purpose},
    setting::Setting,
    world::{Acceptance, Document, Evidence, Nonce, World},
};
use crate::{Part, Parts};

/// The ways to make this verifier take this evidence: for each, the checks that must be left out. A way without any is
/// what the protocol allows.
pub(super) fn ways(setting: &Setting, world: &World, acceptance: &Acceptance) -> Vec<Parts> {
    let challenge = &world.challenges[acceptance.challenge];
    let always = Parts::NONE.unless(!challenge.used, Part::OneUse);
    let ways = match acceptance.evidence {
        Evidence::Honest(number) => honest(setting, world, acceptance, number),
        Evidence::Attackers => attackers(world, acceptance.by),
    };
    ways.into_iter().map(|way| way.and(always)).collect()
}

/// What the attacker makes to measure is right in everything that he can know of this connection. His NSM signs only
/// the measurements that it sees; what says otherwise is signed by nobody.
fn attackers(world: &World, by: Place) -> Vec<Parts> {
    let forged = Parts::of([Part::Signature]);
    let genuine = match world.end(by).purpose {
        Purpose::Initiate(_) => Parts::of([Part::Measurement, Part::Instance]),
        _ => Parts::of([Part::Measurement]),
    };
    vec![genuine, forged]
}

fn honest(setting: &Setting, world: &World, acceptance: &Acceptance, number: usize) -> Vec<Parts> {
    let Acceptance { by, challenge, .. } = *acceptance;
    let document = &world.documents[number];
    let (verifier, peer) = (world.end(by), world.end(by.other()));
    let (maker, shown_to) = (world.end(document.made_at), world.end(document.made_at.other()));
    let kind = Kind::of(setting, maker.purpose);
    let wanted = Kind::of(setting, verifier.purpose);
    let in_binder = Parts::NONE
        .unless(shown_to.key == verifier.key, Part::ServerKey)
        .unless(maker.purpose.role() == verifier.purpose.expects(), Part::Role)
        .unless(document.deployment == setting.deployment_of(verifier.party), Part::Deployment)
        .unless(follows(world, by, number), Part::Sequence)
        .unless(is_round(world, by, challenge, document), Part::Nonces)
        .and(wanted.says().minus(kind.says()));
    let failing = Parts::NONE
        .unless(is_wanted(verifier.purpose, maker.party), Part::Instance)
        .unless(document.nonce == Nonce::Of(challenge), Part::Nonce)
        .unless(maker.key == peer.key, Part::PublicKey)
        .unless(maker.key == peer.key, Part::AttesterKey)
        .unless(kind == wanted, Part::Label)
        .and(in_binder.within(wanted.says()));
    let context = match wanted {
        Kind::Peer => is_round(world, by, challenge, document),
        Kind::Proxy | Kind::Ingress => document.nonce == Nonce::Of(challenge),
    };
    let same = kind == wanted && document.made_at.connection == by.connection;
    exporter(same, context).into_iter().map(|way| way.and(failing)).collect()
}

/// The exporter's label names the kind of evidence, and its value the connection; its context holds the challenge. When
/// only the context is another, either of the two parts is enough to be left out.
fn exporter(same: bool, context: bool) -> Vec<Parts> {
    match (same, context) {
        (true, true) => vec![Parts::NONE],
        (true, false) => vec![Parts::of([Part::Context]), Parts::of([Part::Exporter])],
        (false, _) => vec![Parts::of([Part::Exporter])],
    }
}

/// Both nonces are those of the verifier's round: the one that it gave, and the one that it answered itself.
fn is_round(world: &World, by: Place, challenge: usize, document: &Document) -> bool {
    let answered = world.answer_in_round(by, challenge).map(|own| own.nonce);
    document.nonce == Nonce::Of(challenge) && document.own.map(Nonce::Of) == answered
}

/// An initiator's peer configuration pins the instance; everybody else takes each instance of the image.
fn is_wanted(purpose: Purpose, maker: Party) -> bool {
    match purpose {
        Purpose::Initiate(wanted) => maker == wanted,
        _ => true,
    }
}

/// Same boot, and a greater number than any that this verifier took for the same TLS key. Documents that the attacker
/// makes carry whatever fits.
fn follows(world: &World, by: Place, number: usize) -> bool {
    let boot = |number: usize| world.end(world.documents[number].made_at).party;
    let earlier = world.accepted.iter().filter(|earlier| {
        world.end(earlier.by).party == world.end(by).party
            && world.end(earlier.by.other()).key == world.end(by.other()).key
    });
    earlier.into_iter().all(|earlier| match earlier.evidence {
        Evidence::Honest(last) => boot(last) == boot(number) && last < number,
        Evidence::Attackers => true,
    })
}
