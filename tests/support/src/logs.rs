//! Everything that the suite logs is kept, and every secret that it uses is
//! written down: `tests/checks/secrets.py` looks for the one in the other.
//!
//! Both go to the folder that `COUNTERSIGN_TEST_LOGS` names (`make test` sets
//! it); without it nothing is kept.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

/// A new file for the log of a process, or of this one. `None` when nobody collects.
pub fn file(of: &str) -> Option<File> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder()?.join(format!("{of}-{}-{count}.log", std::process::id()));
    Some(File::create(path).expect("the folder of COUNTERSIGN_TEST_LOGS"))
}

/// Keeps what a process has logged.
pub fn keep(of: &str, log: &[u8]) {
    if let Some(mut file) = file(of).filter(|_| !log.is_empty()) {
        file.write_all(log).unwrap();
    }
}

/// For the standard error of a process whose log no test reads.
pub fn stderr(of: &str) -> Stdio {
    file(of).map_or_else(Stdio::null, Stdio::from)
}

/// A log that a test reads, and what it read is kept.
pub struct Kept<R> {
    log: R,
    file: Option<File>,
}

/// Keeps what is read of this.
pub fn kept<R>(of: &str, log: R) -> Kept<R> {
    Kept { log, file: file(of) }
}

impl<R: Read> Read for Kept<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.log.read(into)?;
        if let Some(file) = &mut self.file {
            file.write_all(&into[..read])?;
        }
        Ok(read)
    }
}

/// Keeps all `*.log` of a folder that is about to be removed.
pub fn keep_all(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("log".as_ref()))
    {
        keep(&path.file_stem().unwrap_or_default().to_string_lossy(), &fs::read(&path).unwrap_or_default());
    }
}

/// Notes a secret that a test gave to a program or got from one. No log may have it, in any
/// spelling. It has at least eight bytes: shorter ones would be found by chance.
pub fn plant(kind: &str, secret: impl AsRef<[u8]>) {
    let secret = secret.as_ref();
    assert!(secret.len() >= 8, "{kind} is too short to be looked for");
    let Some(folder) = folder() else { return };
    let path = folder.join(format!("planted-{}", std::process::id()));
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    // One write: tests of one process plant at the same time.
    file.write_all(format!("{kind} {hex}\n").as_bytes()).unwrap();
}

/// The same for a P-256 key in PKCS #8 (RFC 5958). Its 32 bytes begin at the 36th; those from the 48th on stand
/// in one line of PEM.
pub fn plant_key(kind: &str, pkcs8: &[u8]) {
    plant(kind, &pkcs8[48..68]);
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("COUNTERSIGN_TEST_LOGS").map(PathBuf::from)
}
