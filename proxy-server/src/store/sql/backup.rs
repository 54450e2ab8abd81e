//! Copies of the whole store.

use std::{
    error::Error,
    fmt,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{SqlStore, connection::Pool};

impl SqlStore {
    /// Copies the whole store, as it is at one point in time, into a new file that only
    /// its owner can read (mode 0600). Whoever serves goes on.
    ///
    /// # Errors
    /// [`BackupError`]; then there is no new file.
    pub async fn backup(&self, to: &Path) -> Result<(), BackupError> {
        let Pool::Sqlite(pool) = &self.reader else { return Err(BackupError::NotAFile) };
        let failed = |source| BackupError::File { path: to.to_owned(), source };
        // Absolute, so that SQLite takes no name for a URI.
        let path = std::path::absolute(to).map_err(failed)?;
        let Some(name) = path.to_str() else {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidFilename, "expected a name in UTF-8")));
        };
        // SQLite would make it readable for others first; an empty file it takes as it is.
        let copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let unfinished = Unfinished(&path);
        sqlx::query("VACUUM INTO ?1")
            .bind(name)
            .execute(pool)
            .await
            .map_err(|source| BackupError::Copy { path: to.to_owned(), source })?;
        let directory = path.parent().unwrap_or(&path);
        copy.sync_all().and_then(|()| File::open(directory)?.sync_all()).map_err(failed)?;
        std::mem::forget(unfinished);
        Ok(())
    }
}

/// Half a copy is worse than none. Its path is borrowed: nothing leaks with the copy that stays.
struct Unfinished<'a>(&'a Path);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // What went wrong before says more than this would.
        let _ = fs::remove_file(self.0);
    }
}

/// Why there is no copy.
#[derive(Debug)]
pub enum BackupError {
    /// The file is there already, or cannot be written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database could not be copied.
    Copy {
        /// To where.
        path: PathBuf,
        /// What it says.
        source: sqlx::Error,
    },
    /// The store is a PostgreSQL database, which has a program of its own for this.
    NotAFile,
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } if source.kind() == io::ErrorKind::AlreadyExists => {
                write!(f, "{} is there already: a backup overwrites nothing", path.display())
            }
            Self::File { path, .. } => write!(f, "the backup cannot be written to {}", path.display()),
            Self::Copy { path, .. } => write!(f, "the store could not be copied to {}", path.display()),
            Self::NotAFile => f.write_str("the store is a PostgreSQL database: pg_dump copies it"),
        }
    }
}

impl Error for BackupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => None,
            Self::File { source, .. } => Some(source),
            Self::Copy { source, .. } => Some(source),
            Self::NotAFile => None,
        }
    }
}
