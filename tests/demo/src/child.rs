use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStdout, Command},
    time::{Instant, timeout},
};

use crate::failure::Failure;

/// A program of the story: in a process group of its own, so that Ctrl-C reaches
/// the demo alone, which then stops everything in order. Its standard error is
/// the log file; its standard output is read line by line.
///
/// It never outlives the demo: [`crate::guard`] sees to the demo's death, `Drop` to everything else.
pub(crate) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    group: Option<Pid>,
    log: PathBuf,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What to start.
pub(crate) struct Program<'a> {
    /// Names it to the reader, and names its log file.
    pub(crate) name: &'static str,
    /// The file.
    pub(crate) path: &'a Path,
    /// Directory of log files.
    pub(crate) logs: &'a Path,
    /// Variables beside the demo's own.
    pub(crate) environment: &'a [(&'a str, &'a OsStr)],
}

impl Child {
    /// Starts a program.
    ///
    /// # Errors
    /// It does not start, or its log file cannot be made.
    pub(crate) fn start<A: AsRef<OsStr>>(program: &Program<'_>, arguments: &[A]) -> Result<Self, Failure> {
        let Program { name, path, logs, environment } = program;
        let log = logs.join(format!("{name}.log"));
        let stderr = File::create(&log).map_err(Failure::system(format!("a log file {}", log.display())))?;
        let demo = std::env::current_exe().map_err(Failure::system("the path of the demo itself"))?;
        let mut process = Command::new(demo)
            .args(["guard", "--parent", &std::process::id().to_string(), "--"])
            .arg(path)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::system(format!("to start {}", path.display())))?;
        let group = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let stdout = process.stdout.take().ok_or_else(|| Failure::new("a pipe from the program", "none"))?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self { name, process, group, log, lines })
    }

    /// Its name in the story.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Where its standard error goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Reads its standard output up to a line that begins with `prefix`; the
    /// rest of that line, and when it came. Cancelling loses no line.
    ///
    /// # Errors
    /// It closes its output first.
    pub(crate) async fn line(&mut self, prefix: &str) -> Result<(String, Instant), Failure> {
        loop {
            match self.lines.next_line().await {
                Ok(Some(line)) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Ok((rest.trim().to_owned(), Instant::now()));
                    }
                }
                Ok(None) | Err(_) => {
                    let expected = format!("{} to print \"{prefix}…\"", self.name);
                    return Err(Failure::new(expected, "the end of its output").log(&self.log));
                }
            }
        }
    }

    /// Returns only if the program ends, and then with that as a failure.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn must_live<T>(&mut self) -> Result<T, Failure> {
        let status = self.process.wait().await;
        let found = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        Err(Failure::new(format!("{} to go on", self.name), format!("it ended: {found}")).log(&self.log))
    }

    /// Asks it to stop (SIGTERM) and waits; what is still there afterwards is killed.
    ///
    /// # Errors
    /// It did not stop by itself in time.
    pub(crate) async fn stop(mut self) -> Result<ExitStatus, Failure> {
        if let Some(pid) = self.group {
            // It may be gone already; then wait() says so.
            let _ = kill_process(pid, Signal::TERM);
        }
        let ended = timeout(STOP, self.process.wait()).await;
        let late = || {
            let expected = format!("{} to stop within {} s of SIGTERM", self.name, STOP.as_secs());
            Failure::new(expected, "it goes on").log(&self.log)
        };
        let status = ended.map_err(|_| late())?;
        status.map_err(Failure::system(format!("the exit code of {}", self.name)))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            // Whatever the program started and left behind.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// More than the proxy's own bound for draining, which the demo sets to 2 s.
const STOP: Duration = Duration::from_secs(10);
