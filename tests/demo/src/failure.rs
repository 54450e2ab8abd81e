use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// A step that did not go as told: what should have been, what was, where to read on.
#[derive(Debug)]
pub(crate) struct Failure {
    expected: String,
    found: String,
    log: Option<PathBuf>,
}

impl Failure {
    /// What was expected, and what was there instead.
    pub(crate) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into(), log: None }
    }

    /// The log file that tells more.
    pub(crate) fn log(self, path: &Path) -> Self {
        Self { log: Some(path.to_owned()), ..self }
    }

    /// For `map_err`: the step that the system refused.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(what, error.to_string())
    }

    /// `Ok` if the condition holds.
    ///
    /// # Errors
    /// This failure, made only then.
    pub(crate) fn unless(holds: bool, failure: impl FnOnce() -> Self) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(failure()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, found, log } = self;
        write!(
            f,
            "expected {expected}\n     found    {}",
            found.trim_end().replace('\n', "\n              ")
        )?;
        match log {
            Some(path) => write!(f, "\n     read     {}", path.display()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
