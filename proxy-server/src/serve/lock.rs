use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::ServeError;

/// Makes the state directory (0700) and takes its lock.
pub(super) fn lock(directory: &Path) -> Result<fs::File, ServeError> {
    let failed = |path: PathBuf| move |source| ServeError::File { path, source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory.into()))?;
    let path = directory.join("countersign.lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed(path.clone()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(ServeError::Locked { path: directory.into() }),
        Err(fs::TryLockError::Error(source)) => Err(ServeError::File { path, source }),
    }
}
