//! What an application sends and gets is nobody's to log: one request through the
//! real programs, with every line of theirs that there is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Stdio;

use countersign_e2e::{PATIENCE, Proxy, SERVER_NAME, Setup, Upstream};
use countersign_test_support::logs;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

const PROXY: &str = env!("CARGO_BIN_EXE_e2e-proxy");
const ENCLAVE: &str = env!("CARGO_BIN_EXE_e2e-enclave");

const SECRETS: [(&str, &str); 6] = [
    ("request path", "planted-path-7f3a"),
    ("request query", "planted-query-91c2"),
    ("authorization", "planted-authorization-5e08"),
    ("application cookie", "planted-cookie-d4b6"),
    ("request body", "planted-request-body-28af"),
    ("response body", "planted-response-body-c713"),
];

#[tokio::test]
async fn nothing_of_a_request_is_logged() {
    SECRETS.into_iter().for_each(|(kind, secret)| logs::plant(kind, secret));
    let mut upstream = Upstream::start().await;
    let environment = vec![("RUST_LOG", "info,countersign_proxy=trace".to_owned())];
    let proxy = Proxy::program(Setup { environment, ..Setup::to(&[upstream.address]) }, PROXY).await;
    let manifest = proxy.directory().join("enclave.yaml");
    let text = format!(
        "version: v1\negress: {{ proxy_port: 0 }}\noutboundConnections:\n  - type: proxy\n    fqdn: {}\n    port: {}\n    \
         proxyUrl: https://{SERVER_NAME}:8443\n    proxyAnchorFile: {}\n    transport:\n      attestation: tcp:{}\n      \
         gateway: tcp:{}\n",
        upstream.address.ip(),
        upstream.address.port(),
        proxy.directory().join("server.pem").display(),
        proxy.attestation,
        proxy.gateway,
    );
    std::fs::write(&manifest, text).unwrap();
    let [path, query, authorization, cookie, body, answer] = SECRETS.map(|(_, secret)| secret);
    let script = format!(
        "exec curl --silent --show-error --max-time 20 --proxy \"$https_proxy\" --header 'Authorization: Bearer {authorization}' \
         --cookie 'session={cookie}' --data '{body}' 'http://{}/{path}?key={query}'",
        upstream.address
    );
    let mut enclave = Command::new(ENCLAVE);
    enclave.args(["run", "--wait-attested", "20", "--danger-image", "payments-1.0", "--danger-software-nsm"]);
    enclave.arg(proxy.root_directory()).arg("--manifest").arg(manifest).args(["--", "sh", "-c", &script]);
    enclave.env("COUNTERSIGN_LOG", "info,countersign_enclave=trace").stdin(Stdio::null()).kill_on_drop(true);
    let served = async {
        let mut connection = upstream.accept().await;
        let mut asked = Vec::new();
        while !asked.ends_with(body.as_bytes()) {
            assert_ne!(connection.read_buf(&mut asked).await.unwrap(), 0, "a whole request");
        }
        let told = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        connection.write_all(told.as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap()
    };
    let (asked, ran) =
        timeout(PATIENCE, async { tokio::join!(served, enclave.output()) }).await.expect("in time");
    let ran = ran.unwrap();
    let log = String::from_utf8_lossy(&ran.stderr);
    logs::keep("enclave", &ran.stderr);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), answer, "{log}");
    for secret in [path, query, authorization, cookie, body] {
        assert!(asked.contains(secret), "{asked}");
    }
    let of_proxy = std::fs::read_to_string(proxy.directory().join("proxy.log")).unwrap();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it says all that it can say: {log}");
    for (kind, secret) in SECRETS {
        assert!(
            !log.contains(secret) && !of_proxy.contains(secret),
            "the {kind} is in a log: {log}\n{of_proxy}"
        );
    }
}
