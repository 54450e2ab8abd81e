//! One fault for each rule of the verifier's checklist.
//!
//! Each breaks its rule and no other: unless the fault lies in a signature, everything is signed as it should
//! be, so that a verifier which forgets the rule would accept the document.
//!
//! Where a fault strikes: `chain` (certificates, before they are signed), `claims` (what the document says),
//! `encoding` (how it is written down and signed).

mod chain;
mod claims;
mod encoding;

use std::fmt;
use std::str::FromStr;

/// Writes the enum, its names, rules and descriptions from one list, so that none can be forgotten.
macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $variant:ident, $rule:literal, $name:literal;)+) => {
        /// A defect to build into a document. The number is that of the rule in the checklist that it breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Fault {
            /// All of them, in the order of the checklist.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Stable, in kebab case: what the command line takes.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The rule of the checklist that it breaks: 1 to 9 syntax, 10 to 14 semantics.
            #[must_use]
            pub fn rule(self) -> u8 {
                match self { $(Self::$variant => $rule),+ }
            }

            /// The variant's documentation, on one line.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

faults! {
    /// Rule 1: a byte follows the document.
    TrailingByte, 1, "trailing-byte";
    /// Rule 1: a byte follows the protected header inside its byte string.
    ProtectedTrailingByte, 1, "protected-trailing-byte";
    /// Rule 1: a byte follows the payload map inside its byte string.
    PayloadTrailingByte, 1, "payload-trailing-byte";
    /// Rule 1: a byte follows the leaf certificate's DER.
    CertificateTrailingByte, 1, "certificate-trailing-byte";
    /// Rule 1: a byte follows the DER of a certificate in the bundle.
    CabundleTrailingByte, 1, "cabundle-trailing-byte";

    /// Rule 2: the array has three elements.
    ThreeElements, 2, "three-elements";
    /// Rule 2: the array has five elements.
    FiveElements, 2, "five-elements";
    /// Rule 2: tag 18 stands twice.
    TaggedTwice, 2, "tagged-twice";
    /// Rule 2: tag 98 (COSE_Sign) stands where only tag 18 may.
    ForeignTag, 2, "foreign-tag";
    /// Rule 2: a tag stands inside the payload, before the timestamp.
    TaggedTimestamp, 2, "tagged-timestamp";

    /// Rule 3: the algorithm is ES512.
    WrongAlg, 3, "wrong-alg";
    /// Rule 3: the protected header is an empty map.
    MissingAlg, 3, "missing-alg";
    /// Rule 3: the protected header holds the algorithm twice.
    DuplicateAlg, 3, "duplicate-alg";
    /// Rule 3: the protected header holds a key id as well.
    ProtectedExtra, 3, "protected-extra";
    /// Rule 3: the protected header names a critical header.
    CriticalHeader, 3, "critical-header";
    /// Rule 3: the unprotected header is not empty.
    UnprotectedNonEmpty, 3, "unprotected-non-empty";

    /// Rule 4: the payload is an empty byte string.
    EmptyPayload, 4, "empty-payload";
    /// Rule 4: the payload is nil (detached, RFC 9052, 4.1).
    DetachedPayload, 4, "detached-payload";
    /// Rule 4: the payload is longer than 16384 bytes.
    OversizedPayload, 4, "oversized-payload";
    /// Rule 4: the payload is a byte string in chunks.
    ChunkedPayload, 4, "chunked-payload";
    /// Rule 4: the signature is a byte string in chunks.
    ChunkedSignature, 4, "chunked-signature";
    /// Rule 4: the signature lacks its last byte.
    ShortSignature, 4, "short-signature";
    /// Rule 4: the signature is empty.
    EmptySignature, 4, "empty-signature";
    /// Rule 4: the key `nonce` is a text string in chunks.
    ChunkedKey, 4, "chunked-key";
    /// Rule 4: the bundle announces 2^40 entries.
    HugeCount, 4, "huge-count";
    /// Rule 4: the user data is a thousand nested arrays.
    DeepNesting, 4, "deep-nesting";

    /// Rule 5: the key `nonce` stands twice.
    DuplicateKey, 5, "duplicate-key";
    /// Rule 5: the key `nonce` stands twice, the second time with a length longer than need be.
    DuplicateKeyNonMinimal, 5, "duplicate-key-non-minimal";
    /// Rule 5: PCR0 stands twice.
    DuplicatePcr, 5, "duplicate-pcr";
    /// Rule 5: PCR0 stands twice, the second time with a longer number than need be.
    DuplicatePcrNonMinimal, 5, "duplicate-pcr-non-minimal";
    /// Rule 5: there is a tenth key that nobody knows.
    UnknownKey, 5, "unknown-key";
    /// Rule 5: the key `module_id` is the integer 0.
    IntegerKey, 5, "integer-key";

    /// Rule 6: the module id is empty.
    EmptyModuleId, 6, "empty-module-id";
    /// Rule 6: the module id is a byte string.
    ModuleIdBytes, 6, "module-id-bytes";
    /// Rule 6: there is no module id.
    MissingModuleId, 6, "missing-module-id";
    /// Rule 6: the digest is SHA512.
    WrongDigest, 6, "wrong-digest";
    /// Rule 6: there is no digest.
    MissingDigest, 6, "missing-digest";
    /// Rule 6: the timestamp is zero.
    ZeroTimestamp, 6, "zero-timestamp";
    /// Rule 6: the timestamp is negative.
    NegativeTimestamp, 6, "negative-timestamp";
    /// Rule 6: the timestamp is a floating-point number.
    FloatTimestamp, 6, "float-timestamp";

    /// Rule 7: there is no PCR2.
    MissingPcr2, 7, "missing-pcr2";
    /// Rule 7: there are no PCRs.
    EmptyPcrs, 7, "empty-pcrs";
    /// Rule 7: there is a PCR32.
    PcrIndex32, 7, "pcr-index-32";
    /// Rule 7: PCR0 is 47 bytes long.
    PcrLen47, 7, "pcr-len-47";
    /// Rule 7: the PCRs are called `nitrotpm_pcrs`, as in a document of a NitroTPM.
    NitroTpmPcrs, 7, "nitrotpm-pcrs";

    /// Rule 8: the leaf certificate is empty.
    EmptyCertificate, 8, "empty-certificate";
    /// Rule 8: the leaf certificate is longer than 1024 bytes.
    OversizedCertificate, 8, "oversized-certificate";
    /// Rule 8: the bundle is empty.
    EmptyCabundle, 8, "empty-cabundle";
    /// Rule 8: a certificate of the bundle is empty.
    EmptyCabundleEntry, 8, "empty-cabundle-entry";
    /// Rule 8: the bundle holds eleven certificates.
    LongCabundle, 8, "long-cabundle";

    /// Rule 9: the public key is 1025 bytes long.
    OversizedPublicKey, 9, "oversized-public-key";
    /// Rule 9: the user data are 1025 bytes long.
    OversizedUserData, 9, "oversized-user-data";
    /// Rule 9: the nonce is 1025 bytes long.
    OversizedNonce, 9, "oversized-nonce";
    /// Rule 9: the user data are undefined instead of null.
    UndefinedUserData, 9, "undefined-user-data";

    /// Rule 10: the whole chain comes from another root of the same name, which the bundle holds.
    ForeignRoot, 10, "foreign-root";
    /// Rule 10: the bundle runs from the instance CA up to the root.
    ReversedCabundle, 10, "reversed-cabundle";
    /// Rule 10: the bundle begins below the root.
    MissingRoot, 10, "missing-root";

    /// Rule 11: the chain comes from another root of the same name, and the bundle holds the right one.
    IssuedByForeignRoot, 11, "issued-by-foreign-root";
    /// Rule 11: the regional and the zonal CA have changed places.
    ShuffledCabundle, 11, "shuffled-cabundle";
    /// Rule 11: the zonal CA is not there.
    MissingIntermediate, 11, "missing-intermediate";
    /// Rule 11: the bundle ends with a certificate that has nothing to do with the leaf.
    UnrelatedCertificate, 11, "unrelated-certificate";
    /// Rule 11: the leaf names another issuer than the one that signed it.
    WrongIssuerName, 11, "wrong-issuer-name";
    /// Rule 11: a bit of the leaf certificate's signature is flipped.
    CertificateSignatureFlipped, 11, "certificate-signature-flipped";
    /// Rule 11: the leaf has ended.
    ExpiredLeaf, 11, "expired-leaf";
    /// Rule 11: the leaf has not begun.
    LeafNotYetValid, 11, "leaf-not-yet-valid";
    /// Rule 11: the zonal CA has ended.
    ExpiredIntermediate, 11, "expired-intermediate";

    /// Rule 12: the instance CA is no CA.
    IntermediateNotCa, 12, "intermediate-not-ca";
    /// Rule 12: the instance CA's basic constraints are not critical.
    BasicConstraintsNotCritical, 12, "basic-constraints-not-critical";
    /// Rule 12: the instance CA has no basic constraints.
    MissingBasicConstraints, 12, "missing-basic-constraints";
    /// Rule 12: the zonal CA allows no CA below it, and there is one.
    PathLenViolated, 12, "path-len-violated";
    /// Rule 12: the instance CA may not sign certificates.
    NoKeyCertSign, 12, "no-key-cert-sign";
    /// Rule 12: the leaf may not sign documents.
    LeafNoDigitalSignature, 12, "leaf-no-digital-signature";
    /// Rule 12: the leaf is a CA.
    LeafIsCa, 12, "leaf-is-ca";
    /// Rule 12: the leaf has a critical extension that nobody knows.
    UnknownCriticalExtension, 12, "unknown-critical-extension";
    /// Rule 12: the regional CA has a critical extension that nobody knows.
    UnknownCriticalExtensionInCa, 12, "unknown-critical-extension-in-ca";
    /// Rule 12: the leaf's key is on P-256.
    P256Leaf, 12, "p256-leaf";
    /// Rule 12: the leaf certificate is signed with SHA-256.
    Sha256Signature, 12, "sha256-signature";

    /// Rule 13: another key than the leaf's signed the document.
    SignedByOtherKey, 13, "signed-by-other-key";
    /// Rule 13: a bit of the payload is flipped.
    PayloadFlipped, 13, "payload-flipped";
    /// Rule 13: the signature is over the bare payload, without the structure around it.
    SignatureWithoutContext, 13, "signature-without-context";
    /// Rule 13: the signature is all zero bytes.
    ZeroSignature, 13, "zero-signature";

    /// Rule 14: the document is an hour old.
    TimestampStale, 14, "timestamp-stale";
    /// Rule 14: the document is of an hour from now.
    TimestampFuture, 14, "timestamp-future";
    /// Rule 14: the nonce is another one.
    NonceReplaced, 14, "nonce-replaced";
    /// Rule 14: there is no nonce, whatever was asked for.
    NonceMissing, 14, "nonce-missing";
    /// Rule 14: the public key is another one.
    PublicKeyReplaced, 14, "public-key-replaced";
    /// Rule 14: the user data are other ones.
    UserDataReplaced, 14, "user-data-replaced";
    /// Rule 14: the enclave runs in debug mode, PCR0, 1 and 2 are zero (and PCR4 is not).
    DebugPcrs, 14, "debug-pcrs";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|fault| fault.name() == name);
        found.ok_or_else(|| UnknownFault { name: name.to_owned() })
    }
}

/// No fault has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFault {
    /// What was asked for.
    pub name: String,
}

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no fault {:?}; `document --list-faults` names them all", self.name)
    }
}

impl std::error::Error for UnknownFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(*fault));
        }
        assert_eq!("no-such".parse::<Fault>(), Err(UnknownFault { name: "no-such".into() }));
    }

    #[test]
    fn every_rule_is_broken_by_some_fault_and_every_text_names_its_rule() {
        for rule in 1..=14 {
            assert!(Fault::ALL.iter().any(|fault| fault.rule() == rule), "rule {rule}");
        }
        for fault in Fault::ALL {
            assert!(fault.summary().starts_with(&format!("Rule {}: ", fault.rule())), "{fault}");
        }
    }
}
