use super::{
    parties::Purpose,
    setting::{PeerBinder, Setting},
};
use crate::{Part, Parts};

/// The kinds of evidence: each has a label of its own in the binder, and one for its exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// For a proxy.
    Proxy,
    /// For a peer.
    Peer,
    /// For whoever asks at an ingress port.
    Ingress,
}

impl Kind {
    /// The kind that an end makes, or wants to see.
    pub(super) fn of(setting: &Setting, purpose: Purpose) -> Self {
        match (purpose, setting.peer_binder) {
            (Purpose::Initiate(_) | Purpose::Respond, PeerBinder::Own) => Self::Peer,
            (Purpose::Show, _) => Self::Ingress,
            _ => Self::Proxy,
        }
    }

    /// What stands in such a binder besides label, attester's key and exporter.
    pub(super) fn says(self) -> Parts {
        match self {
            Self::Proxy => Parts::of([Part::ServerKey, Part::Role, Part::Deployment, Part::Sequence]),
            Self::Peer => Parts::of([Part::ServerKey, Part::Role, Part::Nonces]),
            Self::Ingress => Parts::NONE,
        }
    }
}
