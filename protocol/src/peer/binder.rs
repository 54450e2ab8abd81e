use aws_lc_rs::digest;
use minicbor::Encoder;

use crate::{BINDER_LEN, Nonce, Role, wire::EXPORTER_LEN};

/// Which end of a connection between peers: who dialled it is its initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Opened the connection: TLS's client.
    Initiator,
    /// Accepted it: TLS's server.
    Responder,
}

impl Side {
    /// The end at the other side.
    pub fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    /// The word in the binder.
    pub fn role(self) -> Role {
        match self {
            Self::Initiator => Role::Initiator,
            Self::Responder => Role::Responder,
        }
    }
}

/// Everything that a peer's evidence is bound to besides the nonce it answers.
///
/// Its digest stands in the document's `user_data`. Each part stops an attack of its own: the side, that evidence
/// comes back to whom it is from; the two keys, that it is shown by or to somebody else; the exporter, that it is
/// carried over to another connection, even of the same keys; the nonces, that it is shown twice.
#[derive(Clone, Copy, Debug)]
pub struct PeerBinder<'a> {
    /// Which end attests.
    pub side: Side,
    /// SPKI of the attester's TLS key, DER (RFC 5280).
    pub attester_spki: &'a [u8],
    /// SPKI of the TLS key of the end that verifies, DER.
    pub verifier_spki: &'a [u8],
    /// TLS exporter (RFC 8446 section 7.5) with [`PEER_EXPORTER_LABEL`] and [`exporter_context`].
    pub exporter: &'a [u8; EXPORTER_LEN],
    /// The nonce that the attester gave to the other end.
    pub attester_nonce: &'a Nonce,
    /// The nonce that it was given: also the document's `nonce`.
    pub verifier_nonce: &'a Nonce,
}

/// Label of the TLS exporter that binds a peer's evidence to a connection.
pub const PEER_EXPORTER_LABEL: &[u8] = b"EXPORTER-countersign-peer-v1";

/// Context of the exporter: both nonces, the initiator's first.
pub fn exporter_context(initiator: &Nonce, responder: &Nonce) -> [u8; 2 * Nonce::LEN] {
    let mut context = [0; 2 * Nonce::LEN];
    let (first, second) = context.split_at_mut(Nonce::LEN);
    first.copy_from_slice(initiator.as_bytes());
    second.copy_from_slice(responder.as_bytes());
    context
}

impl PeerBinder<'_> {
    /// SHA-384 of the CBOR array `["countersign-peer-bind-v1", side, SPKI(attester), SPKI(verifier), exporter,
    /// attester's nonce, verifier's nonce]`, deterministically encoded (RFC 8949 section 4.2).
    pub fn digest(&self) -> [u8; BINDER_LEN] {
        let mut out = [0; BINDER_LEN];
        out.copy_from_slice(digest::digest(&digest::SHA384, &self.encode()).as_ref());
        out
    }

    fn encode(&self) -> Vec<u8> {
        let Self { side, attester_spki, verifier_spki, exporter, attester_nonce, verifier_nonce } = self;
        let mut encoder = Encoder::new(Vec::with_capacity(384));
        let written = encoder.array(7).and_then(|e| {
            e.str(LABEL)?
                .str(side.role().as_str())?
                .bytes(attester_spki)?
                .bytes(verifier_spki)?
                .bytes(*exporter)?
                .bytes(attester_nonce.as_bytes())?
                .bytes(verifier_nonce.as_bytes())?
                .ok()
        });
        // A Vec takes every write: its error type has no value.
        debug_assert!(written.is_ok());
        encoder.into_writer()
    }
}

const LABEL: &str = "countersign-peer-bind-v1";

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Nonce = Nonce::from_bytes([4; 32]);
    const OTHERS: Nonce = Nonce::from_bytes([5; 32]);

    fn binder() -> PeerBinder<'static> {
        PeerBinder {
            side: Side::Responder,
            attester_spki: &[1],
            verifier_spki: &[2, 2],
            exporter: &[3; 32],
            attester_nonce: &MINE,
            verifier_nonce: &OTHERS,
        }
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let expected = format!(
            "87{}{}4101420202{}{}{}",
            "7818636f756e7465727369676e2d706565722d62696e642d7631", // "countersign-peer-bind-v1"
            "69726573706f6e646572",                                 // "responder"
            format_args!("5820{}", "03".repeat(32)),
            format_args!("5820{}", "04".repeat(32)),
            format_args!("5820{}", "05".repeat(32)),
        );
        assert_eq!(hex::encode(binder().encode()), expected);
    }

    #[test]
    fn every_part_changes_the_digest() {
        let base = binder();
        let variants = [
            base,
            PeerBinder { side: Side::Initiator, ..base },
            PeerBinder { attester_spki: &[9], ..base },
            PeerBinder { verifier_spki: &[9], ..base },
            PeerBinder { exporter: &[0; 32], ..base },
            PeerBinder { attester_nonce: &OTHERS, ..base },
            PeerBinder { verifier_nonce: &MINE, ..base },
            PeerBinder { attester_nonce: &OTHERS, verifier_nonce: &MINE, ..base },
        ];
        let mut digests: Vec<_> = variants.iter().map(PeerBinder::digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), variants.len());
    }

    #[test]
    fn both_sides_give_the_exporter_the_same_context() {
        let context = exporter_context(&MINE, &OTHERS);
        assert_eq!(context[..32], [4; 32]);
        assert_eq!(context[32..], [5; 32]);
    }
}
