use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use time::{Duration, OffsetDateTime};

/// The root as it lies in the state directory: certificate and key, PEM, mode 0600.
pub(super) struct Root {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

impl Root {
    /// Reads the root, or makes one when there is none.
    pub(super) fn open(directory: &Path, now: OffsetDateTime) -> Result<Self, CaError> {
        let path = directory.join(FILE);
        match fs::metadata(&path) {
            Ok(metadata) => Self::read(path, metadata.permissions().mode()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path, now),
            Err(source) => Err(CaError::File { path, source }),
        }
    }

    fn read(path: PathBuf, mode: u32) -> Result<Self, CaError> {
        if mode & 0o077 != 0 {
            return Err(CaError::Readable { path, mode: mode & 0o777 });
        }
        let pem = match fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(source) => return Err(CaError::File { path, source }),
        };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
        let key_pem = pem.find("-----BEGIN PRIVATE KEY").and_then(|start| pem.get(start..));
        let key = key_pem.and_then(|pem| KeyPair::from_pem(pem).ok());
        let (Some(certificate), Some(key)) = (certificate, key) else {
            return Err(CaError::NotARoot { path });
        };
        Ok(Self { certificate, issuer: Issuer::new(params(), key) })
    }

    fn make(path: PathBuf, now: OffsetDateTime) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Crypto)?;
        let mut params = params();
        params.not_before = now - BACKDATED;
        params.not_after = now + ROOT_LIFE;
        let certificate = params.self_signed(&key).map_err(CaError::Crypto)?;
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        write_secret(&path, pem.as_bytes()).map_err(|source| CaError::File { path, source })?;
        Ok(Self { certificate: certificate.der().clone(), issuer: Issuer::new(params, key) })
    }
}

/// Name and rights of the root. They are constant, so that a root can be used
/// again without reading its certificate back.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Countersign session root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub(super) fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // A link instead of a rename: it fails when another process was faster.
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    linked
}

/// Why there is no session CA.
#[derive(Debug)]
pub enum CaError {
    /// The file cannot be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner may read the file.
    Readable {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no certificate and key.
    NotARoot {
        /// Which one.
        path: PathBuf,
    },
    /// A key or certificate could not be made.
    Crypto(rcgen::Error),
    /// The system gives no random bytes.
    NoRandomness,
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "cannot use the session CA's file {}", path.display()),
            Self::Readable { path, mode } => write!(
                f,
                "the session CA's file {} has mode {mode:o} and others can read its key; expected 600 \
                 (chmod 600 it, and replace it if somebody may have read it)",
                path.display()
            ),
            Self::NotARoot { path } => write!(
                f,
                "{} holds no certificate and private key; expected the session CA's root (move it away and a new \
                 one is made; enclaves attest again)",
                path.display()
            ),
            Self::Crypto(_) => f.write_str("the session CA could not make a key or certificate"),
            Self::NoRandomness => f.write_str("the system gives no random bytes"),
        }
    }
}

impl std::error::Error for CaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Crypto(source) => Some(source),
            Self::Readable { .. } | Self::NotARoot { .. } | Self::NoRandomness => None,
        }
    }
}

/// The root's file in the state directory.
pub(super) const FILE: &str = "session-ca.pem";

/// For clocks of other replicas that are a little behind.
pub(super) const BACKDATED: Duration = Duration::minutes(5);

const ROOT_LIFE: Duration = Duration::days(3650);
