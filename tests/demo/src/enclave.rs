use std::{ffi::OsStr, net::SocketAddr, path::Path, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    child::{Child, Program},
    failure::Failure,
    programs::Programs,
    proxy::Proxy,
    world::World,
};

/// A simulated enclave: the real client, and a shell with curl as its application.
pub(crate) struct Enclave {
    /// The program.
    pub(crate) child: Child,
    /// Its local proxy, as the application found it in its environment.
    pub(crate) local: Option<SocketAddr>,
}

impl Enclave {
    /// Starts `countersign-enclave run` with `script` as its application.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(
        name: &'static str,
        image: &str,
        script: &str,
        programs: &Programs,
        world: &World,
        proxy: &Proxy,
        upstream: SocketAddr,
    ) -> Result<Self, Failure> {
        let manifest = world.write(&format!("enclaves/{name}.yaml"), &manifest(proxy, upstream))?;
        let root = world.path("root");
        let arguments: [&OsStr; 14] = [
            "run".as_ref(),
            "--manifest".as_ref(),
            manifest.as_ref(),
            "--wait-attested".as_ref(),
            "3".as_ref(),
            "--danger-software-nsm".as_ref(),
            root.as_ref(),
            "--danger-image".as_ref(),
            image.as_ref(),
            "--".as_ref(),
            "sh".as_ref(),
            "-c".as_ref(),
            script.as_ref(),
            name.as_ref(),
        ];
        let authority = world.path(UPSTREAM_AUTHORITY);
        // All that the application is told by the demo: whose certificates to trust.
        let environment = [("CURL_CA_BUNDLE", authority.as_os_str())];
        let logs = world.path("logs");
        let program = Program { name, path: &programs.enclave, logs: &logs, environment: &environment };
        Ok(Self { child: Child::start(&program, &arguments)?, local: None })
    }

    /// Waits until the application tells which proxy it found.
    ///
    /// # Errors
    /// It found none.
    pub(crate) async fn finds_proxy(&mut self) -> Result<SocketAddr, Failure> {
        let (found, _) = self.child.line("https_proxy=").await?;
        let address = found.trim_start_matches("http://").trim_end_matches('/').parse();
        let address = address.map_err(|_| {
            Failure::new("https_proxy=http://127.0.0.1:PORT in the application's environment", found)
                .log(self.child.log())
        })?;
        self.local = Some(address);
        Ok(address)
    }

    /// Asks the local proxy for a tunnel, as the application would; status and code of the answer.
    ///
    /// # Errors
    /// No answer.
    pub(crate) async fn asks_for(&self, target: &str) -> Result<(u16, String), Failure> {
        let local = self.local.ok_or_else(|| Failure::new("a local proxy", "none so far"))?;
        let log = |error: std::io::Error| {
            Failure::new(format!("an answer of the local proxy at {local}"), error.to_string())
                .log(self.child.log())
        };
        timeout(ANSWER, connect(local, target))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(log)
    }
}

/// File of the CA above the upstream, in the working folder.
pub(crate) const UPSTREAM_AUTHORITY: &str = "tls/upstream-ca.pem";

/// The application's first words.
pub(crate) const FINDS_PROXY: &str = "echo \"https_proxy=$https_proxy\"";

async fn connect(local: SocketAddr, target: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(local).await?;
    stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
    let mut text = Vec::new();
    // An open tunnel stays open: its head is enough.
    while !text.windows(4).any(|four| four == b"\r\n\r\n") || !text.starts_with(b"HTTP/1.1 200") {
        if stream.read_buf(&mut text).await? == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let problem: Option<Value> = serde_json::from_str(body).ok();
    let code = problem.as_ref().and_then(|problem| problem["code"].as_str()).unwrap_or_default();
    Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, code.to_owned()))
}

fn manifest(proxy: &Proxy, upstream: SocketAddr) -> String {
    let (attestation, gateway) = (proxy.attestation, proxy.gateway);
    let (name, port) = (crate::world::UPSTREAM_NAME, upstream.port());
    format!(
        r#"# Written by countersign-demo.
version: v1
outboundConnections:
  - type: proxy
    fqdn: {name}
    port: {port}
    proxyUrl: https://localhost:{gateway}
    attestationPort: {attestation}
    proxyAttestationIntervalSeconds: 15
    proxyAnchorFile: ../tls/ca.pem
egress:
  proxy_port: 0
"#
    )
}

/// Whether curl is there; everything else of the story is made here.
///
/// # Errors
/// It is not.
pub(crate) async fn check_curl() -> Result<String, Failure> {
    let version = crate::programs::run(Path::new("curl"), &["--version"]).await?;
    Ok(String::from_utf8_lossy(&version).split(' ').take(2).collect::<Vec<_>>().join(" "))
}

const ANSWER: Duration = Duration::from_secs(10);
