use super::{
    parties::{Deployment, End, Purpose},
    world::{Evidence, Nonce, Step, World},
};

/// `c1: A (attest) -> M with P's key`.
pub(super) fn start(world: &World) -> Vec<String> {
    let told = world.connections.iter().enumerate();
    told.map(|(number, connection)| {
        format!("c{}: {} -> {}", number + 1, end(&connection.client), end(&connection.server))
    })
    .collect()
}

/// `P asks n1 on c2`, `A answers n1 on c1: d1`, `P takes d1 for n1 on c2, role unchecked`.
pub(super) fn step(world: &World, step: &Step) -> String {
    match *step {
        Step::Ask(by) => {
            let (party, number) = (world.end(by).party, world.challenges.len() + 1);
            format!("{party:?} asks n{number} on c{}", by.connection + 1)
        }
        Step::Answer(document) => {
            let party = world.end(document.made_at).party;
            let nonce = match document.nonce {
                Nonce::Of(number) => format!("n{}", number + 1),
                Nonce::Attackers => "M's own nonce".into(),
            };
            let (connection, number) = (document.made_at.connection + 1, world.documents.len() + 1);
            format!("{party:?} answers {nonce} on c{connection}: d{number}")
        }
        Step::Take(acceptance, ignored) => {
            let party = world.end(acceptance.by).party;
            let what = match acceptance.evidence {
                Evidence::Honest(number) => format!("d{}", number + 1),
                Evidence::Attackers => "M's own document".into(),
            };
            let (nonce, connection) = (acceptance.challenge + 1, acceptance.by.connection + 1);
            let taken = format!("{party:?} takes {what} for n{nonce} on c{connection}");
            if ignored.is_empty() { taken } else { format!("{taken}, unchecked: {ignored}") }
        }
    }
}

fn end(end: &End) -> String {
    let purpose = match end.purpose {
        Purpose::Attest(Deployment::First) => " (attests)",
        Purpose::Attest(Deployment::Second) => " (attests to the second deployment)",
        Purpose::Initiate(_) | Purpose::Respond => " (peer)",
        Purpose::Show => " (ingress)",
        Purpose::Admit | Purpose::Attack => "",
    };
    let key = if end.key.0 == end.party { String::new() } else { format!(" with {:?}'s key", end.key.0) };
    format!("{:?}{key}{purpose}", end.party)
}
