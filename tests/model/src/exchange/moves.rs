use super::{
    checks,
    kind::Kind,
    parties::{Deployment, Place, Purpose},
    setting::{Naming, Setting},
    world::{Acceptance, Document, Evidence, Nonce, Step, World},
};
use crate::Parts;

/// What can happen next when these checks are removed.
pub(super) fn of(setting: &Setting, removed: Parts, world: &World) -> Vec<Step> {
    let mut steps = Vec::new();
    asks(setting, world, &mut steps);
    answers(setting, world, &mut steps);
    takes(setting, removed, world, &mut steps);
    steps
}

fn asks(setting: &Setting, world: &World, steps: &mut Vec<Step>) {
    if world.challenges.len() < setting.bounds.challenges {
        let asks = world.places().filter(|place| world.end(*place).purpose.expects().is_some());
        steps.extend(asks.map(Step::Ask));
    }
}

fn answers(setting: &Setting, world: &World, steps: &mut Vec<Step>) {
    if world.documents.len() == setting.bounds.documents {
        return;
    }
    for made_at in world.places().filter(|place| world.end(*place).purpose.role().is_some()) {
        let own = match Kind::of(setting, world.end(made_at).purpose) {
            Kind::Peer => match world.last_challenge(made_at) {
                // One answer in a round, and a round begins with one's own nonce.
                Some(own) if world.answer_in_round(made_at, own).is_none() => Some(own),
                _ => continue,
            },
            Kind::Proxy | Kind::Ingress => None,
        };
        for nonce in asked_at(world, made_at) {
            // Once each: a second document for the same nonce would differ in its sequence number only.
            let made = |known: &Document| (known.made_at, known.nonce, known.own) == (made_at, nonce, own);
            if world.documents.iter().any(made) {
                continue;
            }
            for deployment in named(setting, world, made_at) {
                let seen = world.challenges.len();
                steps.push(Step::Answer(Document { made_at, nonce, own, deployment, seen }));
            }
        }
    }
}

/// The deployment that an enclave writes into its binder; where the attacker names it, each.
fn named(setting: &Setting, world: &World, place: Place) -> Vec<Deployment> {
    let other = world.end(place.other());
    match (world.end(place).purpose, setting.naming) {
        (Purpose::Attest(site), Naming::Manifest) => vec![site],
        (Purpose::Attest(_), Naming::Challenge) if other.is_attacker() => {
            vec![Deployment::First, Deployment::Second]
        }
        (Purpose::Attest(_), Naming::Challenge) => vec![setting.deployment_of(other.party)],
        _ => vec![setting.deployment_of(world.end(place).party)],
    }
}

fn takes(setting: &Setting, removed: Parts, world: &World, steps: &mut Vec<Step>) {
    if world.accepted.len() == setting.bounds.acceptances {
        return;
    }
    for by in world.places() {
        let Some(challenge) = world.last_challenge(by) else { continue };
        let is_peer = Kind::of(setting, world.end(by).purpose) == Kind::Peer;
        if is_peer && world.answer_in_round(by, challenge).is_none() {
            continue;
        }
        for evidence in shown_at(world, by) {
            let acceptance = Acceptance { by, challenge, evidence };
            let ways = checks::ways(setting, world, &acceptance);
            let open = ways.into_iter().filter(|ignored| ignored.is_within(removed));
            steps.extend(open.map(|ignored| Step::Take(acceptance, ignored)));
        }
    }
}

/// The nonces that an enclave may be asked to sign here: an honest end sends its own challenges, and an old one may
/// arrive late; the attacker sends any.
fn asked_at(world: &World, place: Place) -> Vec<Nonce> {
    let all = world.challenges.iter().enumerate();
    if world.end(place.other()).is_attacker() {
        all.map(|(number, _)| Nonce::Of(number)).chain([Nonce::Attackers]).collect()
    } else {
        let sent = all.filter(|(_, challenge)| challenge.by == place.other());
        sent.map(|(number, _)| Nonce::Of(number)).collect()
    }
}

/// The evidence that may arrive here: an honest end sends each document that it made for this connection once, and the
/// network may delay it; the attacker sends any, as often as he likes.
fn shown_at(world: &World, by: Place) -> Vec<Evidence> {
    let all = world.documents.iter().enumerate();
    if world.end(by.other()).is_attacker() {
        return all.map(|(number, _)| Evidence::Honest(number)).chain([Evidence::Attackers]).collect();
    }
    let taken = |evidence| world.accepted.iter().any(|known| known.evidence == evidence);
    let sent = all.filter(|(_, document)| document.made_at == by.other());
    sent.map(|(number, _)| Evidence::Honest(number)).filter(|evidence| !taken(*evidence)).collect()
}
