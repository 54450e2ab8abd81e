//! The program itself: its arguments, its signals, its death.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
};

use countersign_test_support::logs;
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{Dir, rule_set};

fn host(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-enclave"));
    command.arg("host").args(arguments);
    command
}

/// Runs until it says that it serves; its log goes on being read.
fn serving(command: &mut Command) -> (Child, thread::JoinHandle<String>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(logs::kept("host", child.stderr.take().unwrap()));
    let mut seen = String::new();
    while !seen.contains("host half serves") {
        assert_ne!(log.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    let rest = thread::spawn(move || {
        log.read_to_string(&mut seen).unwrap();
        seen
    });
    (child, rest)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

/// A plain HTTP client of the protocol, with nothing of ours: what stands in docs/host.md.
fn connect(socket: &Path, destination: &str) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap())
}

/// The soft limit is a process's own to raise: 66,048 for 16,384 connections, if the hard one lets it.
#[test]
fn files_may_be_open_as_many_as_connections_need() {
    let dir = Dir::new();
    let at = format!("unix:{}", dir.socket().display());
    for (hard, connections, soft, warned) in [("4096", "500", "2512", false), ("4096", "16384", "4096", true)]
    {
        let script = format!("ulimit -Sn 300 && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_countersign-enclave"), "host"]);
        command.args([
            "--egress",
            &at,
            "--logs",
            "off",
            "--outer-limit",
            "none",
            "--connections",
            connections,
        ]);
        let (mut child, log) = serving(&mut command);
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        assert_eq!(files.split_whitespace().take(2).collect::<Vec<_>>(), [soft, hard], "{connections}");
        signal(&child, Signal::TERM);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(log.join().unwrap().contains("few-descriptors"), warned, "{connections}");
    }
}

#[test]
fn killed_and_started_again_it_carries_again() {
    let dir = Dir::new();
    let socket = dir.socket();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let destination = format!("host:{}", upstream.local_addr().unwrap().port());
    let at = format!("unix:{}", socket.display());
    let arguments = ["--egress", &at, "--logs", "off", "--outer-limit", "none"];

    let (mut first, log) = serving(&mut host(&arguments));
    let (mut near, head) = connect(&socket, &destination);
    assert_eq!(head, "HTTP/1.1 200 OK\r\nCountersign-Address: 127.0.0.1\r\n\r\n");
    let (mut far, _) = upstream.accept().unwrap();
    near.write_all(b"unread").unwrap();
    far.read_exact(&mut [0; 6]).unwrap();
    signal(&first, Signal::KILL);
    first.wait().unwrap();
    drop(log.join().unwrap());
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
    assert_eq!(near.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    // The kernel closes a dead process's sockets in order: what it carried was all there is.
    assert_eq!(far.read(&mut [0]).unwrap(), 0);

    let (mut second, log) = serving(&mut host(&arguments));
    let (mut near, _) = connect(&socket, &destination);
    let (mut far, _) = upstream.accept().unwrap();
    near.write_all(b"again").unwrap();
    drop(near);
    let mut again = [0; 5];
    far.read_exact(&mut again).unwrap();
    assert_eq!(&again, b"again");
    drop(far);
    signal(&second, Signal::TERM);
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert!(log.join().unwrap().contains("no outer limit"));
}

/// An enclave that breaks one trunk after the other fills no disk of the parent.
#[test]
fn broken_trunks_fill_no_log() {
    let dir = Dir::new();
    let at = format!("unix:{}", dir.socket().display());
    let (mut child, log) = serving(&mut host(&["--egress", &at, "--logs", "off", "--outer-limit", "none"]));
    for _ in 0..300 {
        let mut stream = UnixStream::connect(dir.socket()).unwrap();
        let fields = "Host: host\r\nConnection: Upgrade\r\nUpgrade: countersign-trunk/1";
        write!(stream, "GET /v1/trunk HTTP/1.1\r\n{fields}\r\n\r\nno frame").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let lines = log.join().unwrap().matches("trunk-broken").count();
    assert!((1..300).contains(&lines), "{lines} lines");
}

#[test]
fn log_lines_come_out_of_standard_output() {
    let dir = Dir::new();
    let logs = dir.0.join("logs.sock");
    let (egress, at) = (format!("unix:{}", dir.socket().display()), format!("unix:{}", logs.display()));
    let (mut child, _log) = serving(&mut host(&["--egress", &egress, "--logs", &at]));
    let mut enclave = UnixStream::connect(&logs).unwrap();
    enclave.write_all(b"{\"message\":\"started\"}\n\x1b[2Jx\nlast\n").unwrap();
    // It stays open, as the enclave's does, and the stop does not wait for it.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!([next(), next(), next()], ["{\"message\":\"started\"}", "\\u{1b}[2Jx", "last"]);
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_hangup_reads_the_rule_sets_and_health_shows_them() {
    let dir = Dir::new();
    let rules = dir.rules("rules.yaml", &[]);
    let egress = format!("unix:{}", dir.socket().display());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let health = format!("127.0.0.1:{port}");
    let paths = rules.display().to_string();
    let arguments = ["--egress", &egress, "--logs", "off", "--egress-rules", &paths, "--health", &health];
    let (mut child, log) = serving(&mut host(&arguments));
    let get = || {
        let mut stream = TcpStream::connect(&health).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let body = "{\"status\":\"ok\",\"enclave\":\"not-asked\",\"egress_rules\":0,\"egress_connections\":0,\"ingress_connections\":0}";
    assert!(get().starts_with("HTTP/1.1 200 OK\r\n") && get().ends_with(body), "{}", get());
    fs::write(&rules, rule_set(&["a.example:443", "host:80"])).unwrap();
    signal(&child, Signal::HUP);
    while !get().contains("\"egress_rules\":2,") {
        thread::yield_now();
    }
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(log.join().unwrap().contains("new egress rule sets are in force"));
}

fn fails(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = host(arguments).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn what_cannot_work_says_what_to_do_and_starts_nothing() {
    let dir = Dir::new();
    let rules = dir.0.join("bad.yaml");
    fs::write(&rules, rule_set(&["a.example:*"])).unwrap();
    let (rules, egress) = (rules.display().to_string(), format!("unix:{}", dir.socket().display()));
    for (arguments, code, says) in [
        (
            &["--egress-rules", &rules][..],
            2,
            "bad.yaml:7: target \"a.example:*\" has a wildcard for its port",
        ),
        (&["--egress-rules", "missing"], 2, "missing: cannot be read"),
        (&["--egress-rules", &rules, "--outer-limit", "none"], 2, "give one of the two"),
        (&["--outer-limit", "off"], 2, "[possible values: rule-sets, none]"),
        (&["--egress", &egress, "--logs", "off", "--ingress", "3000"], 2, "nitro-cli describe-enclaves"),
        (&["--egress", "unix:/nowhere/at/all", "--logs", "off"], 71, "cannot be listened on"),
        (&["--connections", "0"], 2, "expected 1 to 1000000"),
        (&["--manifest", "missing.yaml"], 2, "missing.yaml: cannot be read"),
    ] {
        let (status, log) = fails(arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {log}");
        assert!(log.contains(says), "{arguments:?}: {log}");
    }
}
