use std::{cell::RefCell, fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{event::Event, fields};

/// Names one chain: several processes write at once, and each has its own, so that none waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ChainName {
    /// `policy`: every change of policy, by whichever process. The store's locked epoch row orders them.
    Policy,
    /// `replica/<32 hex digits>`: what one replica process decided by itself.
    Replica([u8; 16]),
}

impl ChainName {
    /// Appends what stands for the name in everything that is hashed or signed: a length of one byte, and the text.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Policy => {
                out.push(POLICY.len() as u8);
                out.extend_from_slice(POLICY.as_bytes());
            }
            Self::Replica(id) => {
                out.push((REPLICA.len() + 2 * id.len()) as u8);
                out.extend_from_slice(REPLICA.as_bytes());
                for byte in id {
                    out.push(DIGITS[usize::from(byte >> 4)]);
                    out.push(DIGITS[usize::from(byte & 0x0f)]);
                }
            }
        }
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.pad(POLICY),
            Self::Replica(id) => f.pad(&format!("{REPLICA}{}", hex::encode(id))),
        }
    }
}

impl FromStr for ChainName {
    type Err = NotAChain;

    fn from_str(text: &str) -> Result<Self, NotAChain> {
        if text == POLICY {
            return Ok(Self::Policy);
        }
        // One text for one chain: upper-case digits would be a second name of it.
        let digits = text.strip_prefix(REPLICA).filter(|d| !d.bytes().any(|byte| byte.is_ascii_uppercase()));
        let mut id = [0; 16];
        match digits.map(|digits| hex::decode_to_slice(digits, &mut id)) {
            Some(Ok(())) => Ok(Self::Replica(id)),
            Some(Err(_)) | None => Err(NotAChain),
        }
    }
}

impl From<ChainName> for String {
    fn from(name: ChainName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for ChainName {
    type Error = NotAChain;

    fn try_from(text: String) -> Result<Self, NotAChain> {
        text.parse()
    }
}

/// A text that names no chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAChain;

impl fmt::Display for NotAChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chain is named policy, or replica/ and 32 lower-case hex digits")
    }
}

impl std::error::Error for NotAChain {}

/// Where a chain has come to: the number of its last row, and that row's hash.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The last row's number; the first row is 1.
    #[serde(with = "fields::row_number")]
    pub seq: u64,
    /// The last row's hash.
    #[serde(with = "fields::digits")]
    pub hash: [u8; 32],
}

impl Head {
    /// The head of a chain without rows. It depends on the name, so that no row of one chain fits into another.
    pub fn genesis(chain: &ChainName) -> Self {
        let mut bytes = Vec::with_capacity(GENESIS.len() + 64);
        bytes.extend_from_slice(GENESIS);
        chain.encode(&mut bytes);
        Self { seq: 0, hash: sha256(&bytes) }
    }

    /// The head when `event` is the chain's next row: SHA-256 over a tag, the chain's name, the row's number, the hash
    /// before it, and the event.
    ///
    /// Costs less than a microsecond. The bytes are put together in one buffer for each thread, so that thousands of
    /// admissions a second allocate nothing here.
    pub fn after(&self, chain: &ChainName, event: &Event) -> Self {
        let seq = self.seq.saturating_add(1);
        BUFFER.with_borrow_mut(|bytes| {
            bytes.clear();
            // One row with a long `before` must not hold its memory for ever.
            bytes.shrink_to(KEPT);
            bytes.extend_from_slice(ROW);
            chain.encode(bytes);
            bytes.extend_from_slice(&seq.to_be_bytes());
            bytes.extend_from_slice(&self.hash);
            event.encode(bytes);
            Self { seq, hash: sha256(bytes) }
        })
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({}, {})", self.seq, hex::encode(self.hash))
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

const POLICY: &str = "policy";
const REPLICA: &str = "replica/";
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Tags keep apart what is hashed for one purpose from what is hashed or signed for another.
const GENESIS: &[u8] = b"countersign-audit-genesis-v1\0";
const ROW: &[u8] = b"countersign-audit-row-v1\0";

/// The buffer's size between rows, in bytes: a common row takes about 400.
const KEPT: usize = 4096;
