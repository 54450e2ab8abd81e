//! A fault breaks one rule: unless it lies in a signature, every signature holds. So a verifier that forgot the
//! rule would accept the document, and the table of `faults.rs` does not depend on which check comes first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use aws_lc_rs::signature::{
    ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey,
    VerificationAlgorithm,
};
use countersign_simulator::{AttestationRequest, Fault, Module, SimulatedRoot, SoftwareNsm};
use minicbor::{Decoder, Encoder};
use support::NOW_MS;

#[test]
fn every_signature_of_a_document_in_order_holds() {
    assert_eq!(broken(&nsm().attest(NOW_MS, &AttestationRequest::default()).unwrap()), NONE);
}

#[test]
fn faults_that_lie_elsewhere_leave_the_signatures_alone() {
    let nsm = nsm();
    for fault in FAULTS_ELSEWHERE {
        let document = nsm.attest_with(NOW_MS, &AttestationRequest::default(), *fault).unwrap();
        assert_eq!(broken(&document), NONE, "{fault}");
    }
}

#[test]
fn faults_in_a_signature_break_that_one() {
    let nsm = nsm();
    let expected: [(Fault, &[&str]); 8] = [
        (Fault::IssuedByForeignRoot, &["certificate 1"]),
        (Fault::CertificateSignatureFlipped, &["certificate 4"]),
        (Fault::Sha256Signature, &["certificate 4"]),
        (Fault::SignedByOtherKey, &["document"]),
        (Fault::PayloadFlipped, &["document"]),
        (Fault::SignatureWithoutContext, &["document"]),
        (Fault::ZeroSignature, &["document"]),
        (Fault::UnrelatedCertificate, &["certificate 4", "certificate 5"]),
    ];
    for (fault, signatures) in expected {
        let document = nsm.attest_with(NOW_MS, &AttestationRequest::default(), fault).unwrap();
        assert_eq!(broken(&document), signatures, "{fault}");
    }
}

/// The weak hash is not a broken signature: whoever does not look at the algorithm would find it valid.
#[test]
fn the_sha256_signature_verifies_as_such() {
    let document = nsm().attest_with(NOW_MS, &AttestationRequest::default(), Fault::Sha256Signature).unwrap();
    let payload = support::payload(&document);
    let instance = payload.cabundle.last().unwrap();
    assert!(is_signed(&ECDSA_P384_SHA256_ASN1, instance, &payload.certificate));
}

fn nsm() -> SoftwareNsm {
    SoftwareNsm::new(&SimulatedRoot::generate(NOW_MS).unwrap(), Module::from_image("app"))
}

/// The signatures that do not hold: of `certificate N`, counted from the root, and of the `document`.
fn broken(document: &[u8]) -> Vec<String> {
    let payload = support::payload(document);
    let chain: Vec<&Vec<u8>> = payload.cabundle.iter().chain([&payload.certificate]).collect();
    let mut out = Vec::new();
    for (index, certificate) in chain.iter().enumerate() {
        let issuer = chain[index.saturating_sub(1)];
        if !is_signed(&ECDSA_P384_SHA384_ASN1, issuer, certificate) {
            out.push(format!("certificate {index}"));
        }
    }
    let (structure, signature) = signature_structure(document);
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_point(&payload.certificate));
    if key.verify(&structure, &signature).is_err() {
        out.push("document".to_owned());
    }
    out
}

fn is_signed(algorithm: &'static dyn VerificationAlgorithm, issuer: &[u8], certificate: &[u8]) -> bool {
    let (_, outer, _) = der(certificate);
    let (signed, _, rest) = der(outer);
    let (_, _, rest) = der(rest);
    let (_, bits, _) = der(rest);
    UnparsedPublicKey::new(algorithm, public_point(issuer)).verify(signed, &bits[1..]).is_ok()
}

/// The P-384 point of a certificate: a BIT STRING of 98 bytes with none unused, uncompressed.
fn public_point(certificate: &[u8]) -> &[u8] {
    let head = [0x03, 0x62, 0x00, 0x04];
    let start = certificate.windows(4).position(|window| window == head).unwrap() + 3;
    &certificate[start..start + 97]
}

/// The whole of the first value, its content, and what follows it.
fn der(bytes: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (start, length) = match bytes[1] {
        0x81 => (3, usize::from(bytes[2])),
        0x82 => (4, usize::from(bytes[2]) << 8 | usize::from(bytes[3])),
        short => (2, usize::from(short)),
    };
    let (value, rest) = bytes.split_at(start + length);
    (value, &value[start..], rest)
}

/// RFC 9052, 4.4, and the signature over it.
fn signature_structure(document: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut decoder = Decoder::new(document);
    decoder.array().unwrap();
    let protected = decoder.bytes().unwrap();
    decoder.skip().unwrap();
    let payload = decoder.bytes().unwrap();
    let mut encoder = Encoder::new(Vec::new());
    encoder.array(4).unwrap().str("Signature1").unwrap();
    encoder.bytes(protected).unwrap().bytes(&[]).unwrap().bytes(payload).unwrap();
    (encoder.into_writer(), decoder.bytes().unwrap().to_vec())
}

const NONE: [&str; 0] = [];

/// Those whose document can still be taken apart here; the others break the encoding itself.
const FAULTS_ELSEWHERE: &[Fault] = &[
    Fault::TrailingByte,
    Fault::CertificateTrailingByte,
    Fault::CabundleTrailingByte,
    Fault::WrongAlg,
    Fault::MissingAlg,
    Fault::DuplicateAlg,
    Fault::ProtectedExtra,
    Fault::CriticalHeader,
    Fault::UnprotectedNonEmpty,
    Fault::DuplicateKey,
    Fault::UnknownKey,
    Fault::EmptyModuleId,
    Fault::WrongDigest,
    Fault::ZeroTimestamp,
    Fault::MissingPcr2,
    Fault::EmptyPcrs,
    Fault::PcrIndex32,
    Fault::PcrLen47,
    Fault::OversizedCertificate,
    Fault::OversizedPublicKey,
    Fault::OversizedUserData,
    Fault::OversizedNonce,
    Fault::ForeignRoot,
    Fault::WrongIssuerName,
    Fault::ExpiredLeaf,
    Fault::LeafNotYetValid,
    Fault::ExpiredIntermediate,
    Fault::IntermediateNotCa,
    Fault::BasicConstraintsNotCritical,
    Fault::MissingBasicConstraints,
    Fault::PathLenViolated,
    Fault::NoKeyCertSign,
    Fault::LeafNoDigitalSignature,
    Fault::LeafIsCa,
    Fault::UnknownCriticalExtension,
    Fault::UnknownCriticalExtensionInCa,
    Fault::TimestampStale,
    Fault::TimestampFuture,
    Fault::NonceReplaced,
    Fault::NonceMissing,
    Fault::PublicKeyReplaced,
    Fault::UserDataReplaced,
    Fault::DebugPcrs,
];
