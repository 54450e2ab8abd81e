//! The program as a user meets it: exit codes, what it prints, signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "otlp")]
#[path = "program/telemetry.rs"]
mod telemetry;

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use countersign_test_support::logs;

#[test]
fn a_bad_configuration_names_every_mistake_and_nothing_starts() {
    let place = Place::new("bad");
    place.write(&place.good().replace("[trust]\nroot = \"aws\"", "[trust]\nrot = \"aws\""));
    for words in [&["config", "check"][..], &["serve"]] {
        let output = place.run(words);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains("countersign.toml:12:1: trust.rot: unknown field; did you mean \"root\"?"),
            "{stderr}"
        );
        assert!(stderr.contains("trust.root: missing"), "{stderr}");
        assert!(
            stderr.ends_with("error: 2 mistakes in the configuration; nothing was started\n"),
            "{stderr}"
        );
        assert!(!stderr.contains('\x1b'), "colours are for terminals");
    }
    assert!(!place.0.join("state").exists());
}

#[test]
fn exit_codes_tell_mistakes_from_wrong_usage() {
    let place = Place::new("codes");
    place.write(&place.good());
    assert_eq!(place.run(&["config", "check"]).status.code(), Some(0));
    assert_eq!(place.run(&["config", "check", "--config", "absent.toml"]).status.code(), Some(2));
    assert_eq!(place.run(&["config", "chek"]).status.code(), Some(2));
    assert_eq!(place.run(&["measurement", "revoke", "payments"]).status.code(), Some(2));
    let output = place.run(&["measurement", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: no store at "));
}

/// The soft limit is a process's own to raise: by default to 20,000 and twice 50,000 connections, and 512 more.
#[test]
fn files_may_be_open_as_many_as_the_limits_need_or_the_system_allows() {
    let place = Place::new("files");
    let start = |configuration: &str| {
        place.write(configuration);
        let served = place.command(&["serve", "--ready-file", "ready.json"]);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -Sn 300 && ulimit -Hn 4096 && exec \"$0\" \"$@\""]);
        command.arg(served.get_program()).args(served.get_args()).current_dir(&place.0);
        Proxy::of(&mut command)
    };
    let limits = |proxy: &Proxy| {
        let limits = fs::read_to_string(format!("/proc/{}/limits", proxy.child.id())).unwrap();
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        files.split_whitespace().take(2).map(|number| number.parse().unwrap()).collect::<Vec<u32>>()
    };
    let mut proxy = start(&place.good());
    let warning = proxy.wait_for("few-descriptors");
    assert_eq!((warning["open_files"].as_u64(), warning["wanted"].as_u64()), (Some(4096), Some(120_512)));
    assert_eq!(limits(&proxy), [4096, 4096]);
    drop(proxy);

    let few = "[limits]\nattestation_connections = 100\ngateway_connections = 200\n";
    let mut proxy = start(&format!("{}{few}", place.good()));
    proxy.wait_for("ready");
    assert_eq!(limits(&proxy), [1012, 4096]);
}

#[test]
fn it_serves_sees_a_revocation_reloads_and_stops() {
    let place = Place::new("serve");
    place.write(&place.good());
    let mut proxy = Proxy::start(&place);
    proxy.wait_for("ready");
    let ready: serde_json::Value =
        serde_json::from_slice(&fs::read(place.0.join("ready.json")).unwrap()).unwrap();
    for port in ["attestation", "gateway", "admin"] {
        let address: std::net::SocketAddr = ready[port].as_str().unwrap().parse().unwrap();
        std::net::TcpStream::connect(address).unwrap();
    }

    let second = place.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr).unwrap().contains("another countersign-proxy serves from"));

    let revoked = place.run(&["measurement", "revoke", "payments/v1", "--reason", "a test"]);
    assert_eq!(
        String::from_utf8(revoked.stdout).unwrap(),
        "revoked payments/v1 in epoch 2: no session to end, no tunnel to cut\n"
    );
    assert_eq!(proxy.wait_for("policy-in-force")["epoch"], 2);
    let again = place.run(&["measurement", "revoke", "payments/v1"]);
    assert_eq!(again.status.code(), Some(1));
    let list = place.run(&["measurement", "list", "--output", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!((list[0]["state"].as_str(), list[0]["reason"].as_str()), (Some("revoked"), Some("a test")));

    place.write("nonsense = 1\n");
    proxy.signal("HUP");
    let refused = proxy.wait_for("reload-refused");
    assert_eq!((refused["line"].as_u64(), refused["column"].as_u64()), (Some(1), Some(1)));

    place.write(&place.good().replace("payments", "invoices"));
    proxy.signal("HUP");
    assert_eq!(proxy.wait_for("kept-revoked")["measurement"], "invoices/v1");
    assert_eq!(proxy.wait_for("policy-in-force")["epoch"], 3);

    proxy.signal("TERM");
    proxy.wait_for("stopped");
    assert_eq!(proxy.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_session_root_is_made_once_and_served_under() {
    let place = Place::new("session-ca");
    place.write(&place.good().replace("[trust]", "[session_ca]\nfile = \"root.pem\"\n[trust]"));
    let absent = place.run(&["serve"]);
    assert_eq!(absent.status.code(), Some(1));
    let stderr = String::from_utf8(absent.stderr).unwrap();
    assert!(stderr.contains("make it once with `countersign-proxy session-ca make --out "), "{stderr}");

    let made = place.run(&["session-ca", "make", "--out", "root.pem"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let again = place.run(&["session-ca", "make", "--out", "root.pem"]);
    assert_eq!(again.status.code(), Some(1));
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert!(stderr.starts_with("error: root.pem stands already and is not written over"), "{stderr}");

    let mut proxy = Proxy::start(&place);
    assert!(proxy.wait_for("session-ca")["root"].as_str().unwrap().ends_with("root.pem"));
    proxy.wait_for("ready");
    assert!(!place.0.join("state/session-ca.pem").exists());
}

#[cfg(feature = "aws")]
#[test]
fn it_serves_under_a_root_in_kms() {
    use std::io::Write;

    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = repository.join("target/venv/bin/python");
    if !python.exists() {
        // Not `eprintln!`, which the test harness swallows.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: no {}; `make setup-test` installs moto", python.display());
        return;
    }
    let mut moto = Command::new(&python);
    moto.arg(repository.join("tests/python/moto_server.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    // It ends with its standard input, which ends with this test.
    let mut moto = moto.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(moto.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let endpoint = format!("http://127.0.0.1:{}", line.trim().strip_prefix("ready ").unwrap());
    let make_key = "import boto3, sys; kms = boto3.client('kms', endpoint_url=sys.argv[1]); \
                    print(kms.create_key(KeySpec='ECC_NIST_P384', KeyUsage='SIGN_VERIFY')['KeyMetadata']['Arn'])";
    let made = Command::new(&python).args(["-c", make_key, &endpoint]).envs(AWS).output().unwrap();
    let arn = String::from_utf8(made.stdout).unwrap().trim().to_owned();

    let place = Place::new("kms");
    let lines = format!("[session_ca]\nkms_key = \"{arn}\"\nendpoint = \"{endpoint}\"\n[trust]");
    place.write(&place.good().replace("[trust]", &lines));
    let mut proxy = Proxy::start_with(&place, AWS);
    assert_eq!(proxy.wait_for("session-ca")["root"], arn);
    proxy.wait_for("ready");
    drop(moto.stdin.take());
    moto.wait().unwrap();
}

/// moto looks at no credentials, and the SDK wants some.
#[cfg(feature = "aws")]
const AWS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_DEFAULT_REGION", "eu-central-1"),
];

struct Proxy {
    child: Child,
    log: Lines<BufReader<logs::Kept<ChildStderr>>>,
}

impl Proxy {
    fn start(place: &Place) -> Self {
        Self::start_with(place, [])
    }

    fn start_with<const N: usize>(place: &Place, environment: [(&str, &str); N]) -> Self {
        Self::of(place.command(&["serve", "--ready-file", "ready.json"]).envs(environment))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(logs::kept("proxy", child.stderr.take().unwrap())).lines();
        Self { child, log }
    }

    /// Reads the log until a line has this code.
    fn wait_for(&mut self, code: &str) -> serde_json::Value {
        for line in &mut self.log {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            if line["code"] == code {
                return line;
            }
        }
        panic!("the log ended before {code}");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-program-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let place = Self(path);
        let made = place.run(&["dev-certificate", "--dir", ".", "--name", "localhost"]);
        assert_eq!(made.status.code(), Some(0), "{made:?}");
        place
    }

    fn good(&self) -> String {
        let pcr = "a1".repeat(48);
        format!(
            r#"deployment = "demo"
state_directory = "state"
[listen]
attestation = "127.0.0.1:0"
gateway = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[tls]
certificate = "server.pem"
key = "server.key"
[trust]
root = "aws"
[[workload]]
name = "payments"
[[workload.measurement]]
name = "v1"
pcrs = {{ 0 = "{pcr}", 1 = "{pcr}", 2 = "{pcr}" }}
"#
        )
    }

    fn write(&self, text: &str) {
        fs::write(self.0.join("countersign.toml"), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-proxy"));
        command.args(words).current_dir(&self.0).env_remove("RUST_LOG").env_remove("COUNTERSIGN_CONFIG");
        command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
