use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::failure::Failure;

/// The real programs, built beside the demo.
pub(crate) struct Programs {
    /// `countersign-proxy`
    pub(crate) proxy: PathBuf,
    /// `countersign-enclave`
    pub(crate) enclave: PathBuf,
    /// `countersign-simulator`
    pub(crate) simulator: PathBuf,
    /// `countersign-verify`
    pub(crate) verify: PathBuf,
}

impl Programs {
    /// Finds all of them.
    ///
    /// # Errors
    /// The one that was not built.
    pub(crate) fn find() -> Result<Self, Failure> {
        let demo = std::env::current_exe().map_err(Failure::system("the path of the demo itself"))?;
        let find = |name: &str| {
            let path = demo.with_file_name(name);
            let missing = || Failure::new(format!("{} (run `make run`)", path.display()), "no such file");
            Failure::unless(path.is_file(), missing)?;
            Ok(path)
        };
        Ok(Self {
            proxy: find("countersign-proxy")?,
            enclave: find("countersign-enclave")?,
            simulator: find("countersign-simulator")?,
            verify: find("countersign-verify")?,
        })
    }
}

/// Runs a command to its end; its standard output.
///
/// # Errors
/// It fails, or takes longer than [`LIMIT`]; its standard error is in the failure.
pub(crate) async fn run<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> Result<Vec<u8>, Failure> {
    let shown = || show(program, arguments);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LIMIT, command.output())
        .await
        .map_err(|_| {
            Failure::new(format!("`{}` to end within {} s", shown(), LIMIT.as_secs()), "it goes on")
        })?
        .map_err(Failure::system(format!("to start `{}`", shown())))?;
    Failure::unless(output.status.success(), || {
        let said = String::from_utf8_lossy(&output.stderr);
        Failure::new(format!("`{}` to succeed", shown()), format!("{}\n{said}", output.status))
    })?;
    Ok(output.stdout)
}

/// A command line as one would type it.
pub(crate) fn show<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> String {
    let arguments = arguments.iter().map(|argument| argument.as_ref().to_string_lossy().into_owned());
    std::iter::once(program.display().to_string()).chain(arguments).collect::<Vec<_>>().join(" ")
}

const LIMIT: Duration = Duration::from_secs(20);
