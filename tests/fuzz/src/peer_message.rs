//! The messages of the exchange between two enclaves.

use crate::edit::edits;
use crate::recipe::Recipe;
use countersign_protocol::message::MessageError;
use countersign_protocol::peer::{PeerMessage, PeerRefusal, frame, frame_length};
use countersign_protocol::{Lease, Nonce, wire};

/// Any bytes as a message, and as the length before one.
pub fn raw(bytes: &[u8]) {
    check(bytes);
    if let Some(header) = bytes.first_chunk::<4>() {
        let announced = u32::from_be_bytes(*header) as usize;
        match frame_length(*header) {
            Ok(length) => assert!(length == announced && (1..=wire::MAX_DOCUMENT + 64).contains(&length)),
            Err(error) => assert!(error.length == announced && !(1..=wire::MAX_DOCUMENT).contains(&announced)),
        }
    }
}

/// Messages in order are read as they were written; edited ones keep every bound.
pub fn structured(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let limit = if recipe.seldom() { wire::MAX_DOCUMENT + 64 } else { 300 };
    let document = recipe.run(0..=limit);
    let message = match recipe.number(0..=3) {
        0 => PeerMessage::Challenge(Nonce::from_bytes(recipe.own())),
        1 => PeerMessage::Proof(&document),
        2 => PeerMessage::Accepted(Lease::from_secs(recipe.number(30..=600)).expect("a lease in order")),
        _ => {
            let detail = String::from_utf8_lossy(&document).into_owned();
            PeerMessage::Refused(PeerRefusal::new(recipe.pick(&["pcr-mismatch", "a", "B\n-9"]), &detail))
        }
    };
    let mut written = message.encode();
    match &message {
        PeerMessage::Proof(document) if document.len() > wire::MAX_DOCUMENT => {
            let len = document.len();
            assert_eq!(PeerMessage::decode(&written), Err(MessageError::DocumentTooLong { len }));
        }
        message => {
            assert_eq!(PeerMessage::decode(&written).as_ref(), Ok(message));
            let framed = frame(message);
            let header = framed.first_chunk::<4>().expect("a length");
            assert_eq!(frame_length(*header), Ok(framed.len() - 4));
        }
    }
    edits(&mut recipe, &mut written);
    check(&written);
}

/// What holds for any bytes.
fn check(bytes: &[u8]) {
    match PeerMessage::decode(bytes) {
        Ok(message) => {
            match &message {
                PeerMessage::Challenge(_) => {}
                PeerMessage::Proof(document) => assert!(document.len() <= wire::MAX_DOCUMENT),
                PeerMessage::Accepted(lease) => assert!((30..=600).contains(&lease.as_secs())),
                PeerMessage::Refused(refusal) => {
                    assert!((1..=PeerRefusal::MAX_CODE).contains(&refusal.code().len()));
                    assert!(refusal.detail().len() <= PeerRefusal::MAX_DETAIL);
                    assert!(!refusal.to_string().chars().any(char::is_control));
                }
            }
            let written = message.encode();
            assert_eq!(PeerMessage::decode(&written).as_ref(), Ok(&message), "not the same when read again");
            assert!(written.len() <= bytes.len(), "written longer than read");
            assert!(PeerMessage::decode(&bytes[..bytes.len() - 1]).is_err(), "a message without its last byte");
            assert!(matches!(
                PeerMessage::decode(&[bytes, &[0]].concat()),
                Err(MessageError::Trailing { extra: 1, .. })
            ));
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
        }
    }
}
