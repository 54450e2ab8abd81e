//! `check`, `explain`, `schema` and `run --learn`, as processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

/// A directory with a manifest in it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str, manifest: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("countersign-commands-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("m.yaml"), manifest).unwrap();
        Self(directory)
    }

    /// Runs in the directory, so that files are named in short.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-enclave"));
        command.current_dir(&self.0).args(arguments).output().unwrap()
    }

    /// Exit code and standard output.
    fn outcome(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const MANIFEST: &str = "\
version: v1
egress:
  allow: ['**.mycorp.com:443', 10.0.0.0/8, 127.0.0.1, localhost, ok.test]
  deny: [auth.mycorp.com, 10.0.0.7]
outboundConnections:
  - { type: proxy, fqdn: kms.example, port: 443, proxyUrl: 'https://p.example' }
  - { type: enclave, fqdn: peer.example, port: 7, configMap: m }
";

#[test]
fn check_says_what_is_in_a_manifest() {
    let directory = Directory::new("check", MANIFEST);
    let warning = "peer.example:7 cannot be reached: nothing pins the peer's configuration, and whoever runs the cluster can write a ConfigMap: add configSigner, configSignerFile or configSha256";
    let text =
        format!("ok: 9 rules, 1 proxy, 1 warning\nm.yaml:7:5: outboundConnections[1]: warning: {warning}\n");
    assert_eq!(directory.outcome(&["check", "--manifest", "m.yaml"]), (0, text));
    let (code, printed) = directory.outcome(&["check", "--manifest", "m.yaml", "--output", "json"]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let warning = json!({"line": 7, "column": 5, "path": "outboundConnections[1]", "message": warning});
    assert_eq!((code, &printed["ok"], &printed["warnings"]), (0, &json!(true), &json!([warning])));
    assert_eq!(printed["proxies"], json!(["p.example"]));
    assert_eq!(printed["rules"][8], "egress.deny[1] (line 4): deny 10.0.0.7");
}

/// As `run` does where the transparent mode listens beside the application.
#[test]
fn check_warns_of_a_port_that_two_want() {
    let manifest = "version: v1\negress: { allow: ['a.example:8443', 'b.example:443'] }\ningress: [{ listen_port: 8443 }, { listen_port: 9000 }]\n";
    let directory = Directory::new("twice", manifest);
    let warning = "port 8443 stands in ingress and in an allow rule: the application must listen on 127.0.0.1, not on every address";
    let text = format!("ok: 2 rules, 0 proxies, 1 warning\nm.yaml: warning: {warning}\n");
    assert_eq!(directory.outcome(&["check", "--manifest", "m.yaml"]), (0, text));
    let (code, printed) = directory.outcome(&["check", "--manifest", "m.yaml", "--output", "json"]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &printed["warnings"]), (0, &json!([{"message": warning}])));
}

#[test]
fn check_names_every_mistake() {
    let directory = Directory::new("mistakes", "version: v1\nnmae: x\negress:\n  alow: []\n");
    let text = "m.yaml:2:1: nmae: unknown field, did you mean name?\nm.yaml:4:3: egress.alow: unknown field, did you mean allow?\n";
    assert_eq!(directory.outcome(&["check", "--manifest", "m.yaml"]), (2, text.to_owned()));
    let (code, printed) = directory.outcome(&["check", "--manifest", "m.yaml", "--output", "json"]);
    let expected = json!({"ok": false, "mistakes": [
        {"line": 2, "column": 1, "path": "nmae", "message": "unknown field, did you mean name?"},
        {"line": 4, "column": 3, "path": "egress.alow", "message": "unknown field, did you mean allow?"},
    ]});
    assert_eq!((code, serde_json::from_str::<Value>(&printed).unwrap()), (2, expected));
    let (code, printed) = directory.outcome(&["check", "--manifest", "none.yaml"]);
    assert_eq!((code, printed.starts_with("none.yaml: cannot be read: ")), (2, true), "{printed}");
}

#[test]
fn explain_names_the_rule() {
    let directory = Directory::new("explain", MANIFEST);
    for (asked, code, text) in [
        (
            "a.MyCorp.com.:443",
            0,
            "a.mycorp.com:443: allowed by egress.allow[0] (line 3): allow **.mycorp.com:443\n",
        ),
        (
            "auth.mycorp.com:443",
            1,
            "auth.mycorp.com:443: denied by egress.deny[0] (line 4): deny auth.mycorp.com\n",
        ),
        ("evil.com:443", 1, "evil.com:443: denied: no rule allows it\n"),
        (
            "a.mycorp.com:80",
            1,
            "a.mycorp.com:80: denied: no rule allows it\n  near: egress.allow[0] (line 3): allow **.mycorp.com:443, but for other ports\n",
        ),
        (
            "kms.example:443",
            0,
            "kms.example:443: allowed by outboundConnections[0] (line 6): allow kms.example:443\n  through the proxy p.example, while attested; it resolves the name and has rules of its own\n",
        ),
        (
            "peer.example:7",
            1,
            "peer.example:7: denied by outboundConnections[1] (line 7), a peer enclave whose configuration nothing pins: deny peer.example:7\n",
        ),
        ("0x0a000001:5432", 0, "10.0.0.1:5432: allowed by egress.allow[1] (line 3): allow 10.0.0.0/8\n"),
        // A name may lead to one address that is denied, and to another that is not.
        (
            "ok.test:443=169.254.169.254,10.0.0.7,[2001:db8::1]",
            0,
            "ok.test:443: allowed by egress.allow[4] (line 3): allow ok.test\n  169.254.169.254: denied: 169.254.169.254 is a link-local address, which only a rule for that very address or network allows\n  10.0.0.7: denied by egress.deny[1] (line 4): deny 10.0.0.7\n  2001:db8::1: may be dialled\n",
        ),
        (
            "ok.test:443=10.0.0.7",
            1,
            "ok.test:443: allowed by egress.allow[4] (line 3): allow ok.test\n  10.0.0.7: denied by egress.deny[1] (line 4): deny 10.0.0.7\n",
        ),
    ] {
        assert_eq!(
            directory.outcome(&["explain", "--manifest", "m.yaml", asked]),
            (code, text.to_owned()),
            "{asked}"
        );
    }
    // One that is denied is enough.
    let (code, printed) =
        directory.outcome(&["explain", "--manifest", "m.yaml", "ok.test:1", "evil.com:443"]);
    assert_eq!((code, printed.lines().count()), (1, 2));
}

#[test]
fn explain_resolves_when_asked() {
    let directory = Directory::new("resolve", MANIFEST);
    let (code, printed) =
        directory.outcome(&["explain", "--manifest", "m.yaml", "--resolve", "localhost:80"]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("\n  127.0.0.1: may be dialled\n"), "{printed}");
    // Reserved for names that never resolve (RFC 6761 section 6.4).
    let (code, printed) = directory.outcome(&[
        "explain",
        "--manifest",
        "m.yaml",
        "--resolve",
        "a.invalid:443",
        "kms.example:443",
    ]);
    assert_eq!(code, 1);
    assert!(printed.contains("\n  no address: "), "{printed}");
    // The proxy resolves that one.
    assert!(printed.ends_with("has rules of its own\n"), "{printed}");
}

/// Port 1 is nobody's: what passes is 502.
#[test]
fn explain_and_the_proxy_say_the_same() {
    const MANIFEST: &str = "\
version: v1
egress:
  proxy_port: 0
  allow: ['**.test', localhost, '127.0.0.0/8:1', '::1', 'host:1', '0.0.0.0/0', '::/0', '[fe80::1]:1']
  deny: [evil.test, '**.evil.test', 127.0.0.7, 10.1.0.0/16]
";
    let destinations: Vec<_> = "evil.test:1 EVIL.test.:1 x.evil.test:1 other:1 a..test:1 -a.test:1 user@a.test:1 localhost:1 \
        LOCALHOST.:1 127.0.0.1:1 127.0.0.1:2 127.1:1 0x7f000001:1 2130706433:1 0177.0.0.1:1 127.0.0.7:1 0x7f000007:1 \
        [::1]:1 [::ffff:127.0.0.1]:1 [::ffff:127.0.0.7]:1 [::127.0.0.7]:1 [64:ff9b::127.0.0.7]:1 [64:ff9b::7f00:1]:1 \
        10.1.2.3:1 2852039166:1 169.254.169.254:1 [fe80::2]:1 [fe80::1%lo]:1 [fd00:ec2::254]:1 0.0.0.0:1 0:1 [::]:1 \
        224.0.0.1:1 198.18.0.1:1 host:1 HOST.:1 host:2 1.2.3.4.5:1 256.0.0.1:1 localhost:0 localhost http://localhost:1"
        .split_whitespace()
        .collect();
    let directory = Directory::new("agree", MANIFEST);
    let script = "for to in \"$@\"; do exec 3<>/dev/tcp/127.0.0.1/${http_proxy##*:}; \
        printf 'CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n' \"$to\" \"$to\" >&3; read -r _ code _ <&3; echo $code; done";
    let run = ["run", "--host", "direct", "--manifest", "m.yaml", "--", "bash", "-c", script, "bash"];
    let (code, answers) = directory.outcome(&[&run[..], &destinations].concat());
    assert_eq!((code, answers.lines().count()), (0, destinations.len()), "{answers}");
    for (destination, answer) in destinations.into_iter().zip(answers.lines()) {
        let asked = ["explain", "--manifest", "m.yaml", "--resolve", destination];
        let expected = match directory.outcome(&asked) {
            (0, _) => "502",
            (1, _) => "403",
            _ => "400",
        };
        assert_eq!(answer, expected, "{destination}");
    }
}

#[test]
fn explain_speaks_json() {
    let directory = Directory::new("json", MANIFEST);
    let (code, printed) = directory.outcome(&[
        "explain",
        "--manifest",
        "m.yaml",
        "--output",
        "json",
        "ok.test:443=10.0.0.7",
        "a.mycorp.com:80",
    ]);
    let expected = json!([
        {
            "destination": "ok.test:443", "allowed": false, "proxy": null, "peer": null, "near": [], "why": null, "unresolved": null,
            "rule": "egress.allow[4] (line 3): allow ok.test",
            "addresses": [{"address": "10.0.0.7", "allowed": false, "why": "denied by egress.deny[1] (line 4): deny 10.0.0.7"}],
        },
        {
            "destination": "a.mycorp.com:80", "allowed": false, "proxy": null, "peer": null, "rule": null, "unresolved": null,
            "why": "no rule allows it", "addresses": [],
            "near": ["egress.allow[0] (line 3): allow **.mycorp.com:443, but for other ports"],
        },
    ]);
    assert_eq!((code, serde_json::from_str::<Value>(&printed).unwrap()), (1, expected));
}

#[test]
fn explain_wants_a_port() {
    let directory = Directory::new("port", MANIFEST);
    for (asked, message) in [
        ("evil.com", "rules are for a host and a port: write evil.com:443, for instance"),
        ("evil.com:0", "port is not a number from 1 to 65535"),
        ("*.evil.com:443", "host is no DNS name"),
        ("evil.com:443=here", "\"here\" is no IP address"),
        ("evil.com:443=", "\"\" is no IP address"),
    ] {
        let output = directory.run(&["explain", "--manifest", "m.yaml", asked]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{asked}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(message), "{asked}: {error}");
    }
}

#[test]
fn config_maps_are_read_from_their_directory() {
    let manifest =
        "- { port: 443, fqdn: { configMap: { name: app, key: conf.yaml, type: yaml, ref: 'db#host' } } }\n";
    let directory = Directory::new("maps", manifest);
    fs::create_dir_all(directory.0.join("maps/app")).unwrap();
    fs::write(directory.0.join("maps/app/conf.yaml"), "db: { host: db.example }\n").unwrap();
    let asked = ["explain", "--manifest", "m.yaml", "--config-maps", "maps", "db.example:443"];
    let text = "db.example:443: allowed by [0] (line 1): allow db.example:443\n";
    assert_eq!(directory.outcome(&asked), (0, text.to_owned()));
    let (code, printed) = directory.outcome(&["check", "--manifest", "m.yaml"]);
    assert_eq!((code, printed.contains("needs --config-maps DIR")), (2, true), "{printed}");
}

#[test]
fn schema_prints_what_is_committed() {
    let directory = Directory::new("schema", "");
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/manifest.schema.json");
    assert_eq!(directory.outcome(&["schema"]), (0, fs::read_to_string(committed).unwrap()));
}

/// `schema | head -1`, and a full disk.
#[test]
fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is_one() {
    let directory = Directory::new("gone", "no manifest");
    let code = |arguments: &[&str], out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-enclave"));
        let output = command.current_dir(&directory.0).args(arguments).stdout(out).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let gone = || Stdio::from(std::io::pipe().unwrap().1);
    assert_eq!(code(&["schema"], gone()), (Some(0), String::new()));
    assert_eq!(code(&["check", "--manifest", "m.yaml"], gone()), (Some(2), String::new()));
    assert_eq!(code(&["explain", "--manifest", "m.yaml", "a.example:1"], gone()), (Some(2), String::new()));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let (code, said) = code(&["schema"], full.into());
    assert_eq!(code, Some(71));
    assert!(said.starts_with("error: the output cannot be written: No space left"), "{said}");
}

#[test]
fn a_warning_is_logged_for_words_without_effect() {
    let directory =
        Directory::new("warn", "version: v1\negress: { proxy_port: 0 }\napi: { listen_port: 9999 }\n");
    let output = directory.run(&["run", "--manifest", "m.yaml", "--", "true"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("m.yaml:3:1: api: has no effect in this version"), "{log}");
}

#[test]
fn explain_tells_a_program_of_the_manifests_mistakes_as_check_does() {
    let directory = Directory::new("explain-mistakes", "version: v2\negres: {}\n");
    for manifest in ["m.yaml", "missing.yaml"] {
        let check = directory.outcome(&["check", "--manifest", manifest, "--output", "json"]);
        assert!(check.0 == 2 && serde_json::from_str::<Value>(&check.1).is_ok(), "{check:?}");
        let explain = ["explain", "--manifest", manifest, "--output", "json", "a.example:1"];
        assert_eq!(directory.outcome(&explain), check);
    }
}

#[cfg(any(debug_assertions, feature = "simulator"))]
#[test]
fn nothing_is_learnt_where_nothing_can_be_written() {
    let directory = Directory::new("unwritable", "version: v1\negress: { proxy_port: 0 }\n");
    fs::create_dir(directory.0.join("taken")).unwrap();
    for file in ["missing/learnt.yaml", "taken"] {
        let output =
            directory.run(&["run", "--manifest", "m.yaml", "--learn", file, "--", "touch", "started"]);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(71) && log.contains(&format!("{file} cannot be written: ")),
            "{log}"
        );
    }
    let left: Vec<_> = fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.len() == 2 && left.iter().all(|name| name == "m.yaml" || name == "taken"), "{left:?}");
}

/// Only builds for development have the short word; a release build's is louder.
#[cfg(any(debug_assertions, feature = "simulator"))]
#[test]
fn learning_writes_the_manifest_that_the_application_needs() {
    use std::net::TcpListener;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let directory = Directory::new("learn", "version: v1\negress: { proxy_port: 0 }\n");
    // A CONNECT through the local proxy, in the shell's own words; exit code 0 when the answer is 200.
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/${{http_proxy##*:}}; printf 'CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n' >&3; read -r _ code _ <&3; [ \"$code\" = 200 ]"
    );
    let run = |more: &[&str]| {
        let arguments = [&["run", "--manifest", "m.yaml"], more, &["--", "bash", "-c", &script]].concat();
        directory.run(&arguments)
    };
    assert_eq!(run(&[]).status.code(), Some(1), "nothing is allowed");
    let output = run(&["--learn", "learnt.yaml"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("DEVELOPMENT ONLY: whatever no deny rule names may leave this enclave"), "{log}");
    let asked = ["explain", "--manifest", "learnt.yaml", &format!("127.0.0.1:{port}"), "127.0.0.1:1"];
    let (code, printed) = directory.outcome(&asked);
    let expected = format!(
        "127.0.0.1:{port}: allowed by outboundConnections[0] (line 6): allow 127.0.0.1:{port}\n127.0.0.1:1: denied: "
    );
    assert!(code == 1 && printed.starts_with(&expected), "{printed}");
}
