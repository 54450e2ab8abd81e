use std::path::{Path, PathBuf};

use super::{
    AuditFileError,
    chain::{ChainName, Head},
    file::{self, Place},
    known::{Known, RolledBack},
};
use countersign_protocol::Epoch;

/// [`Known`] in the file `audit-heads` of the state directory.
///
/// Note a head only when its commit is durable: else a power failure makes an honest store look rolled back. The file
/// is replaced whole. Its bytes are synced before the new name is; the name is not, so after a power failure the file
/// may be some flushes old, which weakens the witness by as much and never makes it wrong.
///
/// Putting a backup back on purpose means [`Self::set_aside`].
#[derive(Debug)]
pub struct KnownHeads {
    path: PathBuf,
    known: Known,
    written: Known,
}

impl KnownHeads {
    /// Reads the file; without one, nothing is known yet.
    ///
    /// # Errors
    /// [`AuditFileError`]: also for a file that others may write, or that does not read as known heads. It is never
    /// taken for an empty one.
    pub fn open(directory: &Path) -> Result<Self, AuditFileError> {
        let path = directory.join(FILE);
        let known = read(&path)?.unwrap_or_default();
        Ok(Self { path, written: known.clone(), known })
    }

    /// What is known.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// [`Known::note`].
    ///
    /// # Errors
    /// [`RolledBack::Rewritten`] when another hash is known for the same row.
    pub fn note(&mut self, chain: ChainName, head: Head) -> Result<(), RolledBack> {
        self.known.note(chain, head)
    }

    /// [`Known::note_epoch`].
    pub fn note_epoch(&mut self, epoch: Epoch) {
        self.known.note_epoch(epoch);
    }

    /// Begins anew, at this epoch: what was known moves to `audit-heads.before-<epoch>`, and is told where. There is a
    /// witness at every moment.
    ///
    /// # Errors
    /// [`AuditFileError`]: what is known is as it was.
    pub fn set_aside(self, epoch: Epoch) -> Result<PathBuf, AuditFileError> {
        let aside = self.path.with_file_name(format!("{FILE}.before-{epoch}"));
        // First, and never over a file that is there; a second time after a power failure is no harm.
        file::write(&aside, self.known.to_json().as_bytes(), Place::New)?;
        let mut anew = Known::new();
        anew.note_epoch(epoch);
        file::write(&self.path, anew.to_json().as_bytes(), Place::Replace)?;
        Ok(aside)
    }

    /// Writes the file when something was noted since. Blocks for as long as the disk takes to sync: call it about once
    /// a second, and not in the way of an admission.
    ///
    /// The command line may have noted something beside `serve`: what lies in the file is kept where it is higher.
    ///
    /// # Errors
    /// [`AuditFileError`]: the file is as it was.
    pub fn flush(&mut self) -> Result<(), AuditFileError> {
        if self.known == self.written {
            return Ok(());
        }
        if let Some(there) = read(&self.path)? {
            self.known.merge(&there);
        }
        file::write(&self.path, self.known.to_json().as_bytes(), Place::Replace)?;
        self.written.clone_from(&self.known);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Known>, AuditFileError> {
    let Some(bytes) = file::read(path, WRITABLE, LIMIT)? else { return Ok(None) };
    let known = Known::from_json(&bytes);
    known.map(Some).map_err(|problem| AuditFileError::NotHeads { path: path.to_owned(), problem })
}

/// The file in the state directory.
const FILE: &str = "audit-heads";

/// It holds no secret, and nobody else may forget for us.
const WRITABLE: u32 = 0o022;

/// Four times what the most chains take, in bytes.
const LIMIT: u64 = 65_536;
