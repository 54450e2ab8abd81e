use std::collections::{HashMap, VecDeque};

use countersign_protocol::SessionId;

use super::EndReason;

/// Why the last sessions ended, so that whoever comes back with the certificate
/// of one is told that and not only that there is none.
///
/// A courtesy to the client, never a decision: a session that is not in the
/// registry is over whether or not it is remembered here.
#[derive(Default)]
pub(super) struct Epitaphs {
    reasons: HashMap<SessionId, EndReason>,
    oldest_first: VecDeque<SessionId>,
}

impl Epitaphs {
    /// Remembers one more, and forgets the oldest beyond [`MOST`].
    pub(super) fn write(&mut self, id: SessionId, reason: EndReason) {
        if self.reasons.insert(id, reason).is_none() {
            self.oldest_first.push_back(id);
        }
        while self.oldest_first.len() > MOST {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.reasons.remove(&oldest);
            }
        }
    }

    /// Why this session ended, if it is remembered.
    pub(super) fn read(&self, id: &SessionId) -> Option<EndReason> {
        self.reasons.get(id).copied()
    }
}

/// About 600 KB at the most; a client comes back within seconds.
const MOST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> SessionId {
        let mut bytes = [0; SessionId::LEN];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        SessionId::from_bytes(bytes)
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut epitaphs = Epitaphs::default();
        for number in 0..=MOST {
            epitaphs.write(id(number), EndReason::LeaseLapsed);
        }
        assert_eq!(epitaphs.read(&id(0)), None);
        assert_eq!(epitaphs.read(&id(1)), Some(EndReason::LeaseLapsed));
        assert_eq!(epitaphs.read(&id(MOST)), Some(EndReason::LeaseLapsed));
        assert_eq!(epitaphs.reasons.len(), MOST);
    }

    #[test]
    fn the_same_session_is_remembered_once() {
        let mut epitaphs = Epitaphs::default();
        epitaphs.write(id(1), EndReason::LeaseLapsed);
        epitaphs.write(id(1), EndReason::MeasurementRevoked);
        assert_eq!(epitaphs.read(&id(1)), Some(EndReason::MeasurementRevoked));
        assert_eq!(epitaphs.oldest_first.len(), 1);
    }
}
