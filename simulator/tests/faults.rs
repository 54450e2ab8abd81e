//! Every document in order is accepted, and every fault is refused at its stage with its code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use countersign_simulator::{AttestationRequest, Fault, Module, SimulatedRoot, SoftwareNsm};
use countersign_verifier::{
    CacheCapacity, DebugMode, Expectations, Expected, Freshness, Measurement, ReferenceValues, Refusal,
    Stage, TrustAnchor, UnixMillis, UnverifiedDocument, Verifier,
};
use support::NOW_MS;

/// One row for each fault: where it is refused, and the reason given.
const TABLE: &[(Fault, Stage, &str)] = &[
    (Fault::TrailingByte, Stage::Syntax, "trailing-bytes"),
    (Fault::ProtectedTrailingByte, Stage::Syntax, "protected-header"),
    (Fault::PayloadTrailingByte, Stage::Syntax, "trailing-bytes"),
    (Fault::CertificateTrailingByte, Stage::Chain, "certificate-trailing-bytes"),
    (Fault::CabundleTrailingByte, Stage::Chain, "certificate-trailing-bytes"),
    (Fault::ThreeElements, Stage::Syntax, "count-out-of-range"),
    (Fault::FiveElements, Stage::Syntax, "count-out-of-range"),
    (Fault::TaggedTwice, Stage::Syntax, "unexpected-tag"),
    (Fault::ForeignTag, Stage::Syntax, "unexpected-tag"),
    (Fault::TaggedTimestamp, Stage::Syntax, "unexpected-tag"),
    (Fault::WrongAlg, Stage::Syntax, "protected-header"),
    (Fault::MissingAlg, Stage::Syntax, "protected-header"),
    (Fault::DuplicateAlg, Stage::Syntax, "protected-header"),
    (Fault::ProtectedExtra, Stage::Syntax, "protected-header"),
    (Fault::CriticalHeader, Stage::Syntax, "protected-header"),
    (Fault::UnprotectedNonEmpty, Stage::Syntax, "unprotected-header"),
    (Fault::EmptyPayload, Stage::Syntax, "length-out-of-range"),
    (Fault::DetachedPayload, Stage::Syntax, "unexpected-type"),
    (Fault::OversizedPayload, Stage::Syntax, "length-out-of-range"),
    (Fault::ChunkedPayload, Stage::Syntax, "indefinite-length"),
    (Fault::ChunkedSignature, Stage::Syntax, "indefinite-length"),
    (Fault::ShortSignature, Stage::Syntax, "length-out-of-range"),
    (Fault::EmptySignature, Stage::Syntax, "length-out-of-range"),
    (Fault::ChunkedKey, Stage::Syntax, "indefinite-length"),
    (Fault::HugeCount, Stage::Syntax, "count-out-of-range"),
    (Fault::DeepNesting, Stage::Syntax, "unexpected-type"),
    (Fault::DuplicateKey, Stage::Syntax, "duplicate-key"),
    (Fault::DuplicateKeyNonMinimal, Stage::Syntax, "not-shortest-form"),
    (Fault::DuplicatePcr, Stage::Syntax, "duplicate-pcr"),
    (Fault::DuplicatePcrNonMinimal, Stage::Syntax, "not-shortest-form"),
    (Fault::UnknownKey, Stage::Syntax, "unknown-key"),
    (Fault::IntegerKey, Stage::Syntax, "unexpected-type"),
    (Fault::EmptyModuleId, Stage::Syntax, "length-out-of-range"),
    (Fault::ModuleIdBytes, Stage::Syntax, "unexpected-type"),
    (Fault::MissingModuleId, Stage::Syntax, "missing-key"),
    (Fault::WrongDigest, Stage::Syntax, "digest"),
    (Fault::MissingDigest, Stage::Syntax, "missing-key"),
    (Fault::ZeroTimestamp, Stage::Syntax, "timestamp-zero"),
    (Fault::NegativeTimestamp, Stage::Syntax, "unexpected-type"),
    (Fault::FloatTimestamp, Stage::Syntax, "unexpected-type"),
    (Fault::MissingPcr2, Stage::Syntax, "missing-pcr"),
    (Fault::EmptyPcrs, Stage::Syntax, "count-out-of-range"),
    (Fault::PcrIndex32, Stage::Syntax, "pcr-index-out-of-range"),
    (Fault::PcrLen47, Stage::Syntax, "length-out-of-range"),
    (Fault::NitroTpmPcrs, Stage::Syntax, "nitrotpm-document"),
    (Fault::EmptyCertificate, Stage::Syntax, "length-out-of-range"),
    (Fault::OversizedCertificate, Stage::Syntax, "length-out-of-range"),
    (Fault::EmptyCabundle, Stage::Syntax, "count-out-of-range"),
    (Fault::EmptyCabundleEntry, Stage::Syntax, "length-out-of-range"),
    (Fault::LongCabundle, Stage::Syntax, "count-out-of-range"),
    (Fault::OversizedPublicKey, Stage::Syntax, "length-out-of-range"),
    (Fault::OversizedUserData, Stage::Syntax, "length-out-of-range"),
    (Fault::OversizedNonce, Stage::Syntax, "length-out-of-range"),
    (Fault::UndefinedUserData, Stage::Syntax, "unexpected-type"),
    (Fault::ForeignRoot, Stage::Chain, "untrusted-root"),
    (Fault::ReversedCabundle, Stage::Chain, "untrusted-root"),
    (Fault::MissingRoot, Stage::Chain, "untrusted-root"),
    (Fault::IssuedByForeignRoot, Stage::Chain, "certificate-signature"),
    (Fault::ShuffledCabundle, Stage::Chain, "certificate-name-mismatch"),
    (Fault::MissingIntermediate, Stage::Chain, "certificate-name-mismatch"),
    (Fault::UnrelatedCertificate, Stage::Chain, "certificate-name-mismatch"),
    (Fault::WrongIssuerName, Stage::Chain, "certificate-name-mismatch"),
    (Fault::CertificateSignatureFlipped, Stage::Chain, "certificate-signature"),
    (Fault::ExpiredLeaf, Stage::Chain, "certificate-expired"),
    (Fault::LeafNotYetValid, Stage::Chain, "certificate-not-yet-valid"),
    (Fault::ExpiredIntermediate, Stage::Chain, "certificate-expired"),
    (Fault::IntermediateNotCa, Stage::Chain, "issuer-not-a-ca"),
    (Fault::BasicConstraintsNotCritical, Stage::Chain, "issuer-not-a-ca"),
    (Fault::MissingBasicConstraints, Stage::Chain, "issuer-not-a-ca"),
    (Fault::PathLenViolated, Stage::Chain, "path-length-exceeded"),
    (Fault::NoKeyCertSign, Stage::Chain, "issuer-key-usage"),
    (Fault::LeafNoDigitalSignature, Stage::Chain, "leaf-key-usage"),
    (Fault::LeafIsCa, Stage::Chain, "leaf-is-a-ca"),
    (Fault::UnknownCriticalExtension, Stage::Chain, "certificate-critical-extension"),
    (Fault::UnknownCriticalExtensionInCa, Stage::Chain, "certificate-critical-extension"),
    (Fault::P256Leaf, Stage::Chain, "certificate-key-algorithm"),
    (Fault::Sha256Signature, Stage::Chain, "certificate-signature-algorithm"),
    (Fault::SignedByOtherKey, Stage::Signature, "signature-invalid"),
    (Fault::PayloadFlipped, Stage::Signature, "signature-invalid"),
    (Fault::SignatureWithoutContext, Stage::Signature, "signature-invalid"),
    (Fault::ZeroSignature, Stage::Signature, "signature-invalid"),
    (Fault::TimestampStale, Stage::Freshness, "document-too-old"),
    (Fault::TimestampFuture, Stage::Freshness, "document-from-the-future"),
    (Fault::NonceReplaced, Stage::Binding, "nonce-mismatch"),
    (Fault::NonceMissing, Stage::Binding, "nonce-missing"),
    (Fault::PublicKeyReplaced, Stage::Binding, "public-key-mismatch"),
    (Fault::UserDataReplaced, Stage::Binding, "user-data-mismatch"),
    (Fault::DebugPcrs, Stage::Appraisal, "debug-mode"),
];

#[test]
fn the_table_has_one_row_for_each_fault() {
    let rows: Vec<Fault> = TABLE.iter().map(|(fault, _, _)| *fault).collect();
    assert_eq!(rows.iter().collect::<BTreeSet<_>>(), Fault::ALL.iter().collect());
    assert_eq!(rows.len(), Fault::ALL.len());
}

#[test]
fn every_fault_is_refused_for_its_own_reason() {
    let bench = Bench::new();
    let found: Vec<_> = Fault::ALL.iter().map(|fault| (*fault, verdict(bench.refusal(*fault)))).collect();
    let wanted: Vec<_> = TABLE.iter().map(|(fault, stage, code)| (*fault, Some((*stage, *code)))).collect();
    let wrong: Vec<_> = found.iter().filter(|row| !wanted.contains(row)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The cache must not turn a refusal into an acceptance, nor the other way round.
#[test]
fn a_verifier_that_has_seen_everything_still_tells_them_apart() {
    let bench = Bench::new();
    for round in 0..2 {
        for (fault, stage, code) in TABLE {
            assert_eq!(verdict(bench.refusal(*fault)), Some((*stage, *code)), "{fault}, round {round}");
            assert_eq!(verdict(bench.honest().err()), None, "after {fault}, round {round}");
        }
    }
}

#[test]
fn a_chain_of_any_age_is_accepted() {
    let bench = Bench::new();
    let rotations: [(&str, Rotate); 4] = [
        ("none", |_| ()),
        ("leaf", SoftwareNsm::rotate_leaf),
        ("instance", SoftwareNsm::rotate_instance),
        ("chain", SoftwareNsm::rotate_chain),
    ];
    for hour in [0, 1, 3, 12, 30, 24 * 7, 24 * 40, 24 * 365] {
        for (name, rotate) in rotations {
            rotate(&bench.nsm);
            let now_ms = NOW_MS + hour * 3_600_000;
            assert_eq!(
                verdict(bench.verify(&bench.document(now_ms, None), now_ms).err()),
                None,
                "{hour} h, {name}"
            );
        }
    }
}

#[test]
fn every_form_of_request_is_accepted() {
    let values = [None, Some(vec![]), Some(vec![7; 512])];
    let bench = Bench::new();
    for public_key in values.iter().cloned().chain([Some(vec![7; 1024])]) {
        for user_data in &values {
            for nonce in &values {
                let request = AttestationRequest {
                    public_key: public_key.clone(),
                    user_data: user_data.clone(),
                    nonce: nonce.clone(),
                };
                let document = bench.nsm.attest(NOW_MS, &request).unwrap();
                let parsed = UnverifiedDocument::parse(&document).unwrap();
                let evidence = bench.verifier.verify(&parsed, &unbound(NOW_MS)).unwrap();
                assert_eq!(evidence.public_key(), request.public_key.as_deref());
                assert_eq!(evidence.user_data(), request.user_data.as_deref());
                assert_eq!(evidence.nonce(), request.nonce.as_deref());
            }
        }
    }
}

/// Rule 11, "root too": no fault can show it, since the root is not the document's.
#[test]
fn a_chain_under_an_ended_root_is_refused() {
    let root = SimulatedRoot::generate(NOW_MS).unwrap();
    let later = NOW_MS + 21 * 365 * 24 * 3_600_000;
    let document = SoftwareNsm::new(&root, Module::from_image("app"))
        .attest(later, &AttestationRequest::default())
        .unwrap();
    let refusal =
        verifier(&root).verify(&UnverifiedDocument::parse(&document).unwrap(), &unbound(later)).err();
    assert_eq!(verdict(refusal), Some((Stage::Chain, "certificate-expired")));
}

#[test]
fn the_module_of_another_root_is_refused() {
    let other = SimulatedRoot::generate(NOW_MS).unwrap();
    let bench = Bench::new();
    let document = bench.document(NOW_MS, None);
    let refusal =
        verifier(&other).verify(&UnverifiedDocument::parse(&document).unwrap(), &unbound(NOW_MS)).err();
    assert_eq!(verdict(refusal), Some((Stage::Chain, "untrusted-root")));
    let aws = Verifier::new(TrustAnchor::aws(), CacheCapacity::default());
    let refusal = aws.verify(&UnverifiedDocument::parse(&document).unwrap(), &unbound(NOW_MS)).err();
    assert_eq!(verdict(refusal), Some((Stage::Chain, "untrusted-root")));
}

#[test]
fn a_debug_module_is_refused_as_one() {
    let root = SimulatedRoot::generate(NOW_MS).unwrap();
    let bench =
        Bench { nsm: SoftwareNsm::new(&root, Module::from_image("app").debug()), verifier: verifier(&root) };
    assert_eq!(verdict(bench.honest().err()), Some((Stage::Appraisal, "debug-mode")));
}

type Rotate = fn(&SoftwareNsm);

/// A module and a verifier that know each other.
struct Bench {
    nsm: SoftwareNsm,
    verifier: Verifier,
}

impl Bench {
    fn new() -> Self {
        let root = SimulatedRoot::generate(NOW_MS).unwrap();
        Self { nsm: SoftwareNsm::new(&root, Module::from_image("app")), verifier: verifier(&root) }
    }

    fn document(&self, now_ms: u64, fault: Option<Fault>) -> Vec<u8> {
        let request = AttestationRequest {
            public_key: Some(PUBLIC_KEY.to_vec()),
            user_data: Some(USER_DATA.to_vec()),
            nonce: Some(NONCE.to_vec()),
        };
        match fault {
            None => self.nsm.attest(now_ms, &request).unwrap(),
            Some(fault) => self.nsm.attest_with(now_ms, &request, fault).unwrap(),
        }
    }

    fn honest(&self) -> Result<(), Refusal> {
        self.verify(&self.document(NOW_MS, None), NOW_MS)
    }

    fn refusal(&self, fault: Fault) -> Option<Refusal> {
        self.verify(&self.document(NOW_MS, Some(fault)), NOW_MS).err()
    }

    /// All of the way: bytes, document, evidence, admitted.
    fn verify(&self, document: &[u8], now_ms: u64) -> Result<(), Refusal> {
        let expectations = Expectations {
            nonce: Expected::Exactly(NONCE),
            public_key: Expected::Exactly(PUBLIC_KEY),
            user_data: Expected::Exactly(USER_DATA),
            ..unbound(now_ms)
        };
        let evidence = self.verifier.verify(&UnverifiedDocument::parse(document)?, &expectations)?;
        let wanted = Measurement::from_json("app", self.nsm.module().pcr_json().as_bytes()).unwrap();
        evidence.appraise(&ReferenceValues::from_iter([wanted]), DebugMode::Refuse)?;
        Ok(())
    }
}

fn verifier(root: &SimulatedRoot) -> Verifier {
    Verifier::new(TrustAnchor::danger_from_der(root.root_der()).unwrap(), CacheCapacity::default())
}

fn unbound(now_ms: u64) -> Expectations<'static> {
    Expectations {
        at: UnixMillis::from_millis(now_ms),
        freshness: Freshness::Within { past: Duration::from_secs(60), future: Duration::from_secs(5) },
        nonce: Expected::Unchecked,
        public_key: Expected::Unchecked,
        user_data: Expected::Unchecked,
    }
}

fn verdict(refusal: Option<Refusal>) -> Option<(Stage, &'static str)> {
    refusal.map(|refusal| (refusal.stage(), refusal.code()))
}

const NONCE: &[u8] = &[1; 32];
const PUBLIC_KEY: &[u8] = &[2; 91];
const USER_DATA: &[u8] = &[3; 48];
