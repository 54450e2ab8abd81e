use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    crypto::CryptoProvider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::FilesError;
use crate::{attest::chain, random::Fraction};

/// A certificate and its key from two PEM files, read again when they change.
#[derive(Debug)]
pub(super) struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    /// What the files looked like when they were last judged.
    seen: Mutex<[Stamp; 2]>,
}

impl CertificateFiles {
    /// Reads both files.
    pub(super) fn load(
        certificate: &Path,
        key: &Path,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, FilesError> {
        let seen = stamps(certificate, key);
        let current = read(certificate, key, &provider)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            current: RwLock::new(Arc::new(current)),
            seen: Mutex::new(seen),
        })
    }

    /// Takes over changed files. What does not fit together (a certificate that
    /// was replaced before its key) leaves the old pair in force.
    pub(super) fn reload(&self) -> Result<Reloaded, FilesError> {
        let now = stamps(&self.certificate, &self.key);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(Reloaded::Unchanged);
        }
        // Judged once: a pair that is wrong is not complained about every round.
        *seen = now;
        let fresh = Arc::new(read(&self.certificate, &self.key, &self.provider)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(Reloaded::Changed)
    }

    /// Looks at the files every [`LOOK_EVERY`] until `stop`.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let pause = || sleep(LOOK_EVERY.mul_f64(0.9 + 0.2 * Fraction::random().get()));
        while stop.run_until_cancelled(pause()).await.is_some() {
            match self.reload() {
                Ok(Reloaded::Unchanged) => {}
                Ok(Reloaded::Changed) => info!(
                    code = "ingress-certificate-changed",
                    "the certificate in {} is in force from now on",
                    self.certificate.display()
                ),
                Err(error) => warn!(
                    code = "ingress-certificate-kept",
                    "changed files are not taken, the old certificate stays: {}",
                    chain(&error)
                ),
            }
        }
    }
}

/// Whether there was something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reloaded {
    Unchanged,
    Changed,
}

impl ResolvesServerCert for CertificateFiles {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Enough to see that a file was written or replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    inode: u64,
    len: u64,
}

fn stamps(certificate: &Path, key: &Path) -> [Stamp; 2] {
    use std::os::unix::fs::MetadataExt;
    [certificate, key].map(|path| {
        let stamp = |found: fs::Metadata| Stamp {
            modified: found.modified().ok(),
            inode: found.ino(),
            len: found.len(),
        };
        fs::metadata(path).map(stamp).unwrap_or_default()
    })
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, FilesError> {
    let pem = read_bounded(certificate)?;
    let bad = || FilesError::Certificate { path: certificate.to_owned() };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| bad())?;
    if chain.is_empty() {
        return Err(bad());
    }
    let pem = read_bounded(key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| FilesError::Key { path: key.to_owned() })?;
    // rustls takes the key over, and AWS-LC wipes its own copy when it is freed.
    CertifiedKey::from_der(chain, key, provider).map_err(FilesError::Pair)
}

/// The text is wiped when it was used: one of the two files holds a private key.
fn read_bounded(path: &Path) -> Result<Zeroizing<Vec<u8>>, FilesError> {
    let failed = |why| FilesError::Read { path: path.to_owned(), why };
    // Room for all of it, so that no half-read copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    let read = File::open(path).and_then(|file| file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes));
    read.map_err(failed)?;
    if bytes.len() > MAX_FILE {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 128 KiB")));
    }
    Ok(bytes)
}

/// A chain of a few certificates, with room to spare.
const MAX_FILE: usize = 128 * 1024;

const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair {
        directory: PathBuf,
    }

    impl Pair {
        fn new(name: &str) -> Self {
            let directory =
                std::env::temp_dir().join(format!("countersign-files-{}-{name}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            Self { directory }
        }

        fn write(&self, certificate: &str, key: &str) {
            fs::write(self.certificate(), certificate).unwrap();
            fs::write(self.key(), key).unwrap();
        }

        fn certificate(&self) -> PathBuf {
            self.directory.join("tls.crt")
        }

        fn key(&self) -> PathBuf {
            self.directory.join("tls.key")
        }

        fn load(&self) -> Result<CertificateFiles, FilesError> {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            CertificateFiles::load(&self.certificate(), &self.key(), provider)
        }
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["in.example".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn leaf(files: &CertificateFiles) -> CertificateDer<'static> {
        files.current.read().unwrap().cert[0].clone()
    }

    #[test]
    fn changed_files_are_taken_when_they_fit_together() {
        let pair = Pair::new("reload");
        let (old, new) = (made(), made());
        pair.write(&old.0, &old.1);
        let files = pair.load().unwrap();
        let before = leaf(&files);
        assert_eq!(files.reload().unwrap(), Reloaded::Unchanged);
        // The certificate is there before its key: the old pair stays.
        pair.write(&new.0, &old.1);
        let error = files.reload().unwrap_err();
        assert!(matches!(error, FilesError::Pair(_)), "{error}");
        assert_eq!(leaf(&files), before);
        assert_eq!(files.reload().unwrap(), Reloaded::Unchanged);
        pair.write(&new.0, &new.1);
        assert_eq!(files.reload().unwrap(), Reloaded::Changed);
        assert_ne!(leaf(&files), before);
        fs::remove_file(pair.key()).unwrap();
        assert!(matches!(files.reload().unwrap_err(), FilesError::Read { .. }));
    }

    #[test]
    fn each_wrong_file_is_named() {
        let pair = Pair::new("wrong");
        let (certificate, key) = made();
        pair.write("nothing", &key);
        assert!(
            matches!(pair.load().unwrap_err(), FilesError::Certificate { path } if path == pair.certificate())
        );
        pair.write(&certificate, &certificate);
        assert!(matches!(pair.load().unwrap_err(), FilesError::Key { path } if path == pair.key()));
        pair.write(&certificate, &"x".repeat(MAX_FILE + 1));
        assert!(matches!(pair.load().unwrap_err(), FilesError::Read { path, .. } if path == pair.key()));
    }
}
