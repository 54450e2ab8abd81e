use std::{
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use countersign_e2e::{Collector, PATIENCE, Proxy, SERVER_NAME, Scratch};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

const ENCLAVE: &str = env!("CARGO_BIN_EXE_e2e-enclave");

/// The client and its host half as programs, with an application that waits.
pub(crate) struct Way {
    scratch: Scratch,
    host_flags: Vec<String>,
    client: Child,
    host: Child,
    /// The local proxy.
    pub(crate) local: SocketAddr,
    /// The application ends with it.
    input: ChildStdin,
}

/// What a [`Way`] is made of.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    /// Lines of the manifest after `egress.proxy_port`.
    pub(crate) manifest: String,
    /// Flags of both programs.
    pub(crate) flags: Vec<String>,
    /// Whose root the client's software module has.
    pub(crate) proxy: Option<&'a Proxy>,
    /// Variables of both programs.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl<'a> Plan<'a> {
    /// Ungated destinations, and a collector that both programs tell.
    pub(crate) fn direct(collector: &Collector, to: &[SocketAddr]) -> Self {
        let manifest = allow(to, collector.address);
        Self { manifest, flags: tell(&collector.url()), ..Self::default() }
    }

    /// Destinations through a proxy, and a collector that both programs tell.
    pub(crate) fn gated(collector: &Collector, proxy: &'a Proxy, to: &[SocketAddr]) -> Self {
        let anchor = proxy.directory().join("server.pem");
        let (attestation, gateway) = (proxy.attestation, proxy.gateway);
        let one = |to: &SocketAddr| {
            format!(
                "  - type: proxy\n    fqdn: \"{}\"\n    port: {}\n    proxyUrl: https://{SERVER_NAME}:8443\n    \
                 proxyAnchorFile: {}\n    transport:\n      attestation: tcp:{attestation}\n      \
                 gateway: tcp:{gateway}\n",
                to.ip(),
                to.port(),
                anchor.display()
            )
        };
        let connections: String = to.iter().map(one).collect();
        let manifest = format!("{}outboundConnections:\n{connections}", allow(&[], collector.address));
        Self { manifest, flags: tell(&collector.url()), proxy: Some(proxy), ..Self::default() }
    }
}

fn allow(to: &[SocketAddr], collector: SocketAddr) -> String {
    let all: Vec<_> = to.iter().chain([&collector]).map(|to| format!("\"{to}\"")).collect();
    format!("  allow: [{}]\n", all.join(", "))
}

/// Flags for a collector.
pub(crate) fn tell(url: &str) -> Vec<String> {
    vec!["--otlp-endpoint".to_owned(), url.to_owned()]
}

impl Way {
    /// Starts both, and waits until the application runs: with a proxy, the enclave is attested then.
    pub(crate) async fn start(plan: Plan<'_>) -> Self {
        let Plan { manifest, flags, proxy, variables } = plan;
        let scratch = Scratch::new("traces");
        let host = start_host(scratch.path(), &flags, &variables).await;
        let file = scratch.path().join("countersign.yaml");
        std::fs::write(&file, format!("version: v1\negress:\n  proxy_port: 0\n{manifest}")).unwrap();
        let mut client = Command::new(ENCLAVE);
        client.arg("run").arg("--host").arg(format!("unix:{}", socket(scratch.path()).display()));
        client.arg("--manifest").arg(file).args(&flags);
        if let Some(proxy) = proxy {
            client.args(["--danger-image", "payments-1.0", "--danger-software-nsm"]).arg(proxy.root_directory());
        }
        // The application says where its proxy is, and ends with its input.
        client.args(["--", "sh", "-c", "echo ${http_proxy#http://}; exec cat > /dev/null"]);
        client.envs(variables).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client = client.kill_on_drop(true).spawn().unwrap();
        let input = client.stdin.take().unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("a line in time").unwrap().expect("a line");
        Self { scratch, host_flags: flags, client, host, local: line.parse().unwrap(), input }
    }

    /// Asks for a tunnel as an application does, with these fields; its head is answered.
    pub(crate) async fn connect(&self, to: SocketAddr, fields: &str) -> (TcpStream, String) {
        self.ask(&format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{fields}\r\n")).await
    }

    /// Sends any head to the local proxy and reads the head of its answer.
    pub(crate) async fn ask(&self, head: &str) -> (TcpStream, String) {
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
    pub(crate) async fn restart_host(&mut self) {
        self.host.kill().await.unwrap();
        self.host = start_host(self.scratch.path(), &self.host_flags, &[]).await;
    }

    /// Private memory of the client, in KiB.
    pub(crate) fn client_kib(&self) -> u64 {
        let rollup = format!("/proc/{}/smaps_rollup", self.client.id().unwrap());
        let text = std::fs::read_to_string(rollup).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends the application, and the host half after it; both tell what is left.
    pub(crate) async fn end(mut self) {
        drop(self.input);
        let ended = timeout(PATIENCE, self.client.wait()).await.expect("an end in time").unwrap();
        assert_eq!((ended.code(), ended.signal()), (Some(0), None));
        let pid = Pid::from_raw(self.host.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let ended = timeout(PATIENCE, self.host.wait()).await.expect("an end in time").unwrap();
        assert_eq!(ended.code(), Some(0));
    }
}

async fn start_host(directory: &Path, flags: &[String], variables: &[(&'static str, String)]) -> Child {
    let socket = socket(directory);
    let mut host = Command::new(ENCLAVE);
    host.args(["host", "--outer-limit", "none", "--logs", "off", "--drain", "0", "--egress"]);
    host.arg(format!("unix:{}", socket.display())).args(flags);
    host.envs(variables.iter().map(|(name, value)| (name, value)));
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
pub(crate) async fn refused(manifest: &str, flags: &[String], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let scratch = Scratch::new("traces");
    let file = scratch.path().join("countersign.yaml");
    std::fs::write(&file, manifest).unwrap();
    let mut client = Command::new(ENCLAVE);
    client.args(["run", "--host", "direct", "--manifest"]).arg(file).args(flags);
    client.args(["--", "true"]).envs(variables.iter().copied()).kill_on_drop(true);
    let output = timeout(PATIENCE, client.stdin(Stdio::null()).output()).await.expect("an end in time").unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
