use super::{
    parties::{Deployment, End, Place, Purpose},
    setting::Setting,
    world::{Acceptance, Document, Evidence, Nonce, World},
};

/// What must never be. Of an acceptance, the first of the upper five that fits; the lower ones count by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// Accepted: no enclave of an allowed image made the document.
    Stranger,
    /// Accepted: the other end of the connection is not the enclave that made the document.
    Impostor,
    /// Accepted: the document was made for another connection of the same two parties.
    OtherConnection,
    /// Accepted: the other end believes that it takes part in another exchange (a peer's, a proxy's).
    OtherRole,
    /// Accepted: the other end believes that it attests to another deployment.
    OtherDeployment,
    /// Accepted: the document was made for another challenge.
    OtherChallenge,
    /// Accepted: the document is older than the challenge.
    Stale,
    /// Two acceptances rest on one document.
    Twice,
    /// An initiator accepted another instance than the one it wants.
    Diverted,
    /// An enclave showed its evidence to somebody whom it took for its proxy.
    FalseProxy,
}

/// The breaches of this state.
pub(super) fn of(setting: &Setting, world: &World) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (number, acceptance) in world.accepted.iter().enumerate() {
        match acceptance.evidence {
            Evidence::Attackers => breaches.push(Breach::Stranger),
            Evidence::Honest(document) => {
                let document = &world.documents[document];
                breaches.extend(of_acceptance(setting, world, acceptance, document));
                let earlier = &world.accepted[..number];
                if earlier.iter().any(|earlier| earlier.evidence == acceptance.evidence) {
                    breaches.push(Breach::Twice);
                }
            }
        }
    }
    if world.documents.iter().any(|document| was_fooled(setting, world, document.made_at)) {
        breaches.push(Breach::FalseProxy);
    }
    breaches
}

fn of_acceptance(
    setting: &Setting,
    world: &World,
    acceptance: &Acceptance,
    document: &Document,
) -> Vec<Breach> {
    let Acceptance { by, challenge, .. } = *acceptance;
    let (verifier, maker) = (world.end(by), world.end(document.made_at));
    let mut breaches = Vec::new();
    if world.end(by.other()).party != maker.party {
        breaches.push(Breach::Impostor);
    } else if document.made_at != by.other() {
        breaches.push(Breach::OtherConnection);
    } else if !is_counterpart(verifier.purpose, maker.purpose) {
        breaches.push(Breach::OtherRole);
    } else if intended(setting, maker) != setting.deployment_of(verifier.party) {
        breaches.push(Breach::OtherDeployment);
    }
    if document.nonce != Nonce::Of(challenge) {
        breaches.push(Breach::OtherChallenge);
    }
    if document.seen <= challenge {
        breaches.push(Breach::Stale);
    }
    if matches!(verifier.purpose, Purpose::Initiate(wanted) if wanted != maker.party) {
        breaches.push(Breach::Diverted);
    }
    breaches
}

fn is_counterpart(verifier: Purpose, attester: Purpose) -> bool {
    matches!(
        (verifier, attester),
        (Purpose::Admit, Purpose::Attest(_))
            | (Purpose::Initiate(_), Purpose::Respond)
            | (Purpose::Respond, Purpose::Initiate(_))
    )
}

/// The deployment that an enclave means, whatever name it was given on the way.
fn intended(setting: &Setting, end: &End) -> Deployment {
    match end.purpose {
        Purpose::Attest(site) => site,
        _ => setting.deployment_of(end.party),
    }
}

fn was_fooled(setting: &Setting, world: &World, place: Place) -> bool {
    match world.end(place).purpose {
        Purpose::Attest(site) => world.end(place.other()).party != setting.proxy_of(site),
        _ => false,
    }
}
