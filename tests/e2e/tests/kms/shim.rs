//! moto and its shim in a process of their own, and a proxy and an enclave around them.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
};

use countersign_e2e::{PATIENCE, Proxy, Recorder, SERVER_NAME, Scratch, Setup};
use countersign_test_support::logs;
use serde_json::Value;
use tokio::{process::Command, time::timeout};

pub(crate) const PROXY: &str = env!("CARGO_BIN_EXE_e2e-proxy");
pub(crate) const ENCLAVE: &str = env!("CARGO_BIN_EXE_e2e-enclave");
pub(crate) const REGION: &str = "eu-west-1";

/// The words that the session policy is found by.
pub(crate) const POLICY: &str = r#"{ "Version": "2012-10-17", "Statement": [{ "Sid": "OnlyKms", "Effect": "Allow", "Action": "kms:*", "Resource": "*" }] }"#;

/// The shim, which ends with this value.
pub(crate) struct Shim {
    process: Child,
    scratch: Scratch,
    ready: Value,
}

impl Shim {
    /// `None`, and a line that says so, where `make setup-test` has not been run.
    pub(crate) fn start() -> Option<Self> {
        let python = python()?;
        let scratch = Scratch::new("kms");
        let process = std::process::Command::new(python)
            .arg(repository().join("tests/python/kms_shim.py"))
            .arg("--root")
            .arg(scratch.path().join("root.der"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = process.unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { process, scratch, ready: serde_json::from_str(&line).expect("the shim starts") })
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap()
    }

    /// Where it listens: `port` is KMS behind TLS, `moto` is STS and everything else without.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        let port = u16::try_from(self.ready[name].as_u64().unwrap()).unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Variables of whoever is moto's user `proxy`, and nobody else on this machine.
    pub(crate) fn proxy_environment(&self) -> Vec<(&'static str, String)> {
        let none = self.scratch.path().join("none").display().to_string();
        vec![
            ("AWS_ACCESS_KEY_ID", self.text("proxy_access_key").to_owned()),
            ("AWS_SECRET_ACCESS_KEY", self.text("proxy_secret").to_owned()),
            ("AWS_CONFIG_FILE", none.clone()),
            ("AWS_SHARED_CREDENTIALS_FILE", none),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// A proxy that gives `payments` the role, asks STS at `sts` and leads to KMS at `kms`.
    pub(crate) async fn proxy(&self, sts: SocketAddr, kms: SocketAddr) -> Proxy {
        let tables = format!(
            "[sts]\nregion = \"{REGION}\"\nendpoint = \"http://{sts}\"\n[[sts.role]]\nworkload = \"payments\"\n\
             arn = \"{}\"\nsession_policy = '{POLICY}'\n",
            self.text("role")
        );
        let setup = Setup { tables, environment: self.proxy_environment(), ..Setup::to(&[kms]) };
        let proxy = Proxy::program(setup, PROXY).await;
        // The shim believes documents of this proxy's world.
        std::fs::copy(proxy.directory().join("root.der"), self.scratch.path().join("root.der")).unwrap();
        proxy
    }

    /// Runs boto3 as the application of an enclave with no AWS secret in it.
    pub(crate) async fn application(&self, proxy: &Proxy, way: &Way, arguments: &[&str]) -> Output {
        let directory = self.scratch.path();
        std::fs::write(directory.join("kms.pem"), self.text("anchor")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let manifest = format!(
            "version: v1\negress: {{ proxy_port: 0 }}\noutboundConnections:\n  - type: proxy\n    fqdn: {}\n    port: {}\n    \
             proxyUrl: https://{SERVER_NAME}:8443\n    proxyAnchorFile: {}\n    transport:\n      \
             attestation: tcp:{}\n      gateway: tcp:{}\nkms_proxy:\n  listen_port: {port}\n  anchor_file: kms.pem\n  \
             credentials: proxy\n  endpoints: {{ {REGION}: 'https://{}' }}\n  keys: ['{}']\n",
            way.kms.address.ip(),
            way.kms.address.port(),
            proxy.directory().join("server.pem").display(),
            way.attestation.address,
            way.gateway.address,
            way.kms.address,
            self.text("key"),
        );
        std::fs::write(directory.join("enclave.yaml"), manifest).unwrap();
        let mut command = Command::new(ENCLAVE);
        command
            .args(["run", "--danger-image", "payments-1.0", "--danger-software-nsm"])
            .arg(proxy.root_directory())
            .arg("--manifest")
            .arg(directory.join("enclave.yaml"))
            .arg("--")
            .arg(python().unwrap())
            .arg(repository().join("tests/python/kms_client.py"))
            .arg(self.text("key"))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_CONFIG_FILE", directory.join("none"))
            .env("AWS_SHARED_CREDENTIALS_FILE", directory.join("none"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.expect("an end in time").unwrap();
        logs::keep("enclave", &output.stderr);
        output
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Everything that passes the proxy, at both of its sides.
pub(crate) struct Way {
    pub(crate) attestation: Recorder,
    pub(crate) gateway: Recorder,
    pub(crate) kms: Recorder,
    pub(crate) sts: Recorder,
}

impl Way {
    /// The recorders, and a proxy between them.
    pub(crate) async fn around(shim: &Shim) -> (Self, Proxy) {
        let kms = Recorder::start(shim.address("port")).await;
        let sts = Recorder::start(shim.address("moto")).await;
        let proxy = shim.proxy(sts.address, kms.address).await;
        let attestation = Recorder::start(proxy.attestation).await;
        let gateway = Recorder::start(proxy.gateway).await;
        (Self { attestation, gateway, kms, sts }, proxy)
    }
}

/// The Python environment that `make setup-test` makes.
pub(crate) fn python() -> Option<PathBuf> {
    let path = repository().join("target/venv/bin/python");
    if path.exists() {
        return Some(path);
    }
    // Not `eprintln!`, which the test harness swallows.
    let _ = writeln!(std::io::stderr(), "SKIPPED: no {}; `make setup-test` installs moto", path.display());
    None
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
