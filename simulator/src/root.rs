//! The simulated root: a self-signed certificate and its key, in memory or in a directory.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::{digest, rand};

use crate::SimulatorError;
use crate::certificate::{Attribute, Criticality, Extension, Hash, KeyUsage, Template, Validity, name};
use crate::key::{Key, KeyUse};

/// A root that stands where AWS's Nitro root stands, with a name that says it is not that one.
///
/// Clones share the key. Several processes can share one directory: whoever comes first makes the root, all
/// others load the same one.
#[derive(Clone)]
pub struct SimulatedRoot(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    key: Key,
}

impl SimulatedRoot {
    /// Makes a root that is valid from two days before `now_ms` (milliseconds since 1970) for 20 years.
    ///
    /// # Errors
    /// [`SimulatorError::Crypto`], or [`SimulatorError::Time`] for a time past the year 9979.
    pub fn generate(now_ms: u64) -> Result<Self, SimulatorError> {
        Self::issue(Key::generate(KeyUse::Certificates)?, now_ms)
    }

    /// Writes `root.der` and `root.key.pem` (mode 0600) into `directory`, which is made if it is missing.
    ///
    /// # Errors
    /// [`SimulatorError::RootExists`] if another root lies there already; [`SimulatorError::File`].
    pub fn save(&self, directory: impl AsRef<Path>) -> Result<(), SimulatorError> {
        let directory = directory.as_ref();
        create_directory(directory)?;
        let pem = self.key_pem()?;
        let published = publish_once(&key_path(directory), pem.as_bytes(), MODE_PRIVATE, KEY_FILE_LIMIT)?;
        let certificate =
            publish_once(&certificate_path(directory), &self.0.der, MODE_PUBLIC, CERTIFICATE_LIMIT)?;
        if published == pem.as_bytes() && certificate == self.0.der {
            Ok(())
        } else {
            Err(SimulatorError::RootExists { directory: directory.to_owned() })
        }
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`SimulatorError::File`], [`SimulatorError::FileTooLong`], [`SimulatorError::NotAKey`],
    /// [`SimulatorError::RootMismatch`].
    pub fn load(directory: impl AsRef<Path>) -> Result<Self, SimulatorError> {
        let directory = directory.as_ref();
        let key = read_key(directory)?;
        let der = read_bounded(&certificate_path(directory), CERTIFICATE_LIMIT)?;
        Self::pair(directory, key, der)
    }

    /// The root of this directory, made first if there is none. Safe against other processes that do the
    /// same at the same time, and against one that died half-way: each of the two files appears whole, once.
    ///
    /// # Errors
    /// As [`generate`](Self::generate), [`save`](Self::save) and [`load`](Self::load).
    pub fn load_or_generate(directory: impl AsRef<Path>, now_ms: u64) -> Result<Self, SimulatorError> {
        let directory = directory.as_ref();
        create_directory(directory)?;
        if !exists(&key_path(directory))? {
            let pem = Self::generate(now_ms)?.key_pem()?;
            publish_once(&key_path(directory), pem.as_bytes(), MODE_PRIVATE, KEY_FILE_LIMIT)?;
        }
        // From here on everybody holds the same key, so any certificate over it is a good one.
        if !exists(&certificate_path(directory))? {
            let issued = Self::issue(read_key(directory)?, now_ms)?;
            publish_once(&certificate_path(directory), &issued.0.der, MODE_PUBLIC, CERTIFICATE_LIMIT)?;
        }
        Self::load(directory)
    }

    /// The certificate, as a verifier's trust anchor.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.0.der
    }

    /// SHA-256 of the certificate, in lower-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(digest::digest(&digest::SHA256, &self.0.der))
    }

    /// Another root of the same name, as an attacker would make it.
    pub(crate) fn impostor(now_ms: u64) -> Result<Self, SimulatorError> {
        Self::generate(now_ms)
    }

    pub(crate) fn key(&self) -> &Key {
        &self.0.key
    }

    fn issue(key: Key, now_ms: u64) -> Result<Self, SimulatorError> {
        let not_before = (now_ms / 1000).saturating_sub(BACKDATED_SECONDS);
        let template = Template {
            hash: Hash::Sha384,
            issuer: root_name(),
            subject: root_name(),
            validity: Validity { not_before, not_after: not_before.saturating_add(LIFETIME_SECONDS) },
            public_key: key.public_key_info(),
            extensions: vec![
                Extension::authority(None),
                Extension::subject_key_identifier(&key.identifier()),
                Extension::key_usage(Criticality::Critical, KeyUsage::AUTHORITY),
            ],
        };
        let der = template.sign(&key)?;
        Ok(Self(Arc::new(Inner { der, key })))
    }

    fn pair(directory: &Path, key: Key, der: Vec<u8>) -> Result<Self, SimulatorError> {
        // Enough to notice two roots mixed up in one directory; whether the certificate is any good is for
        // the verifier to say.
        let info = key.public_key_info();
        if !der.windows(info.len()).any(|window| window == info) {
            return Err(SimulatorError::RootMismatch { directory: directory.to_owned() });
        }
        Ok(Self(Arc::new(Inner { der, key })))
    }

    fn key_pem(&self) -> Result<String, SimulatorError> {
        Ok(pem::encode(&pem::Pem::new(KEY_LABEL, self.0.key.to_pkcs8()?)))
    }
}

/// Without the key.
impl fmt::Debug for SimulatedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedRoot").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// DER of the root's name. Not AWS's: nobody shall mistake one for the other when reading a certificate.
pub(crate) fn root_name() -> Vec<u8> {
    name(&[
        (Attribute::Country, "US"),
        (Attribute::Organization, ORGANIZATION),
        (Attribute::Unit, UNIT),
        (Attribute::CommonName, "simulated.nitro-enclaves"),
    ])
}

/// Puts a file where none is, whole or not at all, and answers what lies there now: ours, or that of whoever
/// was faster.
fn publish_once(path: &Path, content: &[u8], mode: u32, limit: u64) -> Result<Vec<u8>, SimulatorError> {
    let draft = draft_path(path)?;
    let written = write_new(&draft, content, mode).map_err(|source| file("write", &draft, source));
    // A hard link never replaces a file, so exactly one of many competitors wins.
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file("link", path, error)),
        _ => Ok(()),
    });
    let removed = fs::remove_file(&draft).map_err(|source| file("remove", &draft, source));
    linked.and(removed)?;
    read_bounded(path, limit)
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn draft_path(path: &Path) -> Result<PathBuf, SimulatorError> {
    let mut unique = [0; 8];
    rand::fill(&mut unique).map_err(|_| SimulatorError::Crypto { operation: "draw a file name" })?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", hex::encode(unique)));
    Ok(PathBuf::from(name))
}

fn read_key(directory: &Path) -> Result<Key, SimulatorError> {
    let path = key_path(directory);
    let text = read_bounded(&path, KEY_FILE_LIMIT)?;
    let key = pem::parse(text).ok().filter(|found| found.tag() == KEY_LABEL);
    key.and_then(|found| Key::from_pkcs8(found.contents())).ok_or(SimulatorError::NotAKey { path })
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, SimulatorError> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|opened| opened.take(limit + 1).read_to_end(&mut content))
        .map_err(|source| file("read", path, source))?;
    if content.len() as u64 > limit {
        return Err(SimulatorError::FileTooLong { path: path.to_owned(), limit });
    }
    Ok(content)
}

fn exists(path: &Path) -> Result<bool, SimulatorError> {
    path.try_exists().map_err(|source| file("look for", path, source))
}

fn create_directory(directory: &Path) -> Result<(), SimulatorError> {
    fs::create_dir_all(directory).map_err(|source| file("make the directory", directory, source))
}

fn file(operation: &'static str, path: &Path, source: io::Error) -> SimulatorError {
    SimulatorError::File { operation, path: path.to_owned(), source }
}

fn key_path(directory: &Path) -> PathBuf {
    directory.join("root.key.pem")
}

fn certificate_path(directory: &Path) -> PathBuf {
    directory.join("root.der")
}

pub(crate) const ORGANIZATION: &str = "Countersign";
pub(crate) const UNIT: &str = "Simulator";
const KEY_LABEL: &str = "PRIVATE KEY";
const MODE_PRIVATE: u32 = 0o600;
const MODE_PUBLIC: u32 = 0o644;
/// A document's own limit for a certificate.
const CERTIFICATE_LIMIT: u64 = 1024;
/// A P-384 key takes some 330 bytes.
const KEY_FILE_LIMIT: u64 = 2048;
/// So that the regional CA, a day old when it is first seen, began inside the root's time.
const BACKDATED_SECONDS: u64 = 2 * 86_400;
const LIFETIME_SECONDS: u64 = 20 * 365 * 86_400;
