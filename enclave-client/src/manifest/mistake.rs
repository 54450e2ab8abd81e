use std::{fmt, io};

/// One mistake in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1; 0 where the parser knows no position.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// Which field, for instance `outboundConnections[1].port`; empty for the whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, path, message } = self;
        let separator = if path.is_empty() { "" } else { ": " };
        write!(f, "{line}:{column}: {path}{separator}{message}")
    }
}

/// Why there is no manifest.
#[derive(Debug)]
pub enum ManifestError {
    /// The file cannot be read.
    Read(io::Error),
    /// It is not UTF-8.
    NotText,
    /// Every mistake, in the order of the file.
    Mistakes(Vec<Mistake>),
}

impl ManifestError {
    /// The lines a person reads: `file:line:column: field: message`.
    pub fn lines(&self, file: &str) -> Vec<String> {
        match self {
            Self::Read(why) => vec![format!("{file}: cannot be read: {why}")],
            Self::NotText => vec![format!("{file}: is not UTF-8")],
            Self::Mistakes(mistakes) => mistakes.iter().map(|mistake| format!("{file}:{mistake}")).collect(),
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => f.write_str("the manifest cannot be read"),
            Self::NotText => f.write_str("the manifest is not UTF-8"),
            Self::Mistakes(mistakes) => write!(f, "the manifest has {} mistakes", mistakes.len()),
        }
    }
}

impl std::error::Error for ManifestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(why) => Some(why),
            _ => None,
        }
    }
}
