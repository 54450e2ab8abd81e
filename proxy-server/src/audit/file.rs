use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// Reads a small file of the state directory whole; `None` when there is none. Refuses one whose mode has any of the
/// `forbidden` bits.
pub(super) fn read(
    path: &Path,
    forbidden: u32,
    limit: u64,
) -> Result<Option<Zeroizing<Vec<u8>>>, AuditFileError> {
    let failed = |source| AuditFileError::File { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Of the open file, not of the path: nobody can put another one there in between.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & forbidden != 0 {
        return Err(AuditFileError::Loose { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(AuditFileError::TooLong { path: path.to_owned(), limit });
    }
    Ok(Some(bytes))
}

/// How a new file gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Only when nothing has that name: a secret is never overwritten. It is there after a power failure.
    New,
    /// Instead of what has that name. A power failure may leave the old one, whole.
    Replace,
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8], place: Place) -> Result<(), AuditFileError> {
    let failed = |source| AuditFileError::File { path: path.to_owned(), source };
    // A name of its own, so that two processes never write the same unfinished file.
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| AuditFileError::NoRandomness)?;
    let unfinished = path.with_extension(format!("{}.unfinished", hex::encode(random)));
    let written = fill(&unfinished, bytes).and_then(|()| match place {
        // A link instead of a rename: it fails when another process was faster.
        Place::New => fs::hard_link(&unfinished, path)
            .and_then(|()| path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())),
        Place::Replace => fs::rename(&unfinished, path),
    });
    if place == Place::New || written.is_err() {
        // Whatever went wrong before says more than this would.
        let _ = fs::remove_file(&unfinished);
    }
    written.map_err(failed)
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Why a file of the audit cannot be used.
#[derive(Debug)]
pub enum AuditFileError {
    /// It cannot be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner have rights on it.
    Loose {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is longer than what is ever written there.
    TooLong {
        /// Which one.
        path: PathBuf,
        /// The longest, in bytes.
        limit: u64,
    },
    /// It holds no private key of Ed25519.
    NotAKey {
        /// Which one.
        path: PathBuf,
    },
    /// It holds no known heads.
    NotHeads {
        /// Which one.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// The system gives no random bytes.
    NoRandomness,
}

impl fmt::Display for AuditFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "cannot use the audit's file {}", path.display()),
            Self::Loose { path, mode } => write!(
                f,
                "the audit's file {} has mode {mode:o}, expected 600 (chmod 600 it, and replace it if somebody \
                 may have read or changed it)",
                path.display()
            ),
            Self::TooLong { path, limit } => {
                write!(f, "the audit's file {} is longer than {limit} bytes", path.display())
            }
            Self::NotAKey { path } => write!(
                f,
                "{} holds no private key of Ed25519 in PKCS #8; expected the audit's key (move it away and a new \
                 one is made; its public key must be trusted then)",
                path.display()
            ),
            Self::NotHeads { path, problem } => write!(
                f,
                "{} holds no known heads of the audit: {problem} (move it away, and what it knew is known no more)",
                path.display()
            ),
            Self::NoRandomness => f.write_str("the system gives no random bytes"),
        }
    }
}

impl std::error::Error for AuditFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Loose { .. }
            | Self::TooLong { .. }
            | Self::NotAKey { .. }
            | Self::NotHeads { .. }
            | Self::NoRandomness => None,
        }
    }
}
