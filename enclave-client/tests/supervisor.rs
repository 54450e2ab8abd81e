//! The program as process 1 of a PID namespace with a network of its own, as in an enclave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        net::{UnixListener, UnixStream},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use countersign_test_support::logs;
use rustix::process::{Pid, Signal, kill_process};

/// A directory with a manifest that allows nothing; removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("countersign-init-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("m.yaml"), "version: v1\negress: { proxy_port: 0 }\n").unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign-enclave");

/// New PID, mount and network namespaces: what is mounted, brought up or rebooted there stays there.
const NAMESPACES: [&str; 5] = ["--pid", "--fork", "--mount-proc", "--net", "--kill-child"];

fn namespaces_are_permitted() -> bool {
    let permitted =
        Command::new("unshare").args(NAMESPACES).arg("true").output().is_ok_and(|run| run.status.success());
    if !permitted {
        println!("SKIPPED: new namespaces need root and unshare(1)");
    }
    permitted
}

/// `init` as process 1; what follows the arguments of `init` is a shell script.
fn init(directory: &Directory, more: &[&str], script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(NAMESPACES).arg(PROGRAM).args(["init", "--heartbeat", "none"]);
    command.args(["--manifest", &directory.path("m.yaml")]).args(more).args(["--", "sh", "-c", script]);
    command.stdin(Stdio::null());
    command
}

fn exits(script: &str) -> Output {
    init(&Directory::new(), &["--at-end", "exit"], script).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn process_1_passes_the_exit_code_on() {
    if !namespaces_are_permitted() {
        return;
    }
    let run = exits("echo $PPID; exit 7");
    assert_eq!((run.status.code(), &*text(&run.stdout)), (Some(7), "1\n"), "{}", text(&run.stderr));
    assert_eq!(exits("kill -KILL $$").status.code(), Some(137));
}

#[test]
fn loopback_comes_up_in_a_network_that_has_nothing() {
    if !namespaces_are_permitted() {
        return;
    }
    let alone =
        Command::new("unshare").args(NAMESPACES).args(["curl", "-s", "http://127.0.0.1:9"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(7), "loopback was up before");
    // The local proxy answers on 127.0.0.1: curl exits with 0 for any answer.
    let run = exits("curl -s --noproxy '*' --max-time 10 -o /dev/null $http_proxy");
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("lo is up"), "{}", text(&run.stderr));
}

#[test]
fn process_1_reaps_what_lost_its_parent() {
    if !namespaces_are_permitted() {
        return;
    }
    // Forked twice: the middle process is gone before the last one ends.
    let script = "pid=$(sh -c 'sh -c \"echo \\$\\$; exec true\" & exit 0'); i=0; while [ -e /proc/$pid ]; do sleep 0.02; i=$((i+1)); [ $i -gt 500 ] && exit 1; done; exit 4";
    assert_eq!(exits(script).status.code(), Some(4));
}

/// Host-side id of the process 1 in a running `unshare`.
fn first_process(unshare: &Child) -> Pid {
    let id = unshare.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}

#[test]
fn process_1_passes_signals_on() {
    if !namespaces_are_permitted() {
        return;
    }
    let script =
        "trap 'exit 9' TERM; echo ready; i=0; while [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done; exit 1";
    let directory = Directory::new();
    let mut running = init(&directory, &["--at-end", "exit"], script)
        .stdout(Stdio::piped())
        .stderr(logs::stderr("enclave"))
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kill_process(first_process(&running), Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(9));
}

#[test]
fn the_machine_ends_with_the_application() {
    if !namespaces_are_permitted() {
        return;
    }
    let run = init(&Directory::new(), &[], "exit 3").output().unwrap();
    // reboot(2): in a PID namespace, a restart is seen by the parent as an end by SIGHUP.
    let hangup = Signal::HUP.as_raw();
    assert!(
        run.status.signal() == Some(hangup) || run.status.code() == Some(128 + hangup),
        "{:?}",
        run.status
    );
    assert!(text(&run.stderr).contains("ends with 3"), "{}", text(&run.stderr));
}

#[test]
fn init_refuses_to_be_any_other_process() {
    let directory = Directory::new();
    let run = Command::new(PROGRAM)
        .args([
            "init",
            "--heartbeat",
            "none",
            "--manifest",
            &directory.path("m.yaml"),
            "--",
            "echo",
            "started",
        ])
        .output()
        .unwrap();
    assert_eq!((run.status.code(), run.stdout.len()), (Some(71), 0));
    assert!(
        text(&run.stderr).contains("init is for the first process of an enclave"),
        "{}",
        text(&run.stderr)
    );
}

/// A root directory with programs in it and nothing else: no /proc, /sys, /dev, /tmp, /run.
const BARE_ROOT: &str = r#"
set -e
mkdir -p root/usr root/program root/files
mount --rbind /usr root/usr
mount --rbind "$(dirname "$PROGRAM")" root/program
mount --bind . root/files
for link in bin lib lib64 sbin; do [ -L /$link ] && ln -sfn usr/$link root/$link; done
exec chroot root "/program/$(basename "$PROGRAM")" init --heartbeat unix:/files/beat.sock --at-end exit --manifest /files/m.yaml -- /bin/sh -c "$SCRIPT"
"#;

#[test]
fn a_machine_with_nothing_gets_what_programs_expect() {
    if !namespaces_are_permitted() {
        return;
    }
    if !Path::new("/bin").is_symlink() {
        println!("SKIPPED: the bare root is made for a merged /usr");
        return;
    }
    let directory = Directory::new();
    let parent = UnixListener::bind(directory.path("beat.sock")).unwrap();
    let parent = thread::spawn(move || {
        let (mut stream, _) = parent.accept().unwrap();
        let mut beat = [0];
        stream.read_exact(&mut beat).unwrap();
        stream.write_all(&beat).unwrap();
        beat[0]
    });
    let script = "for m in /proc /sys /dev /dev/pts /dev/shm /tmp /run; do grep -q \" $m \" /proc/mounts && echo $m; done; echo x >/tmp/x && echo $PATH; [ -c /dev/null ] && readlink /dev/fd";
    let run = Command::new("unshare")
        .args(["--pid", "--fork", "--mount", "--net", "--uts", "--kill-child", "sh", "-c", BARE_ROOT])
        .env_clear()
        .env("PROGRAM", PROGRAM)
        .env("SCRIPT", script)
        .current_dir(&directory.0)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let expected = "/proc\n/sys\n/dev\n/dev/pts\n/dev/shm\n/tmp\n/run\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/proc/self/fd\n";
    assert_eq!(text(&run.stdout), expected, "{}", text(&run.stderr));
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    assert_eq!(parent.join().unwrap(), 0xb7);
    for line in ["tmpfs mounted", "the parent knows that the enclave has booted"] {
        assert!(text(&run.stderr).contains(line), "{line}: {}", text(&run.stderr));
    }
}

/// Programs that are not process 1, with their log at the host half.
fn run(directory: &Directory, more: &[&str], script: &str) -> Child {
    Command::new(PROGRAM)
        .args(["--log", "json", "run", "--manifest", &directory.path("m.yaml"), "--logs", "host"])
        .args(["--host-logs", &format!("unix:{}", directory.path("log.sock"))])
        .args(more)
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(logs::stderr("enclave"))
        .spawn()
        .unwrap()
}

#[test]
fn every_line_reaches_the_host_half_the_applications_too() {
    let directory = Directory::new();
    let host = UnixListener::bind(directory.path("log.sock")).unwrap();
    let mut running = run(&directory, &["--application-output", "log"], "echo out; echo err >&2; exit 6");
    let (stream, _) = host.accept().unwrap();
    let lines = BufReader::new(stream).lines();
    let lines: Vec<serde_json::Value> =
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let said =
        |stream: &str| lines.iter().find(|line| line["stream"] == stream).map(|line| line["message"].clone());
    assert_eq!((said("stdout"), said("stderr")), (Some("out".into()), Some("err".into())));
    assert_eq!(lines.last().unwrap()["exit_code"], 6);
    assert_eq!(running.wait().unwrap().code(), Some(6));
}

#[test]
fn a_host_half_that_takes_nothing_holds_nothing_up() {
    let directory = Directory::new();
    // Listens, and never reads: the socket's buffer fills, then ours, then lines are dropped.
    let _host = UnixListener::bind(directory.path("log.sock")).unwrap();
    let script = "i=0; while [ $i -lt 400 ]; do printf '%08000d\\n' $i; i=$((i+1)); done; exit 5";
    let mut running = run(&directory, &["--application-output", "log"], script);
    assert_eq!(running.wait().unwrap().code(), Some(5));
}

#[test]
fn health_is_told_while_the_application_runs() {
    let directory = Directory::new();
    let host = UnixListener::bind(directory.path("log.sock")).unwrap();
    let socket = directory.path("health.sock");
    let more = ["--health", &format!("unix:{socket}"), "--application-output", "log"];
    let script =
        "trap 'exit 0' TERM; echo ready; i=0; while [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done; exit 1";
    let mut running = run(&directory, &more, script);
    let (stream, _) = host.accept().unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("\"ready\"")));
    let mut health = UnixStream::connect(&socket).unwrap();
    health.write_all(b"GET /healthz HTTP/1.1\r\nHost: enclave\r\n\r\n").unwrap();
    let mut answer = String::new();
    health.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["healthy"], &body["application"]), (&true.into(), &"running".into()));
    kill_process(Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    lines.for_each(drop);
    assert_eq!(running.wait().unwrap().code(), Some(0));
}
