//! The real programs: exit codes, signals, and a proxy that stops gracefully.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    os::unix::process::ExitStatusExt,
    process::{Output, Stdio},
};

use countersign_e2e::{PATIENCE, Proxy, Setup, Upstream, Wire, round_trip};
use countersign_test_support::logs;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    time::timeout,
};

const PROXY: &str = env!("CARGO_BIN_EXE_e2e-proxy");
const ENCLAVE: &str = env!("CARGO_BIN_EXE_e2e-enclave");

#[tokio::test]
async fn the_applications_exit_code_is_the_enclaves() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let output = run(&proxy, script).await;
        assert_eq!(output.status.code(), Some(code), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output = output(enclave(&proxy).args(["--", "/no/such/program"])).await;
    assert_eq!(output.status.code(), Some(127));
}

#[tokio::test]
async fn the_application_finds_the_proxy_in_its_environment() {
    let proxy = Proxy::start(Setup::default()).await;
    let output = run(&proxy, "echo $https_proxy; echo $HTTPS_PROXY; echo $no_proxy").await;
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("http://127.0.0.1:"), "{text}");
    assert_eq!(lines[0], lines[1]);
    assert!(lines[2].split(',').any(|host| host == "127.0.0.1"), "{text}");
}

#[tokio::test]
async fn a_signal_goes_to_the_application_and_its_code_comes_back() {
    let proxy = Proxy::start(Setup::default()).await;
    let script = "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done";
    let mut process =
        enclave(&proxy).args(["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert_eq!(timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().as_deref(), Some("ready"));
    let pid = rustix::process::Pid::from_raw(process.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = timeout(PATIENCE, process.wait()).await.unwrap().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(42), None));
}

#[tokio::test]
async fn a_wrong_manifest_starts_nothing() {
    let proxy = Proxy::start(Setup::default()).await;
    let manifest = proxy.directory().join("wrong.yaml");
    std::fs::write(&manifest, "version: v1\noutboundConnections:\n  - type: proxy\n    fqdn: x\n").unwrap();
    let mut command = Command::new(ENCLAVE);
    command.arg("run").arg("--manifest").arg(&manifest).args(["--", "echo", "started"]);
    let output = output(&mut command).await;
    assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]));
}

/// SIGTERM: ports close, what runs may finish, and then the proxy is gone at once.
#[tokio::test]
async fn a_stopping_proxy_lets_a_transfer_finish() {
    let echo = Upstream::echo().await;
    let mut proxy = Proxy::program(Setup::to(&[echo]), PROXY).await;
    let session = proxy.admitted("payments-1.0").await;
    let target = echo.to_string();
    let mut tunnel = proxy.open(&session.dialer, &target).await.unwrap();
    let mut warm = Wire::new(session.dialer.dial(proxy.gateway).await.unwrap());
    round_trip(&mut tunnel, b"first half").await;

    proxy.terminate();
    // The port closes first: when nobody can connect any more, the draining has begun.
    while tokio::net::TcpStream::connect(proxy.gateway).await.is_ok() {
        tokio::task::yield_now().await;
    }
    round_trip(&mut tunnel, b"second half").await;
    if let Ok(answer) = warm.connect(&target).await {
        assert_eq!(answer.refusal(), (503, "draining".into()));
    }
    round_trip(&mut tunnel, b"and the rest").await;
    tunnel.shutdown().await.unwrap();
    assert_eq!(countersign_e2e::read_to_end(&mut tunnel).await.unwrap(), b"");
    drop(tunnel);
    assert_eq!(proxy.ended().await.code(), Some(0));
}

/// Whoever does not finish is cut when the time for draining is over (5 s here).
#[tokio::test]
async fn a_stopping_proxy_cuts_what_does_not_finish() {
    let mut upstream = Upstream::start().await;
    let mut proxy = Proxy::program(Setup::to(&[upstream.address]), PROXY).await;
    let session = proxy.admitted("payments-1.0").await;
    let mut tunnel = proxy.open(&session.dialer, &upstream.address.to_string()).await.unwrap();
    let mut far_end = upstream.accept().await;
    proxy.terminate();
    assert_eq!(proxy.ended().await.code(), Some(0));
    assert!(countersign_e2e::read_to_end(&mut tunnel).await.is_err(), "reset, not closed");
    assert!(countersign_e2e::read_to_end(&mut far_end).await.is_err(), "reset, not closed");
}

#[tokio::test]
async fn one_state_directory_has_one_proxy() {
    let proxy = Proxy::program(Setup::default(), PROXY).await;
    let mut command = Command::new(PROXY);
    command.args(["serve", "--config"]).arg(proxy.directory().join("countersign.toml"));
    let output = output(&mut command).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another countersign-proxy serves"), "{said}");
}

fn enclave(proxy: &Proxy) -> Command {
    let manifest = proxy.directory().join("enclave.yaml");
    std::fs::write(&manifest, "version: v1\negress:\n  proxy_port: 0\n").unwrap();
    let mut command = Command::new(ENCLAVE);
    command.args(["run", "--wait-attested", "0", "--danger-image", "payments-1.0", "--danger-software-nsm"]);
    command.arg(proxy.root_directory()).arg("--manifest").arg(manifest).kill_on_drop(true);
    command
}

async fn run(proxy: &Proxy, script: &str) -> Output {
    output(enclave(proxy).args(["--", "sh", "-c", script])).await
}

async fn output(command: &mut Command) -> Output {
    let output = timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output());
    let output = output.await.expect("an end in time").unwrap();
    logs::keep("program", &output.stderr);
    output
}
