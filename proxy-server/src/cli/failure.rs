use std::{
    error::Error,
    fmt,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use super::{client::Refused, show::visible};
use crate::{config::Mistakes, log::Chain};

/// Why a command did not do what it was told.
#[derive(Debug)]
pub(super) enum Failure {
    /// The configuration has mistakes.
    Configuration(Mistakes),
    /// What was said makes no sense together.
    Usage(String),
    /// A file cannot be read.
    Unreadable {
        /// Which; `-` is standard input.
        path: PathBuf,
        /// What the system says, or what is wrong with it.
        reason: String,
    },
    /// A file was read, and is not what it must be.
    Wrong {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The admin API refused.
    Refused(Box<Refused>),
    /// Something else.
    Other(Box<dyn Error>),
}

impl Failure {
    pub(super) fn unreadable(path: impl Into<PathBuf>, reason: &impl fmt::Display) -> Self {
        Self::Unreadable { path: path.into(), reason: reason.to_string() }
    }

    pub(super) fn wrong(path: impl Into<PathBuf>, reason: impl fmt::Display) -> Self {
        Self::Wrong { path: path.into(), reason: reason.to_string() }
    }

    /// 2 for what makes no sense or could not be read, 1 for what was refused, or failed.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(mistakes)
                if mistakes.list.iter().any(|mistake| mistake.position.is_none()) =>
            {
                ExitCode::from(2)
            }
            Self::Usage(_) | Self::Unreadable { .. } => ExitCode::from(2),
            Self::Configuration(_) | Self::Wrong { .. } | Self::Refused(_) | Self::Other(_) => {
                ExitCode::from(1)
            }
        }
    }

    /// Says it on stderr.
    pub(super) fn complain(&self) {
        let stderr = io::stderr();
        let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let (red, plain) = if colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        // What a server says must not move the terminal's cursor.
        let said: Vec<_> = self.to_string().lines().map(|line| visible(line).into_owned()).collect();
        let said = said.join("\n");
        let text = match self {
            Self::Configuration(mistakes) => {
                let count = mistakes.list.len();
                let noun = if count == 1 { "mistake" } else { "mistakes" };
                format!(
                    "{said}\n{red}error:{plain} {count} {noun} in the configuration; nothing was started\n"
                )
            }
            _ => format!("{red}error:{plain} {said}\n"),
        };
        // There is nowhere left to say that stderr is closed.
        let _ = stderr.lock().write_all(text.as_bytes());
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(mistakes) => mistakes.fmt(f),
            Self::Usage(reason) => f.write_str(reason),
            Self::Unreadable { path, reason } => {
                write!(f, "cannot read {}: {reason}; give a file, or - for standard input", path.display())
            }
            Self::Wrong { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Refused(refused) => refused.fmt(f),
            Self::Other(error) => Chain(error.as_ref()).fmt(f),
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(Box::new(error))
    }
}
