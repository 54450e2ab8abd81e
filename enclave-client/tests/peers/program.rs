//! Two programs and a probe, as processes.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Output, Stdio},
    thread,
};

use countersign_simulator::Module;
use countersign_test_support::logs;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    rig::{Directory, World, config},
    road::Road,
};

/// A world on disk, for programs.
struct Disk {
    world: World,
    directory: Directory,
}

impl Disk {
    fn new() -> Self {
        let (world, directory) = (World::new(), Directory::new());
        world.root.save(directory.0.join("root")).unwrap();
        fs::write(directory.0.join("signer.pem"), world.signer.public_pem()).unwrap();
        Self { world, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs an enclave whose application ends when its standard input does.
    fn run(&self, image: &str, manifest: &Path, script: &str) -> Running {
        let mut child = program()
            .args(["run", "--log", "json", "--host", "direct", "--wait-attested", "0", "--manifest"])
            .arg(manifest)
            .arg("--config-maps")
            .arg(&self.directory.0)
            .arg("--ingress-listen")
            .arg(format!("unix:{}", self.directory.0.display()))
            .arg("--danger-software-nsm")
            .arg(self.path("root"))
            .args(["--danger-image", image, "--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(logs::kept("peer", child.stderr.take().unwrap()));
        Running { child, log: Some(log) }
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_countersign-enclave"))
}

struct Running {
    child: Child,
    log: Option<BufReader<logs::Kept<ChildStderr>>>,
}

impl Running {
    /// Reads the log up to a line with this code; the rest is read by somebody else, so that the pipe never fills.
    fn wait_for(&mut self, code: &str) {
        let mut log = self.log.take().unwrap();
        let mut seen = String::new();
        while !seen.contains(code) {
            assert_ne!(log.read_line(&mut seen).unwrap(), 0, "it ended: {seen}");
        }
        thread::spawn(move || log.read_to_end(&mut Vec::new()));
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_talk_and_a_probe_says_who_answers() {
    let disk = Disk::new();
    let (driver, worker) = (Module::from_image("driver"), Module::from_image("worker"));
    let application = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = application.local_addr().unwrap().port();
    let signer = "configSignerFile: signer.pem";

    disk.write("driver-config/peer.yaml", &disk.world.signer.sign(config(1, &[&driver], &[])));
    let text = format!(
        "version: v1\negress: {{ proxy_port: 0 }}\npeers:\n  - {{ listenPort: {port}, configMap: driver-config, {signer} }}\n"
    );
    let mut callee = disk.run("worker", &disk.write("worker.yaml", &text), "read end");
    callee.wait_for("peer-listens");
    let socket = disk.path(&format!("{port}.sock"));
    let road = Road::to(socket.clone()).await;
    let at = road.address;

    let believed = disk.world.signer.sign(config(1, &[&worker], &[at.port()]));
    let believed = disk.write("worker-config/peer.yaml", &believed);
    let text = format!(
        "version: v1\negress: {{ proxy_port: 0 }}\noutboundConnections:\n  - {{ type: enclave, fqdn: 127.0.0.1, port: {}, configMap: worker-config, {signer} }}\n",
        at.port()
    );
    let mut caller = disk.run("driver", &disk.write("driver.yaml", &text), "echo $http_proxy; read end");
    caller.wait_for("local proxy listens");
    let proxy = caller.line();
    let mut near = TcpStream::connect(proxy.strip_prefix("http://").unwrap()).await.unwrap();
    near.write_all(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 39];
    near.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 Connection established\r\n\r\n");
    let (mut far, _) = application.accept().await.unwrap();
    near.write_all(b"from enclave to enclave").await.unwrap();
    let mut said = [0; 23];
    far.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"from enclave to enclave");

    let probe = |signer: &Path, more: &[&str]| -> Output {
        let mut probe = program();
        probe
            .args(["peer", "probe"])
            .arg(format!("unix:{}", socket.display()))
            .arg("--config")
            .arg(&believed);
        probe.arg("--signer").arg(signer).arg("--danger-root").arg(disk.path("root/root.der"));
        probe.args(more).output().unwrap()
    };
    let probed = probe(&disk.path("signer.pem"), &["--output", "json"]);
    assert_eq!(probed.status.code(), Some(0), "{probed:?}");
    let probed: serde_json::Value = serde_json::from_slice(&probed.stdout).unwrap();
    assert_eq!(
        (&probed["ok"], &probed["measurement"], &probed["module_id"], &probed["root"]),
        (&true.into(), &"release 0".into(), &worker.module_id.into(), &"danger-simulated".into())
    );
    assert_eq!(probed["pcrs"]["PCR0"], hex::encode(worker.pcrs[&0]));

    // Another signer's word is not enough to ask.
    let other = disk.write("other.pem", &crate::rig::Signer::new().public_pem());
    let refused = probe(&other, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().ends_with("(peer-config-signature)\n"));
}

#[test]
fn peers_without_config_maps_are_wrong_usage() {
    let disk = Disk::new();
    let text = "version: v1\negress: { proxy_port: 0 }\npeers:\n  - { listenPort: 7, configMap: x, configSignerFile: signer.pem }\n";
    let manifest = disk.write("m.yaml", text);
    let ended =
        program().args(["run", "--host", "direct", "--manifest"]).arg(manifest).args(["--", "true"]).output();
    let ended = ended.unwrap();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(String::from_utf8(ended.stderr).unwrap().contains("add --config-maps DIR"));
}

/// `peer config`, then `peer check` of what it wrote.
#[test]
fn what_config_writes_check_verifies() {
    let disk = Disk::new();
    let worker = Module::from_image("worker");
    disk.write("1.4.1.json", &worker.pcr_json());
    disk.write("key.pem", RFC_8410);
    let manifest = format!(
        "version: v1\nname: spark-worker\npeers:\n  - {{ listenPort: 7076, configMap: x, configSha256: '{}' }}\n",
        "0".repeat(64)
    );
    disk.write("m.yaml", &manifest);
    let run = |words: &[&str]| program().current_dir(&disk.directory.0).args(words).output().unwrap();
    let made = run(&[
        "peer",
        "config",
        "--manifest",
        "m.yaml",
        "--measurements",
        "1.4.1.json",
        "--sign",
        "key.pem",
        "--serial",
        "7",
    ]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    fs::write(disk.path("map.yaml"), &made.stdout).unwrap();
    let note = String::from_utf8(made.stderr).unwrap();
    let (_, pem) = note.split_once('\n').unwrap();
    disk.write("pub.pem", pem);
    let checked = run(&["peer", "check", "map.yaml", "--signer", "pub.pem", "--output", "json"]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let checked: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(
        (&checked["name"], &checked["serial"], &checked["ports"]),
        (&"spark-worker".into(), &7.into(), &serde_json::json!([7076]))
    );
    assert_eq!(checked["measurements"][0]["name"], "1.4.1");
    // The same by its hash, and another's hash not.
    let hash = checked["sha256"].as_str().unwrap().to_owned();
    assert_eq!(run(&["peer", "check", "map.yaml", "--sha256", &hash]).status.code(), Some(0));
    let other = run(&["peer", "check", "map.yaml", "--sha256", &"0".repeat(64), "--output", "json"]);
    assert_eq!(other.status.code(), Some(1));
    let other: serde_json::Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!((&other["ok"], &other["code"]), (&false.into(), &"peer-config-hash".into()));
    assert_eq!(run(&["peer", "check", "map.yaml"]).status.code(), Some(2));
    assert_eq!(run(&["peer", "check", "nothing.yaml", "--sha256", &hash]).status.code(), Some(2));
}

/// RFC 8410 section 10.3.
const RFC_8410: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
