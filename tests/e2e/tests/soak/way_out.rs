use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use countersign_e2e::{PATIENCE, Scratch};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    process::{Child, ChildStdin, Command},
    sync::Mutex,
    time::timeout,
};

use crate::{ENCLAVE, FAR_END};

/// An enclave's client, its host half, and a destination: three processes.
pub(crate) struct WayOut {
    scratch: Scratch,
    client: Child,
    host: Mutex<Child>,
    proxy: SocketAddr,
    far_end: SocketAddr,
    /// End the far end and the application when they are dropped.
    _inputs: [ChildStdin; 2],
    _far: Child,
}

impl WayOut {
    pub(crate) async fn start() -> Self {
        let scratch = Scratch::new("soak");
        let mut far = Command::new(FAR_END);
        far.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut far = far.spawn().unwrap();
        let input = far.stdin.take().unwrap();
        let far_end: SocketAddr = first_line(&mut far).await.parse().unwrap();
        let host = Mutex::new(start_host(scratch.path()).await);
        let manifest = scratch.path().join("countersign.yaml");
        let text = format!("version: v1\negress:\n  proxy_port: 0\n  allow: [\"{far_end}\"]\n");
        std::fs::write(&manifest, text).unwrap();
        let mut client = Command::new(ENCLAVE);
        client.arg("run").arg("--host").arg(format!("unix:{}", socket(scratch.path()).display()));
        client.arg("--manifest").arg(manifest);
        // The application of this enclave says where its proxy is, and ends with these tests even
        // where its client is killed.
        client.args(["--", "sh", "-c", "echo ${http_proxy#http://}; exec cat > /dev/null"]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = client.env("COUNTERSIGN_LOG", "error").kill_on_drop(true).spawn().unwrap();
        let application = client.stdin.take().unwrap();
        let proxy = first_line(&mut client).await.parse().unwrap();
        Self { scratch, client, host, proxy, far_end, _inputs: [input, application], _far: far }
    }

    /// A connection through both halves, as an application asks for it.
    pub(crate) async fn open(&self) -> Result<TcpStream, String> {
        let open = async {
            let mut stream = TcpStream::connect(self.proxy).await?;
            let to = self.far_end;
            stream.write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await?;
            let mut head = Vec::new();
            // A byte at a time: what follows the head is the far end's.
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            Ok::<_, std::io::Error>((stream, String::from_utf8_lossy(&head).into_owned()))
        };
        let (stream, head) =
            timeout(PATIENCE, open).await.map_err(|_| "no answer in time")?.map_err(|why| why.to_string())?;
        if head.starts_with("HTTP/1.1 200 ") { Ok(stream) } else { Err(head) }
    }

    /// Ends the host half as a machine that lost it does, and starts it again.
    pub(crate) async fn restart_host(&self) {
        let mut host = self.host.lock().await;
        host.kill().await.unwrap();
        *host = start_host(self.scratch.path()).await;
    }

    /// Open files of the client and of the host half.
    pub(crate) async fn files(&self) -> [usize; 2] {
        let processes = [self.client.id(), self.host.lock().await.id()];
        processes.map(|id| std::fs::read_dir(format!("/proc/{}/fd", id.unwrap())).unwrap().count())
    }

    /// Private memory of the client, in KiB.
    pub(crate) fn client_kib(&self) -> u64 {
        let rollup = format!("/proc/{}/smaps_rollup", self.client.id().unwrap());
        let text = std::fs::read_to_string(rollup).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

async fn start_host(directory: &Path) -> Child {
    let mut host = Command::new(ENCLAVE);
    let socket = socket(directory);
    host.args(["host", "--outer-limit", "none", "--egress"]).arg(format!("unix:{}", socket.display()));
    // Several of them run on this machine, and a vsock port is one for all.
    host.args(["--logs", "off"]);
    let mut host = host.env("COUNTERSIGN_LOG", "error").kill_on_drop(true).spawn().unwrap();
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

async fn first_line(process: &mut Child) -> String {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    timeout(PATIENCE, lines.next_line()).await.expect("a line in time").unwrap().expect("a line")
}
