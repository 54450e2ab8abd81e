use std::{error::Error, fmt, io, path::PathBuf, time::Duration};

/// Why there is no session CA, or no certificate of it.
#[derive(Debug)]
pub enum CaError {
    /// The file cannot be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration names a file that is not there. It is never made then:
    /// replicas that each made their own would not take each other's sessions.
    Missing {
        /// Which one.
        path: PathBuf,
    },
    /// A root stands there already, and is not written over.
    Exists {
        /// Which one.
        path: PathBuf,
    },
    /// Others than may be can read or write the file.
    Readable {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The widest that would do.
        widest: u32,
    },
    /// The file holds no certificate and key.
    NotARoot {
        /// Which one.
        path: PathBuf,
    },
    /// The file's certificate is not the one this program makes over the file's key.
    ForeignRoot {
        /// Which one.
        path: PathBuf,
    },
    /// AWS KMS did not do what it was asked.
    Kms {
        /// The key's ARN.
        key: String,
        /// The operation.
        operation: &'static str,
        /// What the SDK says, all layers.
        source: Box<dyn Error + Send + Sync>,
    },
    /// AWS KMS did not answer in time.
    KmsSlow {
        /// The key's ARN.
        key: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The KMS key is of no use as a root.
    KmsKey {
        /// The key's ARN.
        key: String,
        /// What the key is.
        found: String,
    },
    /// KMS gave a signature that does not hold under the key it named at the start.
    KmsSignature {
        /// The key's ARN.
        key: String,
    },
    /// The intermediate ends before the certificate would: its rotation has failed for days.
    IntermediateEnds,
    /// A key or certificate could not be made.
    Crypto(rcgen::Error),
    /// The system gives no random bytes.
    NoRandomness,
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "cannot use the session CA's file {}", path.display()),
            Self::Missing { path } => write!(
                f,
                "the session CA's file {path} is not there, and a file that is named is never made by itself; make \
                 it once with `countersign-proxy session-ca make --out {path}` and give every replica the same one",
                path = path.display()
            ),
            Self::Exists { path } => write!(
                f,
                "{} stands already and is not written over: sessions under it would end on every replica",
                path.display()
            ),
            Self::Readable { path, mode, widest } => write!(
                f,
                "the session CA's file {} has mode {mode:o} and others can read its key; expected {widest:o} or less \
                 (chmod {widest:o} it, and replace it if somebody may have read it)",
                path.display()
            ),
            Self::NotARoot { path } => write!(
                f,
                "{} holds no certificate and private key; expected the session CA's root (move it away and make a \
                 new one; enclaves attest again)",
                path.display()
            ),
            Self::ForeignRoot { path } => write!(
                f,
                "the certificate in {} is not the session CA's over the key beside it; expected what \
                 `countersign-proxy session-ca make` writes",
                path.display()
            ),
            Self::Kms { key, operation, .. } => write!(f, "AWS KMS refused or failed {operation} with {key}"),
            Self::KmsSlow { key, after } => {
                write!(f, "AWS KMS did not answer for {key} within {} s", after.as_secs())
            }
            Self::KmsKey { key, found } => write!(
                f,
                "{key} cannot be the session CA's root: expected key usage SIGN_VERIFY and key spec ECC_NIST_P256 or \
                 ECC_NIST_P384; found {found}"
            ),
            Self::KmsSignature { key } => {
                write!(f, "AWS KMS gave a signature that does not hold under the public key of {key}")
            }
            Self::IntermediateEnds => {
                f.write_str("the session CA's intermediate ends before the certificate would")
            }
            Self::Crypto(_) => f.write_str("the session CA could not make a key or certificate"),
            Self::NoRandomness => f.write_str("the system gives no random bytes"),
        }
    }
}

impl Error for CaError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Kms { source, .. } => Some(source.as_ref()),
            Self::Crypto(source) => Some(source),
            Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Readable { .. }
            | Self::NotARoot { .. }
            | Self::ForeignRoot { .. }
            | Self::KmsSlow { .. }
            | Self::KmsKey { .. }
            | Self::KmsSignature { .. }
            | Self::IntermediateEnds
            | Self::NoRandomness => None,
        }
    }
}
