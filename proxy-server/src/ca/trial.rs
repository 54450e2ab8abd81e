use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};

use super::{
    anchor::name,
    root_file::{BACKDATED, write_secret},
};

/// Makes a CA of its own and a server certificate for trials: `ca.pem` (the
/// anchor for the client's manifest), `server.pem` and `server.key` (0600) in
/// `directory`. The CA's key is thrown away. Gives back the three paths.
///
/// # Errors
/// [`TrialError`]; a file that stands already is never overwritten.
pub fn make_trial_certificate(
    directory: &Path,
    hosts: &[String],
    now: OffsetDateTime,
) -> Result<[PathBuf; 3], TrialError> {
    let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
    let mut ca = CertificateParams::default();
    ca.distinguished_name = name("Countersign trial CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (ca.not_before, ca.not_after) = (now - BACKDATED, now + LIFE);
    let ca_key = key()?;
    let ca_certificate = ca.self_signed(&ca_key)?;
    let ca = Issuer::new(ca, ca_key);

    let mut server = CertificateParams::new(hosts)?;
    server.distinguished_name = name("Countersign trial proxy");
    server.is_ca = IsCa::ExplicitNoCa;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (server.not_before, server.not_after) = (now - BACKDATED, now + LIFE);
    let server_key = key()?;
    let server_certificate = server.signed_by(&server_key, &ca)?;

    let paths = ["ca.pem", "server.pem", "server.key"].map(|file| directory.join(file));
    let [ca_path, certificate_path, key_path] = &paths;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TrialError::File { path, source }
    };
    fs::create_dir_all(directory).map_err(failed(directory))?;
    write_new(ca_path, ca_certificate.pem().as_bytes()).map_err(failed(ca_path))?;
    write_new(certificate_path, server_certificate.pem().as_bytes()).map_err(failed(certificate_path))?;
    write_secret(key_path, server_key.serialize_pem().as_bytes()).map_err(failed(key_path))?;
    Ok(paths)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
}

/// Why there is no trial certificate.
#[derive(Debug)]
pub enum TrialError {
    /// A file cannot be written, or stands already.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A name is none, or a key could not be made.
    Crypto(rcgen::Error),
}

impl From<rcgen::Error> for TrialError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error)
    }
}

impl fmt::Display for TrialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "cannot write {}", path.display()),
            Self::Crypto(_) => f.write_str("cannot make the certificate"),
        }
    }
}

impl std::error::Error for TrialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Crypto(source) => Some(source),
        }
    }
}

const LIFE: Duration = Duration::days(30);
