//! The record layer of the gateway, with rustls's own as the other end.

mod peer;
mod structured;

use countersign_proxy::gateway::fuzzing::{RecordLayer, record_len};
use peer::{ALERT, APPLICATION_DATA, HANDSHAKE, KEY_UPDATE, Peer, SUITES, Suite};
use std::ops::ControlFlow;

pub use structured::structured;

/// Any bytes from the socket, which never come through; and any bytes inside of a record that authenticates, which are
/// read as rustls reads them.
pub fn raw(bytes: &[u8]) {
    for suite in SUITES {
        from_the_socket(&suite, bytes);
        inside_a_record(&suite, bytes);
    }
}

fn from_the_socket(suite: &Suite, bytes: &[u8]) {
    assert_eq!(record_len(bytes).map_err(drop), length(bytes), "a record's length");
    let (mut ours, _) = ends(suite, NO_LIMIT);
    let (mut pending, mut plain) = (bytes.to_vec(), Vec::new());
    let opened = ours.open(&mut pending, &mut plain);
    assert_eq!(plain, b"", "nobody sealed this");
    assert_eq!(End::of(&opened), End::where_nothing_authenticates(bytes));
    if opened.is_ok() {
        assert_eq!(pending, bytes, "bytes are lost");
    }
}

/// The last byte is the content type, or padding; the rest stands before it.
fn inside_a_record(suite: &Suite, bytes: &[u8]) {
    let (mut ours, mut peer) = ends(suite, NO_LIMIT);
    let (content, rest) = bytes.split_last().map_or((0, bytes), |(last, rest)| (*last, rest));
    let mut pending = peer.seal(content, rest);
    let meaning = match peer.reread(&pending) {
        Some((content, plain)) => Meaning::of(content, &plain),
        None => Meaning::Refused,
    };
    let mut plain = Vec::new();
    let opened = ours.open(&mut pending, &mut plain);
    assert_eq!(End::of(&opened), meaning.end(), "{meaning:?}");
    assert_eq!(plain, meaning.data());
    if meaning.end() != End::Waits {
        return;
    }
    if let Meaning::KeyUpdate { .. } = meaning {
        peer.next_tx();
    }
    pending.extend(peer.seal(APPLICATION_DATA, b"more"));
    assert_eq!(End::of(&ours.open(&mut pending, &mut plain)), End::Waits);
    assert_eq!(plain, [meaning.data(), b"more"].concat());
    let answer = peer.read(&ours.seal(b"answer").expect("keys are fresh"));
    let updates = usize::from(meaning == Meaning::KeyUpdate { answer: true });
    assert_eq!((answer.plain.as_slice(), answer.updates), (&b"answer"[..], updates));
}

/// The gateway's end and a peer.
fn ends(suite: &Suite, tx_limit: u64) -> (RecordLayer, Peer) {
    let ours = RecordLayer::new(suite.secrets, OURS, THEIRS, tx_limit).expect("a suite that is known");
    (ours, Peer::new(suite, THEIRS, OURS))
}

/// RFC 8446 section 5.2, once more.
fn length(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let Some(&[content, _, _, high, low]) = bytes.first_chunk::<5>() else { return Ok(None) };
    let length = usize::from(high) << 8 | usize::from(low);
    if content == 23 && (1 + 16..=(1 << 14) + 256).contains(&length) { Ok(Some(5 + length)) } else { Err(()) }
}

/// What a record says to a server after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    Data(Vec<u8>),
    Nothing,
    KeyUpdate { answer: bool },
    Close,
    Refused,
}

impl Meaning {
    /// RFC 8446 sections 4.6.3 and 6, once more.
    fn of(content: u8, plain: &[u8]) -> Self {
        match (content, plain) {
            (APPLICATION_DATA, plain) => Self::Data(plain.to_vec()),
            (ALERT, [_, 0]) => Self::Close,
            (ALERT, [_, 90]) => Self::Nothing,
            (HANDSHAKE, plain) if plain == KEY_UPDATE => Self::KeyUpdate { answer: false },
            (HANDSHAKE, [24, 0, 0, 1, 1]) => Self::KeyUpdate { answer: true },
            _ => Self::Refused,
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::Data(plain) => plain,
            _ => &[],
        }
    }

    fn end(&self) -> End {
        match self {
            Self::Close => End::Closed,
            Self::Refused => End::Refused,
            Self::Data(_) | Self::Nothing | Self::KeyUpdate { .. } => End::Waits,
        }
    }
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Waits,
    Closed,
    Refused,
}

impl End {
    fn of(opened: &Result<ControlFlow<()>, String>) -> Self {
        match opened {
            Ok(ControlFlow::Continue(())) => Self::Waits,
            Ok(ControlFlow::Break(())) => Self::Closed,
            Err(error) => {
                assert!(!error.is_empty() && !error.chars().any(char::is_control), "{error:?}");
                Self::Refused
            }
        }
    }

    /// Waits for the end of a record that could be one, and refuses every other.
    fn where_nothing_authenticates(bytes: &[u8]) -> Self {
        match length(bytes) {
            Ok(None) => Self::Waits,
            Ok(Some(length)) if length > bytes.len() => Self::Waits,
            _ => Self::Refused,
        }
    }
}

/// The numbers of the first secrets; the next ones are two more.
const OURS: u64 = 1;
const THEIRS: u64 = 2;
const NO_LIMIT: u64 = 1 << 24;
