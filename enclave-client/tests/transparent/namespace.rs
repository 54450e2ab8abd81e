//! A network and mount namespace for one test: a loopback interface and nothing else.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use tokio::time::timeout;

/// Runs a test in namespaces of its own: the first call starts this very test there, as
/// another process, and judges how it ended; the call in there runs `body`.
///
/// Where namespaces are not permitted the test is skipped, and says so.
pub fn inside<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if env::var(INSIDE).is_ok_and(|name| name == test) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(async { timeout(LONGEST, body()).await.expect("within its time") });
    }
    let probe = Command::new("unshare").args(["--net", "--mount", "true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED {test}: network namespaces are not permitted here (run it as root)");
        return;
    }
    let ran = Command::new("unshare")
        .args(["--net", "--mount", "--"])
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, test)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// Files of one test; gone when it ends in order.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(test: &str) -> Self {
        let path = env::temp_dir().join(format!("csn-transparent-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Puts a file in the place of another, for this namespace only.
pub fn mount_over(file: &Path, place: &str) {
    let done = Command::new("mount").arg("--bind").arg(file).arg(place).status().unwrap();
    assert!(done.success(), "mount {} over {place}", file.display());
}

/// A program in its own mount namespace, where /etc/hosts knows no name but localhost.
pub fn program(plain_hosts: &Path, words: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""])
        .arg(plain_hosts)
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for variable in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    command
}

/// Exit code, standard output and standard error of a program that ended by itself.
pub async fn outcome(mut command: tokio::process::Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        timeout(Duration::from_secs(30), command.output()).await.expect("a program that hangs").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    (status.code(), text(stdout), text(stderr))
}

const INSIDE: &str = "COUNTERSIGN_TEST_INSIDE";

/// It stops by itself.
const LONGEST: Duration = Duration::from_secs(120);
