use super::parties::{Connection, Deployment, End, Key, Party, Purpose};
use crate::{Part, Parts};

/// What exists in one exploration. The attacker opens connections to every listener and accepts every connection that
/// comes his way, with each key he has.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Connections that honest enclaves open: who, and what for. Where they end is the network's choice.
    pub opens: Vec<(Party, Purpose)>,
    /// Honest parties that accept connections, and what for.
    pub listens: Vec<(Party, Purpose)>,
    /// Keys of honest parties that the attacker has learnt. Their owners go on as before.
    pub leaked: Vec<Key>,
    /// The deployment of enclave B's peer configuration; enclave A's is the first.
    pub deployment_of_b: Deployment,
    /// Where an enclave takes the deployment's name from when it attests to a proxy.
    pub naming: Naming,
    /// What peers put into their binder.
    pub peer_binder: PeerBinder,
    /// What stands behind the anchor of the second deployment, for enclaves that attest there as well.
    pub second: SecondDeployment,
    /// How far the exploration goes.
    pub bounds: Bounds,
}

/// Where the `deployment` in an enclave's binder comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// From the challenge, whatever it says.
    Challenge,
    /// From the enclave's own manifest.
    Manifest,
}

/// What ties a peer's evidence to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerBinder {
    /// A kind of its own: labels, side, both keys, the exporter over both nonces, both nonces. It names no deployment and
    /// no sequence. An end answers once in a round, and takes nothing before it has answered.
    Own,
    /// The proxy's, with another role.
    Proxys,
}

/// Whose server key the second deployment's anchor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondDeployment {
    /// Its proxy's own.
    OwnKey,
    /// The same as the first deployment's: one certificate for both.
    SharedKey,
    /// The attacker runs it.
    Attackers,
}

/// Limits of an exploration. Everything within them is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// TLS connections.
    pub connections: usize,
    /// Challenges, all ends together.
    pub challenges: usize,
    /// Documents of honest enclaves.
    pub documents: usize,
    /// Documents accepted, all verifiers together.
    pub acceptances: usize,
}

impl Setting {
    /// Enclave A attests to the proxy.
    pub fn proxy() -> Self {
        Self {
            opens: vec![(Party::A, Purpose::Attest(Deployment::First))],
            listens: vec![PROXY],
            leaked: Vec::new(),
            deployment_of_b: Deployment::First,
            naming: Naming::Manifest,
            peer_binder: PeerBinder::Own,
            second: SecondDeployment::OwnKey,
            bounds: Bounds { connections: 2, challenges: 2, documents: 2, acceptances: 2 },
        }
    }

    /// Enclaves A and B open connections to each other and accept them.
    pub fn peers() -> Self {
        Self {
            opens: vec![(Party::A, Purpose::Initiate(Party::B)), (Party::B, Purpose::Initiate(Party::A))],
            listens: vec![(Party::B, Purpose::Respond), (Party::A, Purpose::Respond)],
            ..Self::proxy()
        }
    }

    /// Enclaves A and B as peers, of two deployments.
    pub fn peers_apart() -> Self {
        Self { deployment_of_b: Deployment::Second, ..Self::peers() }
    }

    /// Enclave A attests to the proxy, opens connections to peer B and accepts them, all with one key.
    pub fn one_key() -> Self {
        Self {
            opens: vec![
                (Party::A, Purpose::Attest(Deployment::First)),
                (Party::A, Purpose::Initiate(Party::B)),
            ],
            listens: vec![PROXY, (Party::B, Purpose::Respond), (Party::A, Purpose::Respond)],
            ..Self::proxy()
        }
    }

    /// Enclave A attests to the proxy, and shows evidence on its ingress port, both with one key.
    pub fn ingress() -> Self {
        Self { listens: vec![PROXY, (Party::A, Purpose::Show)], ..Self::proxy() }
    }

    /// Enclave A attests to the proxies of two deployments.
    pub fn deployments(second: SecondDeployment, naming: Naming) -> Self {
        let listens = match second {
            SecondDeployment::Attackers => vec![PROXY],
            SecondDeployment::OwnKey | SecondDeployment::SharedKey => vec![PROXY, (Party::Q, Purpose::Admit)],
        };
        let opens = [Deployment::First, Deployment::Second].map(|site| (Party::A, Purpose::Attest(site)));
        Self { opens: opens.to_vec(), listens, second, naming, ..Self::proxy() }
    }

    /// The same with keys that the attacker has learnt.
    pub fn with_leaked(self, parties: &[Party]) -> Self {
        Self { leaked: parties.iter().copied().map(Key).collect(), ..self }
    }

    /// The same, explored this far.
    pub fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The deployment that a party belongs to.
    pub fn deployment_of(&self, party: Party) -> Deployment {
        match party {
            Party::A | Party::P | Party::M => Deployment::First,
            Party::B => self.deployment_of_b,
            Party::Q => Deployment::Second,
        }
    }

    /// Who an enclave that attests to this deployment wants to talk to.
    pub fn proxy_of(&self, site: Deployment) -> Party {
        match (site, self.second) {
            (Deployment::First, _) => Party::P,
            (Deployment::Second, SecondDeployment::Attackers) => Party::M,
            (Deployment::Second, _) => Party::Q,
        }
    }

    /// Every connection that keys allow, with the checks that its client had to leave out.
    pub(super) fn connections(&self) -> Vec<(Connection, Parts)> {
        let mut connections = Vec::new();
        for &(party, purpose) in &self.opens {
            let client = End { party, key: self.key_of(party), purpose };
            for server in self.honest_servers().chain(self.attackers_ends()) {
                let ignored = match purpose {
                    Purpose::Attest(site) => {
                        Parts::NONE.unless(server.key == self.key_of(self.proxy_of(site)), Part::Anchor)
                    }
                    _ => Parts::NONE,
                };
                connections.push((Connection { client, server }, ignored));
            }
        }
        for client in self.attackers_ends() {
            let to = self.honest_servers().map(|server| (Connection { client, server }, Parts::NONE));
            connections.extend(to);
        }
        connections
    }

    fn honest_servers(&self) -> impl Iterator<Item = End> {
        let ends = self.listens.iter();
        ends.map(|&(party, purpose)| End { party, key: self.key_of(party), purpose })
    }

    fn attackers_ends(&self) -> impl Iterator<Item = End> {
        let keys = std::iter::once(Key(Party::M)).chain(self.leaked.iter().copied());
        keys.map(|key| End { party: Party::M, key, purpose: Purpose::Attack })
    }

    fn key_of(&self, party: Party) -> Key {
        match (party, self.second) {
            (Party::Q, SecondDeployment::SharedKey) => Key(Party::P),
            _ => Key(party),
        }
    }
}

const PROXY: (Party, Purpose) = (Party::P, Purpose::Admit);
