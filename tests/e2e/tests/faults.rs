//! Every defect that the simulator can build into a document, over the wire:
//! each refused with its own code, and none ever granted a session.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use countersign_e2e::{Proxy, Setup};
use countersign_simulator::Fault;

#[tokio::test]
async fn every_fault_is_refused_with_its_code_and_the_enclave_goes_on() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let mut sequence = 0;
    let mut wrong = Vec::new();
    for (fault, status, code) in TABLE {
        sequence += 1;
        let answer = enclave.attest(sequence, |claim| claim.fault = Some(*fault)).await;
        if (answer.status, &*answer.problem().code) != (*status, *code) {
            wrong.push((fault, answer.refusal()));
        }
        // The same connection, the same key, no fault: what was refused was the
        // fault, and a refusal leaves nothing behind that a cache could get wrong.
        sequence += 1;
        enclave.attest(sequence, |_| ()).await.grant();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_has_one_row_for_each_fault() {
    let rows: BTreeSet<Fault> = TABLE.iter().map(|(fault, ..)| *fault).collect();
    assert_eq!(rows, Fault::ALL.iter().copied().collect());
    assert_eq!(TABLE.len(), Fault::ALL.len());
}

/// The codes of the verifier (`docs/refusals.md`); 400 for what is no document, 403 for one that is not wanted.
const TABLE: &[(Fault, u16, &str)] = &[
    (Fault::TrailingByte, 400, "trailing-bytes"),
    (Fault::ProtectedTrailingByte, 400, "protected-header"),
    (Fault::PayloadTrailingByte, 400, "trailing-bytes"),
    (Fault::CertificateTrailingByte, 403, "certificate-trailing-bytes"),
    (Fault::CabundleTrailingByte, 403, "certificate-trailing-bytes"),
    (Fault::ThreeElements, 400, "count-out-of-range"),
    (Fault::FiveElements, 400, "count-out-of-range"),
    (Fault::TaggedTwice, 400, "unexpected-tag"),
    (Fault::ForeignTag, 400, "unexpected-tag"),
    (Fault::TaggedTimestamp, 400, "unexpected-tag"),
    (Fault::WrongAlg, 400, "protected-header"),
    (Fault::MissingAlg, 400, "protected-header"),
    (Fault::DuplicateAlg, 400, "protected-header"),
    (Fault::ProtectedExtra, 400, "protected-header"),
    (Fault::CriticalHeader, 400, "protected-header"),
    (Fault::UnprotectedNonEmpty, 400, "unprotected-header"),
    (Fault::EmptyPayload, 400, "length-out-of-range"),
    (Fault::DetachedPayload, 400, "unexpected-type"),
    // Larger than any request may be: nobody reads it.
    (Fault::OversizedPayload, 413, "too-large"),
    (Fault::ChunkedPayload, 400, "indefinite-length"),
    (Fault::ChunkedSignature, 400, "indefinite-length"),
    (Fault::ShortSignature, 400, "length-out-of-range"),
    (Fault::EmptySignature, 400, "length-out-of-range"),
    (Fault::ChunkedKey, 400, "indefinite-length"),
    (Fault::HugeCount, 400, "count-out-of-range"),
    (Fault::DeepNesting, 400, "unexpected-type"),
    (Fault::DuplicateKey, 400, "duplicate-key"),
    (Fault::DuplicateKeyNonMinimal, 400, "not-shortest-form"),
    (Fault::DuplicatePcr, 400, "duplicate-pcr"),
    (Fault::DuplicatePcrNonMinimal, 400, "not-shortest-form"),
    (Fault::UnknownKey, 400, "unknown-key"),
    (Fault::IntegerKey, 400, "unexpected-type"),
    (Fault::EmptyModuleId, 400, "length-out-of-range"),
    (Fault::ModuleIdBytes, 400, "unexpected-type"),
    (Fault::MissingModuleId, 400, "missing-key"),
    (Fault::WrongDigest, 400, "digest"),
    (Fault::MissingDigest, 400, "missing-key"),
    (Fault::ZeroTimestamp, 400, "timestamp-zero"),
    (Fault::NegativeTimestamp, 400, "unexpected-type"),
    (Fault::FloatTimestamp, 400, "unexpected-type"),
    (Fault::MissingPcr2, 400, "missing-pcr"),
    (Fault::EmptyPcrs, 400, "count-out-of-range"),
    (Fault::PcrIndex32, 400, "pcr-index-out-of-range"),
    (Fault::PcrLen47, 400, "length-out-of-range"),
    (Fault::NitroTpmPcrs, 400, "nitrotpm-document"),
    (Fault::EmptyCertificate, 400, "length-out-of-range"),
    (Fault::OversizedCertificate, 400, "length-out-of-range"),
    (Fault::EmptyCabundle, 400, "count-out-of-range"),
    (Fault::EmptyCabundleEntry, 400, "length-out-of-range"),
    (Fault::LongCabundle, 400, "count-out-of-range"),
    (Fault::OversizedPublicKey, 400, "length-out-of-range"),
    (Fault::OversizedUserData, 400, "length-out-of-range"),
    (Fault::OversizedNonce, 400, "length-out-of-range"),
    (Fault::UndefinedUserData, 400, "unexpected-type"),
    (Fault::ForeignRoot, 403, "untrusted-root"),
    (Fault::ReversedCabundle, 403, "untrusted-root"),
    (Fault::MissingRoot, 403, "untrusted-root"),
    (Fault::IssuedByForeignRoot, 403, "certificate-signature"),
    (Fault::ShuffledCabundle, 403, "certificate-name-mismatch"),
    (Fault::MissingIntermediate, 403, "certificate-name-mismatch"),
    (Fault::UnrelatedCertificate, 403, "certificate-name-mismatch"),
    (Fault::WrongIssuerName, 403, "certificate-name-mismatch"),
    (Fault::CertificateSignatureFlipped, 403, "certificate-signature"),
    (Fault::ExpiredLeaf, 403, "certificate-expired"),
    (Fault::LeafNotYetValid, 403, "certificate-not-yet-valid"),
    (Fault::ExpiredIntermediate, 403, "certificate-expired"),
    (Fault::IntermediateNotCa, 403, "issuer-not-a-ca"),
    (Fault::BasicConstraintsNotCritical, 403, "issuer-not-a-ca"),
    (Fault::MissingBasicConstraints, 403, "issuer-not-a-ca"),
    (Fault::PathLenViolated, 403, "path-length-exceeded"),
    (Fault::NoKeyCertSign, 403, "issuer-key-usage"),
    (Fault::LeafNoDigitalSignature, 403, "leaf-key-usage"),
    (Fault::LeafIsCa, 403, "leaf-is-a-ca"),
    (Fault::UnknownCriticalExtension, 403, "certificate-critical-extension"),
    (Fault::UnknownCriticalExtensionInCa, 403, "certificate-critical-extension"),
    (Fault::P256Leaf, 403, "certificate-key-algorithm"),
    (Fault::Sha256Signature, 403, "certificate-signature-algorithm"),
    (Fault::SignedByOtherKey, 403, "signature-invalid"),
    (Fault::PayloadFlipped, 403, "signature-invalid"),
    (Fault::SignatureWithoutContext, 403, "signature-invalid"),
    (Fault::ZeroSignature, 403, "signature-invalid"),
    (Fault::TimestampStale, 403, "document-too-old"),
    (Fault::TimestampFuture, 403, "document-from-the-future"),
    (Fault::NonceReplaced, 403, "nonce-mismatch"),
    (Fault::NonceMissing, 403, "nonce-missing"),
    (Fault::PublicKeyReplaced, 403, "public-key-mismatch"),
    (Fault::UserDataReplaced, 403, "user-data-mismatch"),
    (Fault::DebugPcrs, 403, "debug-mode"),
];
