use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{net::TcpStream, time::Instant};

use crate::failure::{Context, Failure};

/// A server under test, pinned to core 0. It ends with this value, and with this process however that ends.
pub(crate) struct Server {
    name: &'static str,
    process: std::process::Child,
    /// Whose time and memory count: nginx's worker, not its master.
    worker: u32,
    log: PathBuf,
}

impl Server {
    /// Starts a program on core 0; its output goes to `log`.
    ///
    /// Call this on the main thread only: the kernel tells the server when the thread that started it ends.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[&OsStr],
        log: PathBuf,
    ) -> Result<Self, Failure> {
        let output = File::create(&log).context(log.display())?;
        let errors = output.try_clone().context(log.display())?;
        // SIGTERM, so that nginx's master takes its worker with it.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "--cpu-list", SERVER_CORE])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .context(format_args!("starting {}", program.display()))?;
        let worker = process.id();
        Ok(Self { name, process, worker, log })
    }

    /// Lets every thread of it run beside the load as well.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn use_both_cores(&self) -> Result<(), Failure> {
        let pid = self.process.id().to_string();
        let set = Command::new("taskset")
            .args(["--all-tasks", "--pid", "--cpu-list", "0,1", &pid])
            .stdout(Stdio::null())
            .status()
            .context("taskset")?;
        if set.success() { Ok(()) } else { Err(Failure::new(format!("taskset: {set}"))) }
    }

    /// Waits until it takes connections there.
    ///
    /// # Errors
    /// It ended, or took too long; the failure shows the end of its log.
    pub(crate) async fn ready(&mut self, address: SocketAddr) -> Result<(), Failure> {
        let deadline = Instant::now() + START;
        loop {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(self.complain(format_args!("ended: {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.complain(format_args!("does not listen on {address}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.process.kill().context(self.name)?;
        self.process.wait().context(self.name).map(drop)
    }

    /// Counts the only child of this process instead of itself.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn count_worker(&mut self) -> Result<(), Failure> {
        let id = self.process.id();
        let children =
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).context(self.name)?;
        let worker = children.split_whitespace().next().and_then(|id| id.parse().ok());
        self.worker = worker.context(format_args!("{} has no worker", self.name))?;
        Ok(())
    }

    /// User and system time so far, to 10 ms.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.worker)).context(self)?;
        ticks(&stat).map(|ticks| TICK * ticks).context("/proc/PID/stat")
    }

    /// Private memory that no file backs, in bytes: what it holds for itself.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn anonymous_bytes(&self) -> Result<u64, Failure> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.worker)).context(self)?;
        anonymous(&rollup).context("/proc/PID/smaps_rollup")
    }

    /// A failure of this server, with the end of its log.
    pub(crate) fn complain(&self, what: impl fmt::Display) -> Failure {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let mut tail: Vec<&str> = log.lines().rev().take(8).collect();
        tail.reverse();
        Failure::new(format!(
            "{} {what}\n{}\n(all of it: {})",
            self.name,
            tail.join("\n"),
            self.log.display()
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master hands SIGTERM on; whoever does not hear it is killed.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        for _ in 0..100 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.worker)
    }
}

/// User and system time of all of them.
///
/// # Errors
/// One has ended.
pub(crate) fn cpu_of(servers: &[Server]) -> Result<Duration, Failure> {
    servers.iter().map(Server::cpu).sum()
}

/// proc(5): fields 14 and 15 of /proc/PID/stat. The name before them may hold anything but ends with the last parenthesis.
fn ticks(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11).map(str::parse::<u32>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

fn anonymous(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Where servers run; `run.sh` keeps this process off it.
const SERVER_CORE: &str = "0";
const START: Duration = Duration::from_secs(20);
/// USER_HZ is 100 on every architecture that this runs on (getconf CLK_TCK).
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_past_a_strange_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 900 0 3 0 170 30 0 0 20 0 1 0 5000 1 2";
        assert_eq!(ticks(stat), Some(200));
        assert_eq!(ticks("42 (a"), None);
    }

    #[test]
    fn anonymous_memory_is_in_bytes() {
        assert_eq!(
            anonymous("Rss: 9 kB\nAnonymous:          1204 kB\nAnonHugePages: 0 kB\n"),
            Some(1_232_896)
        );
        assert_eq!(anonymous("Rss: 9 kB\n"), None);
    }
}
