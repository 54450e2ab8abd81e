use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rcgen::{Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::{
    CaError,
    anchor::{anchor_in, anchor_of, root_params},
    intermediate::Draft,
};

/// The root in a file: certificate and key, PEM.
pub(super) struct FileRoot {
    anchor: TrustAnchor<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl FileRoot {
    /// Reads the root in the state directory, or makes one when there is none.
    pub(super) fn in_state(directory: &Path, now: OffsetDateTime) -> Result<Self, CaError> {
        let path = directory.join(FILE);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_session_root(&path, now)?,
            Ok(_) | Err(_) => {}
        }
        Self::read(&path, 0o600)
    }

    /// Reads a root that the configuration names.
    ///
    /// Its group may read it too: an orchestrator that mounts a secret for a
    /// program without root's rights has no other way than the group's.
    pub(super) fn named(path: &Path) -> Result<Self, CaError> {
        Self::read(path, 0o640)
    }

    /// The certificate that this root makes of a draft.
    pub(super) fn certify(&self, draft: &Draft) -> Result<CertificateDer<'static>, CaError> {
        let Draft { params, key } = draft;
        Ok(params.signed_by(key, &self.issuer).map_err(CaError::Crypto)?.der().clone())
    }

    pub(super) fn anchor(&self) -> &TrustAnchor<'static> {
        &self.anchor
    }

    fn read(path: &Path, widest: u32) -> Result<Self, CaError> {
        let pem = read_secret(path, widest)?;
        let not_a_root = || CaError::NotARoot { path: path.into() };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| not_a_root())?;
        let key = pem.find("-----BEGIN PRIVATE KEY").and_then(|start| pem.get(start..));
        let key = key.and_then(|pem| KeyPair::from_pem(pem).ok()).ok_or_else(not_a_root)?;
        let anchor = anchor_of(&key)?;
        // Names come from constants and never from the certificate: another one's
        // intermediates would stand under a root that nobody trusts.
        if anchor_in(&certificate).as_ref() != Some(&anchor) {
            return Err(CaError::ForeignRoot { path: path.into() });
        }
        Ok(Self { anchor, issuer: Issuer::new(root_params(), key) })
    }
}

/// Makes a root's certificate and key in a file that only its owner can read.
///
/// # Errors
/// [`CaError::Exists`] when there is such a file, [`CaError::File`], [`CaError::Crypto`].
pub fn make_session_root(path: &Path, now: OffsetDateTime) -> Result<(), CaError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Crypto)?;
    let mut params = root_params();
    params.not_before = now - BACKDATED;
    params.not_after = now + ROOT_LIFE;
    let certificate = params.self_signed(&key).map_err(CaError::Crypto)?;
    let key = Zeroizing::new(key.serialize_pem());
    let pem = Zeroizing::new(format!("{}{}", certificate.pem(), *key));
    write_secret(path, pem.as_bytes()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CaError::Exists { path: path.into() },
        _ => CaError::File { path: path.into(), source },
    })
}

/// Writes a file that only its owner can read, whole or not at all; never over another.
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

fn read_secret(path: &Path, widest: u32) -> Result<Zeroizing<String>, CaError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CaError::Missing { path: path.into() },
        io::ErrorKind::InvalidData => CaError::NotARoot { path: path.into() },
        _ => CaError::File { path: path.into(), source },
    };
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & !widest & 0o077 != 0 {
        return Err(CaError::Readable { path: path.into(), mode, widest });
    }
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(CaError::NotARoot { path: path.into() });
    }
    // Room for all of it at once: a text that grows leaves copies of itself behind.
    let mut pem = Zeroizing::new(String::with_capacity(LONGEST as usize));
    file.take(LONGEST).read_to_string(&mut pem).map_err(failed)?;
    Ok(pem)
}

/// The root's file in the state directory.
pub(super) const FILE: &str = "session-ca.pem";

/// For clocks of other replicas that are a little behind.
pub(super) const BACKDATED: Duration = Duration::minutes(5);

const ROOT_LIFE: Duration = Duration::days(3650);

/// A certificate and a key take about one kilobyte.
const LONGEST: u64 = 16 * 1024;
