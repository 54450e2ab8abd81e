use std::{
    fmt, fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::config::ReplicaName;

/// Who a replica is: the same after a restart, another one for each state directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId([u8; 16]);

/// A replica's id and its name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaIdentity {
    /// Its id.
    pub id: ReplicaId,
    /// As configured, or its host's name: at most [`ReplicaIdentity::MAX_NAME`] bytes of
    /// printable ASCII. Two replicas may have one name; nothing is decided by it.
    pub name: String,
}

impl ReplicaIdentity {
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 64;

    /// Reads `replica-id` in the state directory, or makes it there once.
    ///
    /// # Errors
    /// [`IdentityError`]. A file that holds something else is never replaced: the
    /// store knows this replica by what stood in it.
    pub fn open(state_directory: &Path, name: Option<&ReplicaName>) -> Result<Self, IdentityError> {
        let path = state_directory.join(FILE);
        let failed = |source| IdentityError::File { path: path.clone(), source };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        };
        let mut id = [0; 16];
        let digits = text.strip_suffix('\n').unwrap_or(&text);
        hex::decode_to_slice(digits, &mut id).map_err(|_| IdentityError::NotAnId { path: path.clone() })?;
        let name = match name {
            Some(name) => name.to_string(),
            None => printable(&host_name()),
        };
        Ok(Self { id: ReplicaId(id), name })
    }
}

impl ReplicaId {
    /// Takes 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplicaId({self})")
    }
}

/// Why a replica does not know who it is.
#[derive(Debug)]
pub enum IdentityError {
    /// The file cannot be read or made.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not 32 hexadecimal digits.
    NotAnId {
        /// Which one.
        path: PathBuf,
    },
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "cannot use {}", path.display()),
            Self::NotAnId { path } => write!(f, "{} does not hold 32 hexadecimal digits", path.display()),
        }
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::NotAnId { .. } => None,
        }
    }
}

/// Whole and on the disk, or not there: a replica with two ids would be two.
fn make(path: &Path) -> io::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let text = format!("{}\n", hex::encode(bytes));
    let unfinished = path.with_extension("unfinished");
    let mut file =
        fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    if let Some(directory) = path.parent() {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(text)
}

/// What the kernel calls this host; empty where it does not say.
fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

/// A host's name goes to logs, pages and databases, where it must be harmless.
fn printable(name: &str) -> String {
    let kept: String =
        name.trim().chars().filter(char::is_ascii_graphic).take(ReplicaIdentity::MAX_NAME).collect();
    if kept.is_empty() { "unnamed".to_owned() } else { kept }
}

const FILE: &str = "replica-id";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_id_is_made_once() {
        let directory = scratch("once");
        let first = ReplicaIdentity::open(&directory, Some(&"one".parse().unwrap())).unwrap();
        let again = ReplicaIdentity::open(&directory, Some(&"two".parse().unwrap())).unwrap();
        assert_eq!(first.id, again.id);
        assert_eq!((first.name.as_str(), again.name.as_str()), ("one", "two"));
        let mode = fs::metadata(directory.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = scratch("other");
        assert_ne!(ReplicaIdentity::open(&other, None).unwrap().id, first.id);
        fs::remove_dir_all(directory).unwrap();
        fs::remove_dir_all(other).unwrap();
    }

    #[test]
    fn what_is_no_id_is_never_replaced() {
        let directory = scratch("broken");
        for broken in ["", "\n", "00", &"0".repeat(31), &"g".repeat(32), &"0".repeat(33), " 0"] {
            fs::write(directory.join(FILE), broken).unwrap();
            let error = ReplicaIdentity::open(&directory, None).unwrap_err();
            assert!(matches!(error, IdentityError::NotAnId { .. }), "{broken:?}: {error}");
            assert_eq!(fs::read_to_string(directory.join(FILE)).unwrap(), broken);
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_name_has_no_room_for_tricks() {
        assert_eq!(printable(" proxy-1.example\n"), "proxy-1.example");
        assert_eq!(printable("a\u{1b}[31m\u{202e}b"), "a[31mb");
        assert_eq!(printable("\n"), "unnamed");
        assert_eq!(printable(&"x".repeat(65)).len(), ReplicaIdentity::MAX_NAME);
    }

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("countersign-replica-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }
}
