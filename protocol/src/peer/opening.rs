/// ALPN protocol (RFC 7301) of a connection between peers.
pub const PEER_ALPN: &[u8] = b"countersign-peer/1";

/// The first byte that the initiator sends: what the connection is for.
///
/// It is the initiator's choice alone, and not a claim that anybody trusts: the
/// responder carries nothing for a key that it does not hold a proof of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The application's bytes follow.
    Carry,
    /// Both sides prove what they are, now and each interval.
    Prove,
}

impl Opening {
    /// On the wire.
    pub fn byte(self) -> u8 {
        match self {
            Self::Carry => 1,
            Self::Prove => 2,
        }
    }

    /// `None` for a byte that means nothing.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Carry, Self::Prove].into_iter().find(|opening| opening.byte() == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bytes_mean_something() {
        assert_eq!(Opening::from_byte(1), Some(Opening::Carry));
        assert_eq!(Opening::from_byte(2), Some(Opening::Prove));
        // HTTP, TLS in TLS and silence do not.
        assert!((0..=255).filter(|&byte| Opening::from_byte(byte).is_some()).eq([1, 2]));
    }
}
