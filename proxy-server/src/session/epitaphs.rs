use std::collections::{HashMap, VecDeque};

use countersign_protocol::SessionId;

use super::EndReason;

/// Why the last sessions ended, so that whoever comes back with the certificate
/// of one is told that and not only that there is none.
///
/// To the client it is a courtesy: a session that is not in the registry is over
/// whether or not it is remembered here. One thing is decided by it: a lease that
/// lapsed here is not taken up again because a wall clock was put back.
#[derive(Default)]
pub(super) struct Epitaphs {
    ends: HashMap<SessionId, Epitaph>,
    oldest_first: VecDeque<SessionId>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epitaph {
    pub(super) reason: EndReason,
    /// The last attestation it was renewed by.
    pub(super) sequence: u64,
}

impl Epitaphs {
    /// Remembers one more, and forgets the oldest beyond [`MOST`].
    pub(super) fn write(&mut self, id: SessionId, epitaph: Epitaph) {
        if self.ends.insert(id, epitaph).is_none() {
            self.oldest_first.push_back(id);
        }
        while self.oldest_first.len() > MOST {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.ends.remove(&oldest);
            }
        }
    }

    /// How this session ended, if it is remembered.
    pub(super) fn read(&self, id: &SessionId) -> Option<Epitaph> {
        self.ends.get(id).copied()
    }
}

/// About 700 KB at the most; a client comes back within seconds.
const MOST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    const LAPSED: Epitaph = Epitaph { reason: EndReason::LeaseLapsed, sequence: 3 };
    const REVOKED: Epitaph = Epitaph { reason: EndReason::MeasurementRevoked, sequence: 3 };

    fn id(number: usize) -> SessionId {
        let mut bytes = [0; SessionId::LEN];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        SessionId::from_bytes(bytes)
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut epitaphs = Epitaphs::default();
        for number in 0..=MOST {
            epitaphs.write(id(number), LAPSED);
        }
        assert_eq!(epitaphs.read(&id(0)), None);
        assert_eq!(epitaphs.read(&id(1)), Some(LAPSED));
        assert_eq!(epitaphs.read(&id(MOST)), Some(LAPSED));
        assert_eq!(epitaphs.ends.len(), MOST);
    }

    #[test]
    fn the_same_session_is_remembered_once() {
        let mut epitaphs = Epitaphs::default();
        epitaphs.write(id(1), LAPSED);
        epitaphs.write(id(1), REVOKED);
        assert_eq!(epitaphs.read(&id(1)), Some(REVOKED));
        assert_eq!(epitaphs.oldest_first.len(), 1);
    }
}
