use std::{fmt, sync::Arc};

use aws_lc_rs::digest;
use countersign_protocol::peer::{PeerConfig, Serial, SignerKey, TrustRoot};
use countersign_verifier::{
    CacheCapacity, DebugMode, Measurement, Pcr, PcrIndex, PcrSet, ReferenceValues, TrustAnchor, Verifier,
};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

use super::{ConfigRefusal, ConfigText};
use crate::peers::PeerError;

/// What the manifest, which the enclave's measurements cover, says of a file that they do not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Whatever this key signed, and never an older one.
    Signer(SignerKey),
    /// This very file.
    Sha256([u8; 32]),
}

/// A peer's configuration that a pin covers: the only kind that decides anything.
#[derive(Debug)]
pub struct Trusted {
    config: PeerConfig,
    sha256: [u8; 32],
    references: ReferenceValues,
    verifier: Arc<Verifier>,
}

impl Trusted {
    /// A file that the pin covers and that is not older than `before`, whatever the time.
    ///
    /// # Errors
    /// [`ConfigRefusal`].
    pub fn new(
        bytes: &[u8],
        pin: &Pin,
        before: Option<&Self>,
        verifiers: &Verifiers,
    ) -> Result<Self, ConfigRefusal> {
        let sha256 = sha256(bytes);
        // The hash first: whoever pins the file does not want others parsed.
        if let Pin::Sha256(expected) = pin
            && *expected != sha256
        {
            return Err(ConfigRefusal::Hash { expected: *expected, actual: sha256 });
        }
        let ConfigText { config, signature } = ConfigText::parse(bytes).map_err(ConfigRefusal::Text)?;
        if let Pin::Signer(key) = pin {
            let signature = signature.ok_or(ConfigRefusal::NotSigned)?;
            key.verify(&config, &signature).map_err(ConfigRefusal::Signature)?;
        }
        if let Some(before) = before {
            let (accepted, actual) = (before.serial(), config.fields().serial);
            if actual < accepted {
                return Err(ConfigRefusal::RolledBack { accepted, actual });
            }
            if actual == accepted && config != before.config {
                return Err(ConfigRefusal::SerialReused { serial: actual });
            }
        }
        let references = references(&config).map_err(ConfigRefusal::Measurement)?;
        let verifier = verifiers.of(config.fields().root);
        Ok(Self { config, sha256, references, verifier })
    }

    /// Whether it counts at a time, in seconds since 1970.
    ///
    /// # Errors
    /// [`ConfigRefusal::NotYet`], [`ConfigRefusal::Ended`].
    pub fn counts_at(&self, now: u64) -> Result<(), ConfigRefusal> {
        let validity = self.config.fields().validity;
        if now < validity.from() {
            return Err(ConfigRefusal::NotYet { from: validity.from(), now });
        }
        if now > validity.until() {
            return Err(ConfigRefusal::Ended { until: validity.until(), now });
        }
        Ok(())
    }

    /// The name of the measurement that these PCRs are. Debug mode is none.
    ///
    /// # Errors
    /// [`PeerError::Refused`] with the nearest one.
    pub fn appraise(&self, pcrs: &PcrSet) -> Result<&str, PeerError> {
        Ok(self.references.appraise(pcrs, DebugMode::Refuse)?.name())
    }

    /// What it says.
    pub fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Its number.
    pub fn serial(&self) -> Serial {
        self.config.fields().serial
    }

    /// Verifies documents under its root.
    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }
}

/// One verifier for each root, so that certificates are remembered once.
#[derive(Clone, Debug)]
pub struct Verifiers {
    aws: Arc<Verifier>,
    aws_us_gov: Arc<Verifier>,
}

impl Verifiers {
    /// AWS's roots.
    pub fn aws() -> Self {
        let verifier = |anchor| Arc::new(Verifier::new(anchor, CAPACITY));
        Self { aws: verifier(TrustAnchor::aws()), aws_us_gov: verifier(TrustAnchor::aws_us_gov()) }
    }

    /// A simulated root in the place of both: whoever holds its key can be any peer. For development only.
    ///
    /// # Errors
    /// What makes the certificate unusable.
    #[cfg(feature = "simulator")]
    pub fn danger_simulated(root: &[u8]) -> Result<Self, countersign_verifier::CertificateFault> {
        let verifier = Arc::new(Verifier::new(TrustAnchor::danger_from_der(root)?, CAPACITY));
        Ok(Self { aws: verifier.clone(), aws_us_gov: verifier })
    }

    fn of(&self, root: TrustRoot) -> Arc<Verifier> {
        match root {
            TrustRoot::Aws => self.aws.clone(),
            TrustRoot::AwsUsGov => self.aws_us_gov.clone(),
        }
    }
}

impl Pin {
    /// A public key in PEM: `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn signer_from_pem(pem: &[u8]) -> Result<Self, PinError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| PinError::NotPem)?;
        SignerKey::from_spki(&der).map(Self::Signer).map_err(|_| PinError::NotAKey)
    }

    /// 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`PinError::NotAHash`].
    pub fn sha256_from_hex(text: &str) -> Result<Self, PinError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| PinError::NotAHash)?;
        Ok(Self::Sha256(bytes))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signer(key) => write!(f, "whoever holds the {} key {}", key.algorithm(), key.thumbprint()),
            Self::Sha256(hash) => write!(f, "the file with SHA-256 {}", hex::encode(hash)),
        }
    }
}

/// Why text pins nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinError {
    /// No `-----BEGIN PUBLIC KEY-----` in it.
    NotPem,
    /// A key of another kind.
    NotAKey,
    /// Not 64 hexadecimal digits.
    NotAHash,
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPem => "no PEM public key (-----BEGIN PUBLIC KEY-----) in it",
            Self::NotAKey => "the public key is neither Ed25519 nor P-256",
            Self::NotAHash => "a SHA-256 is 64 hexadecimal digits",
        })
    }
}

impl std::error::Error for PinError {}

fn references(config: &PeerConfig) -> Result<ReferenceValues, countersign_verifier::MeasurementError> {
    config
        .fields()
        .measurements
        .iter()
        .map(|measurement| {
            let pcrs = measurement.pcrs();
            // An index past 31 is none to both; the configuration has refused it already.
            let pcrs = pcrs.filter_map(|(i, value)| Some((PcrIndex::new(i.into())?, Pcr::new(*value))));
            Measurement::new(measurement.name(), pcrs)
        })
        .collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// An enclave has some hundred peers, where a proxy has thousands: 3 MiB at most.
const CAPACITY: CacheCapacity = CacheCapacity { issuers: 512, leaves: 4_096 };
