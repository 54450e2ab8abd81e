use std::fmt;

use crate::{
    Lease, Nonce,
    message::{MessageError, Reader, encode},
    wire,
};

/// One message of the exchange between peers.
///
/// On the wire each stands behind its length, four bytes, the highest first ([`frame`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage<'a> {
    /// `["countersign-peer-challenge-v1", nonce]`: a new one begins a new round.
    Challenge(Nonce),
    /// `["countersign-peer-proof-v1", document]`: the NSM's answer, untouched.
    Proof(&'a [u8]),
    /// `["countersign-peer-accepted-v1", lease_seconds]`: for so long, from the moment of the answer.
    Accepted(Lease),
    /// `["countersign-peer-refused-v1", code, detail]`: the last word of who says it.
    Refused(PeerRefusal),
}

/// Why a peer is not served: a code for programs and a sentence for people.
///
/// It comes from the other side: whoever logs it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRefusal {
    code: String,
    detail: String,
}

impl PeerRefusal {
    /// The longest code, in bytes.
    pub const MAX_CODE: usize = 64;
    /// The longest detail, in bytes.
    pub const MAX_DETAIL: usize = 512;

    /// A refusal; what is too long or has no business in a log line is cut out.
    pub fn new(code: &str, detail: &str) -> Self {
        let code = code.chars().filter(|&c| is_code(c)).take(Self::MAX_CODE).collect();
        let mut kept = String::new();
        for c in detail.chars().filter(|c| !c.is_control()) {
            if kept.len() + c.len_utf8() > Self::MAX_DETAIL {
                break;
            }
            kept.push(c);
        }
        Self { code, detail: kept }
    }

    /// `a-z`, `0-9` and `-`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Without control characters.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for PeerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl<'a> PeerMessage<'a> {
    /// The message as CBOR, without its length.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Challenge(nonce) => {
                encode(80, |e| e.array(2)?.str(CHALLENGE)?.bytes(nonce.as_bytes())?.ok())
            }
            Self::Proof(document) => {
                encode(document.len() + 40, |e| e.array(2)?.str(PROOF)?.bytes(document)?.ok())
            }
            Self::Accepted(lease) => encode(40, |e| e.array(2)?.str(ACCEPTED)?.u64(lease.as_secs())?.ok()),
            Self::Refused(PeerRefusal { code, detail }) => {
                encode(detail.len() + 120, |e| e.array(3)?.str(REFUSED)?.str(code)?.str(detail)?.ok())
            }
        }
    }

    /// Reads a whole message; a document stays where it is.
    ///
    /// # Errors
    /// [`MessageError`] naming the field that is not as it must be.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MessageError> {
        if let Ok(mut reader) = Reader::open(bytes, CHALLENGE, 2) {
            let nonce = Nonce::from_bytes(reader.array("nonce")?);
            return reader.close(Self::Challenge(nonce));
        }
        if let Ok(mut reader) = Reader::open(bytes, PROOF, 2) {
            let document = reader.bytes("document")?;
            if document.len() > wire::MAX_DOCUMENT {
                return Err(MessageError::DocumentTooLong { len: document.len() });
            }
            return reader.close(Self::Proof(document));
        }
        if let Ok(mut reader) = Reader::open(bytes, ACCEPTED, 2) {
            let lease = reader.lease("lease_seconds")?;
            return reader.close(Self::Accepted(lease));
        }
        let mut reader = Reader::open(bytes, REFUSED, 3).map_err(|_| MessageError::NotThis { label: ANY })?;
        let (code, detail) = (reader.text("code")?, reader.text("detail")?);
        if code.is_empty() || code.len() > PeerRefusal::MAX_CODE || !code.chars().all(is_code) {
            return Err(reader.bad("code"));
        }
        if detail.len() > PeerRefusal::MAX_DETAIL || detail.chars().any(char::is_control) {
            return Err(reader.bad("detail"));
        }
        let refusal = PeerRefusal { code: code.to_owned(), detail: detail.to_owned() };
        reader.close(Self::Refused(refusal))
    }
}

/// A message behind its length.
pub fn frame(message: &PeerMessage<'_>) -> Vec<u8> {
    let body = message.encode();
    // What this crate encodes is far below 4 GiB; the reader has the real limit.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut framed = Vec::with_capacity(body.len() + 4);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&body);
    framed
}

/// How many bytes follow the four of a length.
///
/// # Errors
/// [`FrameError`] for none, or for more than a document and what stands around it.
pub fn frame_length(header: [u8; 4]) -> Result<usize, FrameError> {
    match u32::from_be_bytes(header) as usize {
        length @ 1..=MAX_FRAME => Ok(length),
        length => Err(FrameError { length }),
    }
}

/// A length that no message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// What was announced, in bytes.
    pub length: usize,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of {} bytes was announced; 1 to {MAX_FRAME} are possible", self.length)
    }
}

impl std::error::Error for FrameError {}

/// A document and the label in front of it.
const MAX_FRAME: usize = wire::MAX_DOCUMENT + 64;

fn is_code(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

const CHALLENGE: &str = "countersign-peer-challenge-v1";
const PROOF: &str = "countersign-peer-proof-v1";
const ACCEPTED: &str = "countersign-peer-accepted-v1";
const REFUSED: &str = "countersign-peer-refused-v1";
const ANY: &str = "countersign-peer-…-v1";

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> [PeerMessage<'static>; 4] {
        [
            PeerMessage::Challenge(Nonce::from_bytes([7; 32])),
            PeerMessage::Proof(&[8; 4400]),
            PeerMessage::Accepted(Lease::MIN),
            PeerMessage::Refused(PeerRefusal::new("mismatch", "no measurement fits")),
        ]
    }

    #[test]
    fn messages_survive_the_wire() {
        for message in messages() {
            let framed = frame(&message);
            let (header, body) = framed.split_at(4);
            assert_eq!(frame_length(header.try_into().unwrap()), Ok(body.len()));
            assert_eq!(PeerMessage::decode(body), Ok(message));
        }
    }

    #[test]
    fn every_truncation_and_every_extension_is_refused() {
        for message in messages() {
            let whole = message.encode();
            for end in 0..whole.len() {
                assert!(PeerMessage::decode(&whole[..end]).is_err(), "{message:?} cut to {end}");
            }
            let longer = [&whole[..], &[0]].concat();
            let extra = PeerMessage::decode(&longer);
            assert!(matches!(extra, Err(MessageError::Trailing { extra: 1, .. })), "{extra:?}");
        }
    }

    #[test]
    fn a_length_has_its_bounds_before_anything_is_kept() {
        for length in [0, MAX_FRAME + 1, u32::MAX as usize] {
            let header = u32::try_from(length).unwrap().to_be_bytes();
            assert_eq!(frame_length(header), Err(FrameError { length }));
        }
        assert_eq!(frame_length(u32::try_from(MAX_FRAME).unwrap().to_be_bytes()), Ok(MAX_FRAME));
        // The largest document has room.
        let largest = vec![0; wire::MAX_DOCUMENT];
        assert!(PeerMessage::Proof(&largest).encode().len() <= MAX_FRAME);
        let larger = vec![0; wire::MAX_DOCUMENT + 1];
        let len = larger.len();
        let read = PeerMessage::Proof(&larger).encode();
        assert_eq!(PeerMessage::decode(&read), Err(MessageError::DocumentTooLong { len }));
    }

    #[test]
    fn a_refusal_can_neither_flood_a_log_nor_forge_a_line_of_it() {
        let refusal = PeerRefusal::new("Odd CODE\n-1", &"é\n".repeat(400));
        assert_eq!((refusal.code(), refusal.detail().len()), ("dd-1", 512));
        assert!(!refusal.detail().contains('\n'));
        let wrong = |code: &str, detail: &str| {
            PeerMessage::Refused(PeerRefusal { code: code.to_owned(), detail: detail.to_owned() }).encode()
        };
        let field = |field| Err(MessageError::Field { label: REFUSED, field });
        assert_eq!(PeerMessage::decode(&wrong("", "x")), field("code"));
        assert_eq!(PeerMessage::decode(&wrong("a b", "x")), field("code"));
        assert_eq!(PeerMessage::decode(&wrong("a", "x\ny")), field("detail"));
        assert_eq!(PeerMessage::decode(&wrong("a", &"x".repeat(513))), field("detail"));
    }

    #[test]
    fn an_answer_to_a_proxy_is_no_message_between_peers() {
        let attest = crate::message::Attest {
            document: &[1],
            lease: Lease::MIN,
            boot_id: crate::BootId::from_bytes([0; 16]),
            sequence: 1,
        };
        let read = attest.encode();
        assert_eq!(PeerMessage::decode(&read), Err(MessageError::NotThis { label: ANY }));
    }
}
