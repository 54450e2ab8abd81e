use super::{
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
    let failing = Parts::NONE
        .unless(is_wanted(verifier.purpose, maker.party), Part::Instance)
        .unless(document.nonce == Nonce::Of(challenge), Part::Nonce)
        .unless(maker.key == peer.key, Part::PublicKey)
        .unless(maker.key == peer.key, Part::AttesterKey)
        .unless(shown_to.key == verifier.key, Part::ServerKey)
        .unless(maker.purpose.role() == verifier.purpose.expects(), Part::Role)
        .unless(document.deployment == setting.deployment_of(verifier.party), Part::Deployment)
        .unless(follows(world, by, number), Part::Sequence)
        .and(absent(maker.purpose));
    let exporter = match maker.purpose {
        Purpose::Show => vec![Parts::of([Part::Exporter])],
        _ => exporter(document, by, challenge),
    };
    exporter.into_iter().map(|way| way.and(failing)).collect()
}

/// What a document made for this purpose says nothing of. The exporter of an ingress port has another label, so that it
/// fits nowhere else.
fn absent(purpose: Purpose) -> Parts {
    match purpose {
        Purpose::Show => Parts::of([Part::ServerKey, Part::Deployment, Part::Sequence]),
        _ => Parts::NONE,
    }
}

/// The exporter names the connection and has the challenge as its context. When only the context is another, either of
/// the two parts is enough to be left out.
fn exporter(document: &Document, by: Place, challenge: usize) -> Vec<Parts> {
    let same_connection = document.made_at.connection == by.connection;
    match (same_connection, document.nonce == Nonce::Of(challenge)) {
        (true, true) => vec![Parts::NONE],
        (true, false) => vec![Parts::of([Part::Context]), Parts::of([Part::Exporter])],
        (false, _) => vec![Parts::of([Part::Exporter])],
    }
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
