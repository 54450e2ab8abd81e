//! The manifest: what the enclave may reach, and how.
//!
//! ```text
//!   YAML text ─node.rs─► tree with positions ─raw.rs─► what was written ─checked.rs─► what it means
//! ```
//!
//! All mistakes of a manifest are reported at once, each with line and column
//! (serde-saphyr's positions); a text that is no YAML at all is one mistake.
//! `docs/manifest.md` is the reference of every word.

mod checked;
mod entries;
mod fields;
mod mistake;
mod nearest;
mod node;
mod raw;

use std::{fs::File, io::Read, path::Path};

pub use checked::{Manifest, ProxyEntry};
pub use entries::{IngressEntry, IngressTls, PeerEntry};
pub use mistake::{ManifestError, Mistake};

impl Manifest {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ManifestError`]: it cannot be read, or every mistake in it.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let text = read_bounded(path).map_err(ManifestError::Read)?;
        let text = String::from_utf8(text).map_err(|_| ManifestError::NotText)?;
        let directory = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, &|file| read_bounded(&directory.join(file)))
    }

    /// Checks a text. `read` gives the files it names, which are relative to the manifest.
    ///
    /// # Errors
    /// [`ManifestError::Mistakes`], all of them.
    pub fn parse(text: &str, read: &ReadFile<'_>) -> Result<Self, ManifestError> {
        let tree = node::parse(text).map_err(|mistake| ManifestError::Mistakes(vec![mistake]))?;
        let mut mistakes = Vec::new();
        let raw = raw::Manifest::read(&tree, &mut mistakes);
        let manifest = checked::check(&raw, read, &mut mistakes);
        if mistakes.is_empty() {
            return Ok(manifest);
        }
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        Err(ManifestError::Mistakes(mistakes))
    }
}

/// Gives a file that the manifest names.
pub type ReadFile<'a> = dyn Fn(&Path) -> std::io::Result<Vec<u8>> + 'a;

/// A manifest is a page, an anchor file a few certificates.
const MAX_FILE: u64 = 1 << 20;

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
