//! Every document of AWS, and every broken one, that was collected beside the checkout.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{at_own_time, check, cold, shared_documents, verdict};
use countersign_verifier::{CacheCapacity, TrustAnchor, UnixMillis, UnverifiedDocument, Verifier};
use serde_json::Value;
use std::collections::BTreeMap;

struct Collected {
    file: String,
    bytes: Vec<u8>,
    index: Value,
}

impl Collected {
    fn at(&self) -> UnixMillis {
        UnixMillis::from_millis(self.index["timestamp_ms"].as_u64().unwrap_or(0))
    }
}

/// The documents of one kind; `None`, said aloud, when the folder is not there.
fn collected(kind: &str) -> Option<Vec<Collected>> {
    let folder = shared_documents()?;
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let documents: Vec<_> = index
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["kind"] == kind)
        .map(|entry| {
            let file = entry["file"].as_str().unwrap().to_owned();
            Collected { bytes: std::fs::read(folder.join(&file)).unwrap(), file, index: entry.clone() }
        })
        .collect();
    assert!(!documents.is_empty(), "no document of the kind {kind}");
    let in_folder = std::fs::read_dir(folder.join(kind)).unwrap().count();
    assert_eq!(documents.len(), in_folder, "a document of the kind {kind} is not in the index");
    Some(documents)
}

#[test]
fn every_genuine_document_is_accepted_at_its_own_time_and_says_what_the_index_says() {
    for Collected { file, bytes, index } in collected("real").unwrap_or_default() {
        let document =
            UnverifiedDocument::parse(&bytes).unwrap_or_else(|refusal| panic!("{file}: {refusal}"));
        let verifier = cold(TrustAnchor::aws());
        let evidence = verifier
            .verify(&document, &at_own_time(document.timestamp()))
            .unwrap_or_else(|refusal| panic!("{file}: {refusal}"));
        assert_eq!(verifier.cache_stats().signature_verifications, 5, "{file}");
        assert_eq!(evidence.module_id(), index["module_id"], "{file}");
        assert_eq!(evidence.timestamp().as_millis(), index["timestamp_ms"], "{file}");
        assert_eq!(evidence.pcrs().len() as u64, index["pcr_count"], "{file}");
        assert_eq!(evidence.pcrs().is_debug(), index["debug"], "{file}");
        for (field, value) in [
            ("public_key", evidence.public_key()),
            ("user_data", evidence.user_data()),
            ("nonce", evidence.nonce()),
        ] {
            let length = value.map_or(Value::from("null"), |bytes| bytes.len().into());
            assert_eq!(length, index[field], "{file}: {field}");
        }
        let ends = evidence.not_after().to_string();
        assert_eq!(
            ends.trim_end_matches(".000Z"),
            index["leaf_na"].as_str().unwrap().trim_end_matches("+00:00")
        );
    }
}

#[test]
fn genuine_documents_share_what_is_known_of_their_issuers() {
    let verifier = Verifier::new(TrustAnchor::aws(), CacheCapacity::default());
    for document in collected("real").unwrap_or_default() {
        assert_eq!(verdict(&check(&verifier, &document.bytes, document.at())), "accept", "{}", document.file);
        let before = verifier.cache_stats().signature_verifications;
        assert_eq!(verdict(&check(&verifier, &document.bytes, document.at())), "accept", "{}", document.file);
        assert_eq!(verifier.cache_stats().signature_verifications - before, 1, "{}", document.file);
    }
}

#[test]
fn a_genuine_document_is_nothing_under_another_root_or_at_another_time() {
    for document in collected("real").unwrap_or_default() {
        let (file, bytes) = (&document.file, &document.bytes);
        assert_eq!(
            verdict(&check(&cold(TrustAnchor::aws_us_gov()), bytes, document.at())),
            "chain untrusted-root",
            "{file}"
        );
        let later = UnixMillis::from_millis(document.at().as_millis() + 30 * 86_400_000);
        assert_eq!(
            verdict(&check(&cold(TrustAnchor::aws()), bytes, later)),
            "chain certificate-expired",
            "{file}"
        );
        let earlier = UnixMillis::from_millis(document.at().as_millis() - 30 * 86_400_000);
        assert_eq!(
            verdict(&check(&cold(TrustAnchor::aws()), bytes, earlier)),
            "chain certificate-not-yet-valid",
            "{file}"
        );
    }
}

#[test]
fn every_nitrotpm_document_is_refused_by_name() {
    for document in collected("nitrotpm").unwrap_or_default() {
        let verdict = verdict(&check(&cold(TrustAnchor::aws()), &document.bytes, document.at()));
        assert_eq!(verdict, "syntax nitrotpm-document", "{}", document.file);
    }
}

#[test]
fn every_invalid_document_is_refused_for_its_own_reason() {
    let Some(documents) = collected("invalid") else { return };
    let verdicts: BTreeMap<_, _> = documents
        .iter()
        .map(|document| {
            let verdict = verdict(&check(&cold(TrustAnchor::aws()), &document.bytes, document.at()));
            (document.file.trim_start_matches("invalid/"), verdict)
        })
        .collect();
    let expected = [
        ("cape-js-c53e6d.cbor", "syntax unexpected-tag"), // shifted base64: no byte string in the fourth place
        ("cape-js-f8a9f1.cbor", "syntax length-out-of-range"), // corrupted: the signature is 16 bytes
        ("go-nitro-enclave-attestation-d-7df2cd.cbor", "signature signature-invalid"), // an altered signature
        ("nitriding-b68963.cbor", "syntax unexpected-type"), // the unprotected header is null
        ("nitrite-46af0a.cbor", "syntax truncated"),      // 35 bytes
        ("nitro-validator-a05aa7.cbor", "syntax unexpected-type"), // three bytes are missing
    ];
    assert_eq!(verdicts, expected.map(|(file, verdict)| (file, verdict.to_owned())).into());
}
