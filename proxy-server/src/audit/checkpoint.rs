use std::fmt;

use countersign_protocol::Epoch;
use serde::{Deserialize, Serialize};

use super::{
    chain::{ChainName, Head},
    fields,
    public_key::{KeyId, TrustedKeys},
};
use crate::store::UnixMs;

/// A signed statement that a chain had come to a head. As it lies in a database it proves nothing: see [`Self::verify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The chain.
    pub chain: ChainName,
    /// What it may be used for.
    pub purpose: Purpose,
    /// The number of the row.
    #[serde(with = "fields::row_number")]
    pub seq: u64,
    /// The hash of the row.
    #[serde(with = "fields::digits")]
    pub hash: [u8; 32],
    /// When it was signed, by the signer's clock.
    #[serde(rename = "at_ms", with = "fields::unix_ms")]
    pub at: UnixMs,
    /// The policy's epoch when it was signed.
    #[serde(with = "fields::epoch")]
    pub epoch: Epoch,
    /// Who signed.
    pub key_id: KeyId,
    /// Ed25519 over all of the above.
    #[serde(with = "fields::signature")]
    pub signature: [u8; 64],
}

/// What a checkpoint may be used for.
///
/// It is signed too: otherwise whoever may delete rows could delete those before any checkpoint and call it retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The chain had come to this head.
    Checkpoint,
    /// The same, and the rows up to this one were dropped by retention: the chain's first row is the next one.
    Anchor,
}

impl Checkpoint {
    /// The head it speaks of.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    /// Gives the head when one of the keys has signed it.
    ///
    /// # Errors
    /// Why it cannot be believed.
    pub fn verify(&self, trusted: &TrustedKeys) -> Result<Head, Distrust> {
        let Self { chain, purpose, seq, hash, at, epoch, key_id, signature } = self;
        let head = Head { seq: *seq, hash: *hash };
        let message = message(chain, *purpose, &head, *at, *epoch, *key_id);
        let mut keys = trusted.with_id(*key_id).peekable();
        if keys.peek().is_none() {
            return Err(Distrust::UnknownKey { trusted: trusted.ids(), actual: *key_id });
        }
        if keys.any(|key| key.signed(&message, signature)) {
            Ok(head)
        } else {
            Err(Distrust::BadSignature { key: *key_id })
        }
    }
}

/// What is signed: a tag, the purpose, the chain's name, and every other field in the order of the struct, integers
/// big-endian in 8 bytes.
pub(super) fn message(
    chain: &ChainName,
    purpose: Purpose,
    head: &Head,
    at: UnixMs,
    epoch: Epoch,
    key_id: KeyId,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    out.extend_from_slice(SIGNED);
    out.push(match purpose {
        Purpose::Checkpoint => 1,
        Purpose::Anchor => 2,
    });
    chain.encode(&mut out);
    out.extend_from_slice(&head.seq.to_be_bytes());
    out.extend_from_slice(&head.hash);
    out.extend_from_slice(&at.0.to_be_bytes());
    out.extend_from_slice(&epoch.0.to_be_bytes());
    out.extend_from_slice(&key_id.0);
    out
}

/// Why a checkpoint cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Distrust {
    /// It names a key that is not trusted.
    UnknownKey {
        /// The keys that are.
        trusted: Vec<KeyId>,
        /// The one it names.
        actual: KeyId,
    },
    /// The key it names has not signed this.
    BadSignature {
        /// The key it names.
        key: KeyId,
    },
    /// It is another chain's.
    OtherChain {
        /// The chain it names.
        actual: ChainName,
    },
    /// It is given as an anchor, and signed as something else.
    NotAnAnchor {
        /// What it is signed as.
        actual: Purpose,
    },
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { trusted, actual } => {
                write!(f, "it names the key {actual}, expected one of")?;
                if trusted.is_empty() {
                    f.write_str(" none: no key is trusted")?;
                }
                trusted.iter().try_for_each(|key| write!(f, " {key}"))
            }
            Self::BadSignature { key } => write!(f, "its signature is not one of the key {key} over it"),
            Self::OtherChain { actual } => write!(f, "it speaks of the chain {actual}"),
            Self::NotAnAnchor { actual } => write!(f, "it is signed as a {actual}, expected an anchor"),
        }
    }
}

impl std::error::Error for Distrust {}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "checkpoint",
            Self::Anchor => "anchor",
        })
    }
}

const SIGNED: &[u8] = b"countersign-audit-checkpoint-v1\0";
