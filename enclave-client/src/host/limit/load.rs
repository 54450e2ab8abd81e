use std::{
    fmt,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{FileMistake, OuterLimit, RuleSet, parse};
use crate::regular_file::read_at_most;

/// Reads every rule set of files and directories: of a directory each `.yaml`,
/// `.yml` and `.json` in it, by name, and nothing deeper or hidden. So a mounted
/// ConfigMap is read once, through its links, and not through `..data` again.
///
/// # Errors
/// [`LoadError`]: every file that is wrong, with every mistake in it.
pub fn load(paths: &[PathBuf]) -> Result<OuterLimit, LoadError> {
    let mut sets = Vec::new();
    let mut wrong = Vec::new();
    for path in files(paths)? {
        match read(&path) {
            Ok(more) => sets.extend(more),
            Err(why) => wrong.push((path, why)),
        }
    }
    if !wrong.is_empty() {
        return Err(LoadError::Files(wrong));
    }
    OuterLimit::union(&sets).map_err(|why| LoadError::Policy(why.to_string()))
}

/// What tells a file from the one that was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    path: PathBuf,
    /// Device, inode, size, then modification and change, each in seconds and nanoseconds.
    stat: Option<[i128; 7]>,
}

/// The fingerprints of all files; an error when a directory cannot be read.
pub(super) fn fingerprints(paths: &[PathBuf]) -> Result<Vec<Fingerprint>, LoadError> {
    let stat = |m: Metadata| {
        [
            m.dev().into(),
            m.ino().into(),
            m.size().into(),
            m.mtime().into(),
            m.mtime_nsec().into(),
            m.ctime().into(),
            m.ctime_nsec().into(),
        ]
    };
    let files = files(paths)?.into_iter();
    Ok(files.map(|path| Fingerprint { stat: fs::metadata(&path).ok().map(stat), path }).collect())
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |why| LoadError::Read(path.clone(), why);
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if is_rule_file(&file) {
                inside.push(file);
            }
            if inside.len() > MAX_FILES {
                return Err(LoadError::TooManyFiles(path.clone()));
            }
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn is_rule_file(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let ending = path.extension().and_then(|ending| ending.to_str());
    !hidden && matches!(ending, Some("yaml" | "yml" | "json"))
}

fn read(path: &Path) -> Result<Vec<RuleSet>, FileError> {
    let bytes = read_at_most(path, MAX_FILE + 1).map_err(FileError::Read)?;
    if bytes.len() > MAX_FILE {
        return Err(FileError::Read(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotText)?;
    parse(&text, &path.display().to_string()).map_err(FileError::Mistakes)
}

const MAX_FILE: usize = 1 << 20;

/// Of one directory.
const MAX_FILES: usize = 1000;

/// Why there is no limit to be had of some paths.
#[derive(Debug)]
pub enum LoadError {
    /// The path is not there, or cannot be read.
    Read(PathBuf, io::Error),
    /// The directory is no directory of rule sets.
    TooManyFiles(PathBuf),
    /// These files are wrong.
    Files(Vec<(PathBuf, FileError)>),
    /// More rules than a policy holds.
    Policy(String),
}

/// What is wrong with one file.
#[derive(Debug)]
pub enum FileError {
    /// It cannot be read.
    Read(io::Error),
    /// It is not UTF-8.
    NotText,
    /// Every mistake in it.
    Mistakes(Vec<FileMistake>),
}

impl LoadError {
    /// The lines a person reads: `file:line: what is wrong`.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Read(path, why) => vec![format!("{}: cannot be read: {why}", path.display())],
            Self::TooManyFiles(path) => vec![format!("{}: more than {MAX_FILES} files", path.display())],
            Self::Policy(why) => vec![format!("all rule sets together: {why}")],
            Self::Files(files) => files.iter().flat_map(|(path, why)| why.lines(path)).collect(),
        }
    }
}

impl FileError {
    fn lines(&self, path: &Path) -> Vec<String> {
        let path = path.display();
        match self {
            Self::Read(why) => vec![format!("{path}: cannot be read: {why}")],
            Self::NotText => vec![format!("{path}: is not UTF-8")],
            Self::Mistakes(mistakes) => mistakes.iter().map(|mistake| format!("{path}:{mistake}")).collect(),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("; "))
    }
}

impl std::error::Error for LoadError {}
