//! The certificates a verifier starts from.

use std::borrow::Cow;
use std::fmt;

/// The root a chain must begin with, byte for byte. A document's own `cabundle` never decides it.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    name: &'static str,
    der: Cow<'static, [u8]>,
}

impl TrustAnchor {
    /// AWS's root for Nitro enclaves in the commercial regions, `aws.nitro-enclaves` (G1), valid until 2049-10-28.
    ///
    /// Published as <https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip>.
    pub const fn aws() -> Self {
        Self { name: "aws", der: Cow::Borrowed(include_bytes!("../roots/aws-g1.der")) }
    }

    /// AWS's root for Nitro enclaves in GovCloud, `aws-us-gov.nitro-enclaves`, valid until 2050-09-10.
    pub const fn aws_us_gov() -> Self {
        Self { name: "aws-us-gov", der: Cow::Borrowed(include_bytes!("../roots/aws-us-gov.der")) }
    }

    /// The anchor with this name: `aws` or `aws-us-gov`.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::aws(), Self::aws_us_gov()].into_iter().find(|anchor| anchor.name == name)
    }

    /// Any certificate as the root: whoever holds its key can make every measurement true. For simulators only.
    ///
    /// # Errors
    /// What makes the certificate unreadable or not one of AWS's profile.
    #[cfg(feature = "simulator")]
    pub fn danger_from_der(der: &[u8]) -> Result<Self, crate::refusal::CertificateFault> {
        crate::certificate::UnverifiedCertificate::parse(der)?;
        Ok(Self { name: "danger-simulated", der: Cow::Owned(der.to_vec()) })
    }

    /// `aws`, `aws-us-gov`, or, in a build with the feature `simulator`, `danger-simulated`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl fmt::Debug for TrustAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustAnchor({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::{SHA256, digest};

    fn fingerprint(anchor: &TrustAnchor) -> String {
        hex::encode(digest(&SHA256, anchor.der()))
    }

    #[test]
    fn the_built_in_roots_are_those_of_aws() {
        // The first is printed in AWS's documentation, "Verifying the root of trust".
        assert_eq!(
            fingerprint(&TrustAnchor::aws()),
            "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
        );
        assert_eq!(
            fingerprint(&TrustAnchor::aws_us_gov()),
            "20bcd30a3e168ea03789e1c45912bc123c4de3c977b8a6e1c125c7929d668b3b"
        );
    }

    #[test]
    fn a_root_has_a_name_and_no_other() {
        for name in ["aws", "aws-us-gov"] {
            assert_eq!(TrustAnchor::by_name(name).unwrap().name(), name);
        }
        for name in ["", "AWS", "aws ", "danger-simulated"] {
            assert_eq!(TrustAnchor::by_name(name), None, "{name:?}");
        }
    }
}
