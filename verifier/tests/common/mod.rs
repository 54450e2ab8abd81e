//! What the suites share: where the documents are, and how a verdict is written down.
#![allow(dead_code, reason = "each suite uses its part")]

use countersign_verifier::{
    CacheCapacity, Expectations, Expected, Freshness, Refusal, TrustAnchor, UnixMillis, UnverifiedDocument,
    Verifier,
};
use std::path::{Path, PathBuf};

/// The documents collected from public projects. They are no part of this project and lie beside the checkout.
pub(crate) fn shared_documents() -> Option<PathBuf> {
    let shared = std::env::var_os("COUNTERSIGN_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let documents = shared.join("attestation-documents");
    if documents.join("index.json").is_file() {
        return Some(documents);
    }
    eprintln!(
        "SKIPPED: no attestation-documents/index.json in {}; set COUNTERSIGN_SHARED to the folder that has it",
        shared.display()
    );
    None
}

/// The documents made for this project, each with one defect.
pub(crate) fn synthetic(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/synthetic").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Expects nothing but that the document is genuine and as old as it says.
pub(crate) fn at_own_time(at: UnixMillis) -> Expectations<'static> {
    Expectations {
        at,
        freshness: Freshness::AtOwnTime,
        nonce: Expected::Unchecked,
        public_key: Expected::Unchecked,
        user_data: Expected::Unchecked,
    }
}

/// A verifier that remembers nothing.
pub(crate) fn cold(anchor: TrustAnchor) -> Verifier {
    Verifier::new(anchor, CacheCapacity::NONE)
}

/// Parses and verifies.
pub(crate) fn check(verifier: &Verifier, bytes: &[u8], at: UnixMillis) -> Result<(), Refusal> {
    let document = UnverifiedDocument::parse(bytes)?;
    verifier.verify(&document, &at_own_time(at)).map(drop)
}

/// `accept`, or the stage and the code of the refusal.
pub(crate) fn verdict(result: &Result<(), Refusal>) -> String {
    match result {
        Ok(()) => "accept".to_owned(),
        Err(refusal) => format!("{} {}", refusal.stage(), refusal.code()),
    }
}

/// The rows of a table: lines of cells between tabs, after one line of headings.
pub(crate) fn rows<const CELLS: usize>(table: &str) -> Vec<[String; CELLS]> {
    let rows: Vec<_> = table
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
            cells.try_into().unwrap_or_else(|cells| panic!("not {CELLS} cells: {cells:?}"))
        })
        .collect();
    assert!(!rows.is_empty(), "an empty table proves nothing");
    rows
}
