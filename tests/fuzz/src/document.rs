//! Attestation documents: the reader of `countersign-verifier` and all that stands behind it.

mod reread;
mod signed;
mod simulator;
mod structured;

use countersign_verifier::{MAX_DOCUMENT_BYTES, Refusal, Stage, UnverifiedDocument};

pub use signed::mutated;
pub use simulator::simulated;
pub use structured::structured;

/// Any bytes as a document.
pub fn raw(bytes: &[u8]) {
    check(bytes);
}

/// What holds for any bytes. Gives the document when they are one.
fn check(bytes: &[u8]) -> Option<UnverifiedDocument<'_>> {
    let document = match UnverifiedDocument::parse(bytes) {
        Ok(document) => document,
        Err(refusal) => {
            assert_eq!(refusal.stage(), Stage::Syntax, "{refusal}");
            readable(&refusal);
            return None;
        }
    };
    assert!(bytes.len() <= MAX_DOCUMENT_BYTES);
    within_limits(&document);
    reread::agrees(&document, bytes);
    assert!(
        UnverifiedDocument::parse(&bytes[..bytes.len() - 1]).is_err(),
        "a document without its last byte"
    );
    assert!(UnverifiedDocument::parse(&[bytes, &[0]].concat()).is_err(), "a document and one byte more");
    signed::never_accepts_what_was_not_signed(&document, bytes);
    Some(document)
}

/// The limits of AWS's attestation process, section 3.2.2, seen from outside.
fn within_limits(document: &UnverifiedDocument<'_>) {
    let module_id = document.module_id();
    assert!(!module_id.is_empty() && module_id.len() <= 256 && !module_id.contains("-tpm"), "{module_id:?}");
    assert_ne!(document.timestamp().as_millis(), 0);
    assert!((3..=32).contains(&document.pcrs().len()));
    assert!((1..=10).contains(&document.cabundle().len()));
    for der in document.cabundle().iter().copied().chain([document.certificate()]) {
        assert!((1..=1024).contains(&der.len()));
        crate::certificate::check(der);
    }
    for field in [document.public_key(), document.user_data(), document.nonce()] {
        assert!(field.is_none_or(|bytes| bytes.len() <= 1024));
    }
}

/// A refusal is one line that can stand in a log, whatever the bytes were; its code is one word.
fn readable(refusal: &Refusal) {
    let code = refusal.code();
    assert!(
        !code.is_empty() && code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')),
        "{code:?}"
    );
    for text in [refusal.to_string(), refusal.expected(), refusal.actual()] {
        assert!(!text.is_empty() && text.len() <= 4_096, "{} bytes: {text}", text.len());
        assert!(!text.chars().any(char::is_control), "control characters: {text:?}");
    }
}
