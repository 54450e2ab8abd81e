use std::fmt;

use aws_lc_rs::digest;
use minicbor::Encoder;

use crate::{BootId, Deployment, wire::EXPORTER_LEN};

/// Who speaks. Part of the binder, so that one side's evidence cannot be
/// reflected to it as the other side's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An enclave that attests to the proxy.
    Enclave,
    /// The peer that opened the connection, enclave to enclave.
    Initiator,
    /// The peer that accepted it.
    Responder,
}

/// Everything that evidence is bound to besides its nonce.
///
/// Its digest stands in the document's `user_data`. Evidence bound to a key
/// alone can be relayed (CVE-2026-33697 and its family); the exporter names
/// this very connection, which a man in the middle cannot share with both sides.
#[derive(Clone, Copy, Debug)]
pub struct Binder<'a> {
    /// Who attests.
    pub role: Role,
    /// SPKI of the attester's TLS key K, DER (RFC 5280).
    pub attester_spki: &'a [u8],
    /// SPKI of the certificate the other side showed, DER.
    pub server_spki: &'a [u8],
    /// TLS exporter (RFC 8446 section 7.5) with [`crate::wire::EXPORTER_LABEL`] and the nonce as context.
    pub exporter: &'a [u8; EXPORTER_LEN],
    /// The installation the evidence is for.
    pub deployment: &'a Deployment,
    /// The attester's boot.
    pub boot_id: BootId,
    /// Grows with each attestation of this boot.
    pub sequence: u64,
}

/// Length of a binder's digest in bytes: SHA-384.
pub const BINDER_LEN: usize = 48;

impl Binder<'_> {
    /// SHA-384 of the CBOR array
    /// `["countersign-bind-v1", role, SPKI(K), SPKI(server), exporter, deployment, boot_id, sequence]`,
    /// deterministically encoded (RFC 8949 section 4.2).
    pub fn digest(&self) -> [u8; BINDER_LEN] {
        let mut out = [0; BINDER_LEN];
        out.copy_from_slice(digest::digest(&digest::SHA384, &self.encode()).as_ref());
        out
    }

    fn encode(&self) -> Vec<u8> {
        let Self { role, attester_spki, server_spki, exporter, deployment, boot_id, sequence } = self;
        let mut encoder = Encoder::new(Vec::with_capacity(512));
        let written = encoder.array(8).and_then(|e| {
            e.str(LABEL)?
                .str(role.as_str())?
                .bytes(attester_spki)?
                .bytes(server_spki)?
                .bytes(*exporter)?
                .str(deployment.as_str())?
                .bytes(boot_id.as_bytes())?
                .u64(*sequence)?
                .ok()
        });
        // A Vec takes every write: its error type has no value.
        debug_assert!(written.is_ok());
        encoder.into_writer()
    }
}

impl Role {
    /// The word in the binder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enclave => "enclave",
            Self::Initiator => "initiator",
            Self::Responder => "responder",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const LABEL: &str = "countersign-bind-v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_documented_one() {
        let deployment = "demo".parse().unwrap();
        let encoded = binder(&deployment).encode();
        let expected = concat!(
            "88",                                       // array(8)
            "73636f756e7465727369676e2d62696e642d7631", // "countersign-bind-v1"
            "67656e636c617665",                         // "enclave"
            "4101",                                     // SPKI(K)
            "420202",                                   // SPKI(server)
            "58200303030303030303030303030303030303030303030303030303030303030303",
            "6464656d6f",                         // "demo"
            "5004040404040404040404040404040404", // boot id
            "05",                                 // sequence
        );
        assert_eq!(hex::encode(encoded), expected);
    }

    #[test]
    fn every_part_changes_the_digest() {
        let deployment = "demo".parse().unwrap();
        let other = "demo2".parse().unwrap();
        let base = binder(&deployment);
        let variants = [
            Binder { role: Role::Initiator, ..base },
            Binder { role: Role::Responder, ..base },
            Binder { attester_spki: &[9], ..base },
            Binder { server_spki: &[2], ..base },
            Binder { exporter: &[0; 32], ..base },
            Binder { deployment: &other, ..base },
            Binder { boot_id: BootId::from_bytes([0; 16]), ..base },
            Binder { sequence: 6, ..base },
        ];
        let mut digests: Vec<_> = variants.iter().map(Binder::digest).collect();
        digests.push(base.digest());
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), variants.len() + 1);
    }

    fn binder(deployment: &Deployment) -> Binder<'_> {
        Binder {
            role: Role::Enclave,
            attester_spki: &[1],
            server_spki: &[2, 2],
            exporter: &[3; 32],
            deployment,
            boot_id: BootId::from_bytes([4; 16]),
            sequence: 5,
        }
    }
}
