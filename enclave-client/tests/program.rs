//! The program itself, as a process: exit codes, signals, environment, orphans.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use countersign_test_support::logs;
use rustix::process::{Pid, Signal, kill_process};

/// A manifest in a directory of its own.
struct Manifest(PathBuf);

impl Manifest {
    fn new(name: &str, text: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("countersign-program-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("countersign.yaml"), text).unwrap();
        Self(directory)
    }

    fn nothing(name: &str) -> Self {
        Self::new(name, "version: v1\negress: { proxy_port: 0 }\n")
    }

    /// Nobody listens on port 1.
    fn unreachable(name: &str) -> Self {
        Self::new(
            name,
            "version: v1\negress: { proxy_port: 0 }\noutboundConnections:\n  - { type: proxy, fqdn: a.example, port: 443, proxyUrl: 'https://127.0.0.1:1', attestationPort: 1 }\n",
        )
    }

    fn program(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-enclave"));
        command.arg(subcommand).arg("--manifest").arg(self.0.join("countersign.yaml"));
        command
    }

    fn run(&self, more: &[&str], script: &str) -> Output {
        self.program("run").args(more).args(["--", "sh", "-c", script]).output().unwrap()
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_exit_code_is_the_applications() {
    let manifest = Manifest::nothing("code");
    assert_eq!(manifest.run(&[], "exit 0").status.code(), Some(0));
    assert_eq!(manifest.run(&[], "exit 7").status.code(), Some(7));
    assert_eq!(manifest.run(&[], "kill -KILL $$").status.code(), Some(137));
    let missing = manifest.program("run").args(["--", "/no/such/program"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
    let directory = manifest.program("run").args(["--", "/"]).output().unwrap();
    assert_eq!(directory.status.code(), Some(126));
}

#[test]
fn the_application_finds_the_proxy_in_its_environment() {
    let manifest = Manifest::nothing("env");
    let output = manifest.run(&[], "echo $http_proxy $HTTPS_PROXY $ALL_PROXY $no_proxy");
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    let [http, https, all, none] = words[..] else { panic!("{text}") };
    assert!(http.starts_with("http://127.0.0.1:"), "{text}");
    assert_eq!((https, all, none), (http, http, "localhost,127.0.0.1,::1"));
}

/// The first number is what a program may have open, the second what it may ask the system for. Only with
/// `CAP_SYS_RESOURCE` may the second one grow.
#[test]
fn files_may_be_open_as_many_as_the_system_allows_and_the_application_inherits_that() {
    let manifest = Manifest::nothing("files");
    let lowered = |words: &str| {
        let script = format!("ulimit -Sn 300 && ulimit -Hn 4096 && {words}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_countersign-enclave")]);
        command.arg(manifest.0.join("countersign.yaml"));
        command
    };
    let may_lift = lowered("ulimit -Hn 131072 2>&-").status().unwrap().success();
    let expected = if may_lift { "131072 131072\n" } else { "4096 4096\n" };
    let application = "run --manifest \"$1\" -- sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)'";
    let output = lowered(&format!("\"$0\" {application}")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    // A program that cannot bear it is started through a shell, as docs/supervisor.md says.
    let application = "run --manifest \"$1\" -- sh -c 'ulimit -Sn 1024; exec sh -c \"ulimit -Sn\"'";
    let output = lowered(&format!("\"$0\" {application}")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1024\n");
}

/// Starts `script`, waits for its line "ready", sends `signal`; the exit code.
fn signalled(name: &str, script: &str, signal: Signal) -> Option<i32> {
    let manifest = Manifest::nothing(name);
    let mut running = manifest
        .program("run")
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(logs::stderr("enclave"))
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kill_process(Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap(), signal).unwrap();
    running.wait().unwrap().code()
}

/// Ends by itself if the signal never comes.
const WAIT: &str = "i=0; while [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done; exit 1";

#[test]
fn signals_are_passed_on() {
    for (signal, word) in
        [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP"), (Signal::USR1, "USR1")]
    {
        let script = format!("trap 'exit 9' {word}; echo ready; {WAIT}");
        assert_eq!(signalled(word, &script, signal), Some(9), "{word}");
    }
    assert_eq!(signalled("plain", &format!("echo ready; {WAIT}"), Signal::TERM), Some(143));
}

#[test]
fn a_shell_in_front_does_not_swallow_a_signal() {
    // The shell waits for its child and would go on without it; the group gets the signal.
    let script = "trap ':' TERM; sh -c 'trap \"exit 5\" TERM; echo ready; i=0; while [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done'; exit $?";
    assert_eq!(signalled("shell", script, Signal::TERM), Some(5));
}

/// Runs `script` at a terminal (of script(1)), types each of `lines` once the terminal shows what stands before it;
/// what the terminal showed, and the exit code.
fn typed(name: &str, script: &str, lines: &[(&str, &str)]) -> (String, Option<i32>) {
    let manifest = Manifest::nothing(name);
    let program = env!("CARGO_BIN_EXE_countersign-enclave");
    let file = manifest.0.join("countersign.yaml");
    let command = format!("exec {program} run --manifest {} -- sh -c '{script}'", file.display());
    let mut terminal = Command::new("timeout")
        .args(["20", "script", "--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(logs::stderr("enclave"))
        .spawn()
        .unwrap();
    let mut keyboard = terminal.stdin.take().unwrap();
    let mut shown = String::new();
    let mut screen = BufReader::new(terminal.stdout.take().unwrap());
    for (before, keys) in lines {
        while !shown.contains(before) {
            assert_ne!(screen.read_line(&mut shown).unwrap(), 0, "no {before:?} in {shown:?}");
        }
        keyboard.write_all(keys.as_bytes()).unwrap();
    }
    screen.read_to_string(&mut shown).unwrap();
    (shown, terminal.wait().unwrap().code())
}

#[test]
fn the_application_reads_what_is_typed() {
    let (shown, code) =
        typed("typed", "echo ready; read word; echo heard $word; exit 6", &[("ready", "a word\n")]);
    assert!(shown.contains("heard a word"), "{shown}");
    assert_eq!(code, Some(6));
}

#[test]
fn an_interrupt_from_the_keyboard_arrives_once() {
    let script = "trap \"echo interrupted\" INT; echo ready; read word; read word; exit 8";
    let (shown, code) =
        typed("interrupt", script, &[("ready", "\x03"), ("interrupted", "one\n"), ("one", "two\n")]);
    assert_eq!((shown.matches("interrupted").count(), code), (1, Some(8)), "{shown}");
}

#[test]
fn orphans_are_reaped() {
    // The subshell leaves its child behind, which becomes ours; unreaped it would stay in /proc.
    let script = "pid=$(true & echo $!); i=0; while [ -e /proc/$pid ]; do sleep 0.02; i=$((i+1)); [ $i -gt 500 ] && exit 1; done; exit 4";
    assert_eq!(Manifest::nothing("orphan").run(&[], script).status.code(), Some(4));
}

#[test]
fn without_attestation_it_waits_as_long_as_told() {
    let manifest = Manifest::unreachable("wait");
    assert_eq!(manifest.run(&["--wait-attested", "0"], "exit 3").status.code(), Some(3));
    let exit = ["--wait-attested", "0", "--if-unattested", "exit"];
    assert_eq!(manifest.run(&exit, "exit 3").status.code(), Some(69));
}

#[test]
fn a_signal_before_the_application_starts_ends_the_wait() {
    let manifest = Manifest::unreachable("early");
    let mut running = manifest.program("run").args(["--", "true"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(logs::kept("enclave", running.stderr.take().unwrap())).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("local proxy listens")));
    kill_process(Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    // Read on, so that the log does not block.
    lines.for_each(drop);
    assert_eq!(running.wait().unwrap().code(), Some(143));
}

#[test]
fn a_wrong_manifest_starts_nothing_and_names_every_mistake() {
    let manifest = Manifest::new("wrong", "version: v3\nnmae: x\negres: {}\n");
    let file = manifest.0.join("countersign.yaml").display().to_string();
    let checked = manifest.program("check").output().unwrap();
    assert_eq!(checked.status.code(), Some(2));
    let expected = format!(
        "{file}:1:10: version: expected v1, found \"v3\"\n{file}:2:1: nmae: unknown field, did you mean name?\n{file}:3:1: egres: unknown field, did you mean egress?\n"
    );
    assert_eq!(String::from_utf8(checked.stdout).unwrap(), expected);
    let run = manifest.run(&[], "echo started");
    assert_eq!((run.status.code(), run.stdout.len()), (Some(2), 0));
    let log = String::from_utf8(run.stderr).unwrap();
    assert!(expected.lines().all(|line| log.contains(line)), "{log}");

    let right = Manifest::nothing("right").program("check").output().unwrap();
    assert_eq!(
        (right.status.code(), &right.stdout[..]),
        (Some(0), &b"ok: 0 rules, 0 proxies, 0 warnings\n"[..])
    );
}

#[test]
fn the_log_is_json_when_asked() {
    let output = Manifest::nothing("json").run(&["--log", "json"], "exit 0");
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let listens = lines.iter().find(|line| line["message"] == "local proxy listens").unwrap();
    assert_eq!(listens["level"], "INFO");
    let last = lines.last().unwrap();
    assert_eq!((&last["code"], &last["exit_code"]), (&"run-ended".into(), &0.into()));
}

#[cfg(not(feature = "simulator"))]
#[test]
fn a_build_without_the_simulator_has_no_word_for_it() {
    let help = Manifest::nothing("help").program("run").arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("--wait-attested"), "{text}");
    assert!(!text.contains("danger-software-nsm"), "{text}");
}

/// A manifest with the KMS endpoint at a port that is free.
fn with_kms(name: &str, rules: &str) -> Manifest {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text =
        format!("version: v1\negress: {{ proxy_port: 0 }}\nkms_proxy:\n  listen_port: {port}\n{rules}");
    Manifest::new(name, &text)
}

/// Nobody calls in another's name: whoever has no credentials is refused, before anything leaves.
#[test]
fn the_kms_endpoint_stands_in_the_environment_and_takes_no_unsigned_call() {
    let manifest = with_kms("kms", "  operations: [Decrypt]\n");
    let script = "test \"$AWS_ENDPOINT_URL_KMS\" = \"$AWS_KMS_ENDPOINT\" && \
                  curl -s -w '%{http_code}' -H 'X-Amz-Target: TrentService.Decrypt' \
                  -H 'Content-Type: application/x-amz-json-1.1' -d '{}' \"$AWS_ENDPOINT_URL_KMS/\"; \
                  echo \" $AWS_CONTAINER_CREDENTIALS_FULL_URI\"";
    let credentials = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let mut program = manifest.program("run");
    let output = program.envs(credentials).args(["--", "sh", "-c", script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("MissingAuthenticationToken") && text.ends_with("400 \n"), "{text}");
}

#[test]
fn without_credentials_the_application_is_offered_those_of_the_instance() {
    let manifest = with_kms("offered", "");
    let script = "curl -s -o /dev/null -w '%{http_code}' \"$AWS_CONTAINER_CREDENTIALS_FULL_URI\"";
    let mut program = manifest.program("run");
    program.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let output = program.args(["--", "sh", "-c", script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "403", "whoever has no token gets none");
    let half = manifest.program("run").env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").args(["--", "true"]).output();
    let half = half.unwrap();
    assert_eq!(half.status.code(), Some(71));
    let said = String::from_utf8(half.stderr).unwrap();
    assert!(said.contains("AWS_SECRET_ACCESS_KEY is not set"), "{said}");
}
