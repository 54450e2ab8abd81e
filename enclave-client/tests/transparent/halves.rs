//! Both halves as programs: the enclave in a namespace with nothing but loopback, the parent
//! machine in another, and a UNIX socket between them in the place of vsock.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
};

use countersign_enclave::transparent::write_resolv_conf;

use super::{
    enclave::web_server,
    namespace::{Scratch, inside, mount_over, outcome},
};

const MANIFEST: &str = "\
version: v1
egress:
  allow:
    - web.example:80
    - v6.example:8080
    - 10.1.2.3:80
    - 10.0.0.0/8:80
";

/// Everything that an enclave's programs need, through `run` and `host` as they are installed.
#[test]
fn an_enclave_with_no_network_of_its_own() {
    inside("halves::an_enclave_with_no_network_of_its_own", || async {
        let parent = Parent::start("halves").await;
        let curl = ["curl", "--silent", "--show-error", "--noproxy", "*"];
        let run = async |url: &str| parent.enclave("names", "", &[&curl[..], &[url]].concat()).await;
        for url in ["http://web.example/", "http://v6.example:8080/"] {
            let (code, out, log) = run(url).await;
            assert_eq!((code, &*out), (Some(0), "hello"), "{url} {log}");
        }
        // An address, which the host half dials: 10.1.2.3 is the parent's own here.
        let (code, out, log) = run("http://10.1.2.3/").await;
        assert_eq!((code, &*out), (Some(0), "hello"), "{log}");
        let left_out = "use the HTTP proxy for: egress.allow[3] (line 7): allow 10.0.0.0/8:80";
        assert!(log.contains(left_out), "{log}");
        // Its neighbour is allowed by the larger network, which is not listened for.
        let (code, _, log) = run("http://10.1.2.4/").await;
        assert_eq!(code, Some(7), "{log}");
        let (code, _, log) = run("http://elsewhere.example/").await;
        assert_eq!(code, Some(6), "{log}");
        assert!(log.contains("name-denied") && log.contains("elsewhere.example"), "{log}");
    });
}

/// The same through a TUN device: networks of any size, and every port.
#[test]
fn an_enclave_with_a_tun_device() {
    if !Path::new("/dev/net/tun").exists() {
        eprintln!("SKIPPED halves::an_enclave_with_a_tun_device: there is no /dev/net/tun here");
        return;
    }
    inside("halves::an_enclave_with_a_tun_device", || async {
        let parent = Parent::start("halves-tun").await;
        let curl = ["curl", "--silent", "--show-error", "--noproxy", "*"];
        let run = async |url: &str| parent.enclave("tun", "", &[&curl[..], &[url]].concat()).await;
        for url in ["http://web.example/", "http://v6.example:8080/", "http://10.1.2.3/"] {
            let (code, out, log) = run(url).await;
            assert_eq!((code, &*out), (Some(0), "hello"), "{url} {log}");
        }
        // In an allowed network, at a port that is not: refused, and the rule is that there is none.
        let (code, _, log) = run("http://10.1.2.3:81/").await;
        assert_eq!(code, Some(7), "{log}");
        assert!(log.contains("10.1.2.3:81") && log.contains("no rule allows it"), "{log}");
        let (code, _, log) = run("http://elsewhere.example/").await;
        assert_eq!(code, Some(6), "{log}");
        // Where no rule allows anything there is no route.
        let (code, _, log) = run("http://192.0.2.1/").await;
        assert_eq!(code, Some(7), "{log}");
        assert!(!log.contains("not-opened"), "{log}");
    });
}

#[test]
fn a_missing_capability_is_named_and_nothing_is_started() {
    inside("halves::a_missing_capability_is_named_and_nothing_is_started", || async {
        let parent = Parent::start("capability").await;
        for (way, capability, word) in [
            ("names", "net_admin", "CAP_NET_ADMIN"),
            ("names", "net_bind_service", "CAP_NET_BIND_SERVICE"),
            ("tun", "net_admin", "CAP_NET_ADMIN"),
        ] {
            let without = format!("setpriv --bounding-set=-{capability} --inh-caps=-{capability}");
            let (code, out, log) = parent.enclave(way, &without, &["echo", "started"]).await;
            assert_ne!(code, Some(0));
            assert_eq!(out, "", "{log}");
            assert!(log.contains(word), "{log}");
        }
    });
}

/// A machine with servers, and the host half on it.
struct Parent {
    scratch: Scratch,
    _host: Ended,
}

impl Parent {
    async fn start(test: &str) -> Self {
        let scratch = Scratch::new(test);
        for words in
            ["link set lo up", "address add 10.1.2.3/32 dev lo", "address add 2001:db8::7/128 dev lo nodad"]
        {
            let done = Command::new("ip").args(words.split(' ')).status().unwrap();
            assert!(done.success(), "ip {words}");
        }
        // Also with a dot: a host half that asks for absolute names finds no others, since glibc
        // compares letter by letter.
        let hosts =
            "127.0.0.1 localhost\n10.1.2.3 web.example web.example.\n2001:db8::7 v6.example v6.example.\n";
        mount_over(&scratch.file("hosts", hosts), "/etc/hosts");
        mount_over(&scratch.file("nsswitch.conf", "hosts: files\n"), "/etc/nsswitch.conf");
        web_server((Ipv4Addr::new(10, 1, 2, 3), 80).into(), "hello").await;
        web_server("[2001:db8::7]:8080".parse().unwrap(), "hello").await;
        scratch.file("plain-hosts", "127.0.0.1 localhost\n");
        scratch.file("plain-nsswitch.conf", "hosts: files dns\n");
        scratch.file("countersign.yaml", MANIFEST);
        write_resolv_conf(&scratch.path("resolv.conf")).unwrap();
        let socket = scratch.path("host.sock");
        let host = host_half(&socket);
        Self { scratch, _host: host }
    }

    /// Runs a program in the enclave: namespaces of its own, files of its own, `run` in front.
    async fn enclave(&self, way: &str, prefix: &str, words: &[&str]) -> (Option<i32>, String, String) {
        let script = "cd \"$0\" \
            && mount --bind plain-hosts /etc/hosts \
            && mount --bind plain-nsswitch.conf /etc/nsswitch.conf \
            && mount --bind resolv.conf /etc/resolv.conf \
            && exec $PREFIX \"$@\"";
        let mut command = tokio::process::Command::new("unshare");
        command
            .args(["--net", "--mount", "sh", "-c", script])
            .arg(self.scratch.path(""))
            .arg(PROGRAM)
            .args(["run", "--manifest", "countersign.yaml", "--host"])
            .arg(format!("unix:{}", self.scratch.path("host.sock").display()))
            .args(["--transparent", way, "--resolv-conf", "write", "--"])
            .args(words)
            .env("PREFIX", prefix)
            .env_remove("COUNTERSIGN_LOG")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let ended = outcome(command).await;
        let written = fs::read_to_string(self.scratch.path("resolv.conf")).unwrap();
        assert!(written.contains("nameserver 127.0.0.1"), "{written}");
        ended
    }
}

/// Serving when this returns.
fn host_half(socket: &Path) -> Ended {
    let mut host = Command::new(PROGRAM)
        .arg("host")
        .arg("--egress")
        .arg(format!("unix:{}", socket.display()))
        .args(["--logs", "off", "--outer-limit", "none"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(host.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("host half serves") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the host half did not start");
    }
    // Read on, so that its log does not block.
    std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
    Ended(host)
}

/// Killed when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign-enclave");
