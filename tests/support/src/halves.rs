use std::{
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

/// The client and its host half as programs (a UNIX socket stands for vsock), with an application that waits.
#[derive(Debug)]
pub struct Halves {
    directory: Directory,
    program: &'static str,
    host_flags: Vec<String>,
    client: Child,
    host: Child,
    /// The local proxy.
    pub local: SocketAddr,
    /// The application ends with it.
    input: ChildStdin,
}

/// What [`Halves`] are made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `countersign-enclave`.
    pub program: &'static str,
    /// Lines of the manifest after `egress.proxy_port`.
    pub manifest: String,
    /// Flags of both programs.
    pub flags: Vec<String>,
    /// Flags of the client alone.
    pub client_flags: Vec<String>,
}

impl Plan {
    /// Ungated destinations, and a collector that both programs tell.
    pub fn direct(program: &'static str, collector: SocketAddr, to: &[SocketAddr]) -> Self {
        let all: Vec<_> = to.iter().chain([&collector]).map(|to| format!("\"{to}\"")).collect();
        let manifest = format!("  allow: [{}]\n", all.join(", "));
        Self { program, manifest, flags: tell(collector), client_flags: Vec::new() }
    }
}

/// Flags for a collector.
pub fn tell(collector: SocketAddr) -> Vec<String> {
    vec!["--otlp-endpoint".to_owned(), format!("http://{collector}")]
}

impl Halves {
    /// Starts both, and waits until the application runs: where the manifest has a proxy, the enclave is attested then.
    pub async fn start(plan: Plan) -> Self {
        let Plan { program, manifest, flags, client_flags } = plan;
        let directory = Directory::new();
        let host = start_host(program, &directory.0, &flags).await;
        let file = directory.0.join("countersign.yaml");
        std::fs::write(&file, format!("version: v1\negress:\n  proxy_port: 0\n{manifest}")).unwrap();
        let mut client = Command::new(program);
        client.arg("run").arg("--host").arg(format!("unix:{}", socket(&directory.0).display()));
        client.arg("--manifest").arg(file).args(&flags).args(client_flags);
        // The application says where its proxy is, and ends with its input.
        client.args(["--", "sh", "-c", "echo ${http_proxy#http://}; exec cat > /dev/null"]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client = client.kill_on_drop(true).spawn().unwrap();
        let input = client.stdin.take().unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
        let line =
            timeout(PATIENCE, lines.next_line()).await.expect("a line in time").unwrap().expect("a line");
        Self { directory, program, host_flags: flags, client, host, local: line.parse().unwrap(), input }
    }

    /// Asks for a tunnel as an application does, with these fields; its head is answered.
    pub async fn connect(&self, to: SocketAddr, fields: &str) -> (TcpStream, String) {
        self.ask(&format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{fields}\r\n")).await
    }

    /// Sends any head to the local proxy and reads the head of its answer.
    pub async fn ask(&self, head: &str) -> (TcpStream, String) {
        let asking = async {
            let mut stream = TcpStream::connect(self.local).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // A byte at a time: what follows the head is the other end's.
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(stream.read_u8().await.unwrap());
            }
            (stream, String::from_utf8(answer).unwrap())
        };
        timeout(PATIENCE, asking).await.expect("an answer in time")
    }

    /// Ends the host half as a machine that lost it does, and starts it again: no connection of before is left.
    pub async fn restart_host(&mut self) {
        self.host.kill().await.unwrap();
        self.host = start_host(self.program, &self.directory.0, &self.host_flags).await;
    }

    /// Private memory of the client, in KiB.
    pub fn client_kib(&self) -> u64 {
        let rollup = format!("/proc/{}/smaps_rollup", self.client.id().unwrap());
        let text = std::fs::read_to_string(rollup).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends the application, and the host half after it; both tell what is left.
    pub async fn end(mut self) {
        drop(self.input);
        let ended = timeout(PATIENCE, self.client.wait()).await.expect("an end in time").unwrap();
        assert_eq!((ended.code(), ended.signal()), (Some(0), None));
        let pid = Pid::from_raw(self.host.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let ended = timeout(PATIENCE, self.host.wait()).await.expect("an end in time").unwrap();
        assert_eq!(ended.code(), Some(0));
    }
}

async fn start_host(program: &str, directory: &Path, flags: &[String]) -> Child {
    let socket = socket(directory);
    let mut host = Command::new(program);
    // Several of them run on this machine, and a vsock port is one for all.
    host.args(["host", "--outer-limit", "none", "--logs", "off", "--drain", "0", "--egress"]);
    host.arg(format!("unix:{}", socket.display())).args(flags);
    host.env("COUNTERSIGN_LOG", "debug").stdout(Stdio::null()).stderr(Stdio::null());
    let mut host = host.kill_on_drop(true).spawn().unwrap();
    let ready = async {
        while UnixStream::connect(&socket).await.is_err() {
            assert!(host.try_wait().unwrap().is_none(), "the host half ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the host half listens in time");
    host
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("host.sock")
}

/// A client that must end by itself: its exit code and its log.
pub async fn refused(
    program: &str,
    manifest: &str,
    flags: &[String],
    variables: &[(&str, &str)],
) -> (Option<i32>, String) {
    let directory = Directory::new();
    let file = directory.0.join("countersign.yaml");
    std::fs::write(&file, manifest).unwrap();
    let mut client = Command::new(program);
    client.args(["run", "--host", "direct", "--manifest"]).arg(file).args(flags);
    client.args(["--", "true"]).envs(variables.iter().copied()).kill_on_drop(true);
    let output =
        timeout(PATIENCE, client.stdin(Stdio::null()).output()).await.expect("an end in time").unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Removed with the value.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cs-halves-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // Left by a process that had the same id and was killed.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Longer than anything on loopback takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
