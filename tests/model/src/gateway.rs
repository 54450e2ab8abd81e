//! The use of a session certificate at the gateway: stolen, forged, and after its session's end.
//!
//! Enclave A is admitted and given a session and a certificate over its key. Certificates are no secrets.

use std::fmt;

use crate::{Part, Parts, Protocol};

pub use crate::later::KeyKept;

/// What exists in one exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Whether the attacker has learnt the enclave's key.
    pub enclaves_key: KeyKept,
}

/// Who connects to the gateway; each with a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The enclave.
    A,
    /// The attacker.
    M,
}

/// A certificate that names A's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// Whose key stands in it.
    pub key: Client,
    /// Who signed it.
    pub issuer: Issuer,
}

/// Who signs certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Issuer {
    /// The session CA, once A is admitted.
    SessionCa,
    /// The attacker, whatever he likes.
    Attacker,
}

/// One moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    session: Session,
    tunnel: Option<(Client, Session)>,
    ignored: Parts,
}

/// A's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Session {
    NotYet,
    Live,
    Ended,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A attests.
    Admit,
    /// The session ends: its lease lapses, or it is revoked.
    End,
    /// A tunnel is opened.
    Open {
        /// By whom.
        client: Client,
        /// Whose key it proved in the handshake.
        proved: Client,
        /// What it showed.
        certificate: Certificate,
        /// The checks that fail.
        ignored: Parts,
    },
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// A tunnel for somebody who was not admitted.
    Stolen,
    /// A tunnel for A without a living session.
    Lifeless,
}

impl Protocol for Gateway {
    type State = Moment;
    type Step = Step;
    type Breach = Breach;

    fn starts(&self, _: Parts) -> Vec<Moment> {
        vec![Moment { session: Session::NotYet, tunnel: None, ignored: Parts::NONE }]
    }

    fn steps(&self, removed: Parts, moment: &Moment) -> Vec<Step> {
        if moment.tunnel.is_some() {
            return Vec::new();
        }
        let mut steps = match moment.session {
            Session::NotYet => vec![Step::Admit],
            Session::Live => vec![Step::End],
            Session::Ended => Vec::new(),
        };
        for (client, proved) in self.clients() {
            for certificate in certificates(moment.session) {
                // A shows what it was given, and nothing else.
                if client == Client::A && certificate.issuer == Issuer::Attacker {
                    continue;
                }
                let ignored = failing(moment.session, proved, certificate);
                if ignored.is_within(removed) {
                    steps.push(Step::Open { client, proved, certificate, ignored });
                }
            }
        }
        steps
    }

    fn after(&self, moment: &Moment, step: &Step) -> Moment {
        match *step {
            Step::Admit => Moment { session: Session::Live, ..*moment },
            Step::End => Moment { session: Session::Ended, ..*moment },
            Step::Open { client, ignored, .. } => {
                let tunnel = Some((client, moment.session));
                Moment { tunnel, ignored: moment.ignored.and(ignored), ..*moment }
            }
        }
    }

    fn ignored(&self, moment: &Moment) -> Parts {
        moment.ignored
    }

    fn breaches(&self, moment: &Moment) -> Vec<Breach> {
        match moment.tunnel {
            None | Some((Client::A, Session::Live)) => Vec::new(),
            Some((Client::A, Session::NotYet | Session::Ended)) => vec![Breach::Lifeless],
            Some((Client::M, _)) => vec![Breach::Stolen],
        }
    }

    fn is_goal(&self, moment: &Moment) -> bool {
        moment.tunnel == Some((Client::A, Session::Live))
    }

    fn tell_start(&self, _: &Moment) -> Vec<String> {
        Vec::new()
    }

    fn tell_step(&self, _: &Moment, step: &Step) -> String {
        match *step {
            Step::Admit => "A is admitted".into(),
            Step::End => "A's session ends".into(),
            Step::Open { client, proved, certificate, ignored } => {
                let key = if proved == client { String::new() } else { format!(" with {proved:?}'s key") };
                let opened = format!("{client:?}{key} opens a tunnel with {certificate}");
                if ignored.is_empty() { opened } else { format!("{opened}, unchecked: {ignored}") }
            }
        }
    }
}

impl Gateway {
    /// Who may come, and with which key.
    fn clients(&self) -> Vec<(Client, Client)> {
        let mut clients = vec![(Client::A, Client::A), (Client::M, Client::M)];
        if self.enclaves_key == KeyKept::Leaked {
            clients.push((Client::M, Client::A));
        }
        clients
    }
}

fn certificates(session: Session) -> Vec<Certificate> {
    let forged = |key| Certificate { key, issuer: Issuer::Attacker };
    let mut certificates = vec![forged(Client::M), forged(Client::A)];
    if session != Session::NotYet {
        certificates.push(Certificate { key: Client::A, issuer: Issuer::SessionCa });
    }
    certificates
}

/// The checks that stand in the way of this tunnel. A record that is not there names no key.
fn failing(session: Session, proved: Client, certificate: Certificate) -> Parts {
    Parts::NONE
        .unless(certificate.issuer == Issuer::SessionCa, Part::Issuer)
        .unless(proved == certificate.key, Part::Possession)
        .unless(session == Session::Live, Part::Record)
        .unless(session != Session::Live || certificate.key == Client::A, Part::RecordKey)
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.issuer, self.key) {
            (Issuer::SessionCa, _) => f.write_str("A's certificate"),
            (Issuer::Attacker, key) => write!(f, "a forged certificate over {key:?}'s key"),
        }
    }
}
