//! Bytes that pass: unchanged, half-closed, cut off, and with nobody behind.

use std::process::Stdio;

use countersign_enclave::{ingress::IngressLimits, manifest::IngressTls};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use crate::{
    caller,
    rig::{Directory, Rig, attested, files},
};

/// An application that answers when its caller has said everything.
async fn answer_after_the_end(mut application: TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    application.read_to_end(&mut request).await.unwrap();
    application.write_all(b"after your end").await.unwrap();
    request
}

#[tokio::test]
async fn a_half_close_passes_through_plain() {
    let rig = Rig::start(IngressTls::Passthrough).await;
    let mut caller = rig.connect().await;
    caller.write_all(b"\x00\xffbytes").await.unwrap();
    caller.shutdown().await.unwrap();
    let (application, _) = rig.application.accept().await.unwrap();
    assert_eq!(answer_after_the_end(application).await, b"\x00\xffbytes");
    let mut answer = Vec::new();
    caller.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"after your end");
}

#[tokio::test]
async fn a_half_close_passes_through_tls() {
    let directory = Directory::new();
    for tls in [files(&directory.0), attested()] {
        let rig = Rig::start(tls).await;
        let mut caller = caller::connect(rig.connect().await, &[]).await;
        caller.write_all(b"bytes").await.unwrap();
        caller.shutdown().await.unwrap();
        let (application, _) = rig.application.accept().await.unwrap();
        assert_eq!(answer_after_the_end(application).await, b"bytes");
        let mut answer = Vec::new();
        caller.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"after your end");
    }
}

#[tokio::test]
async fn the_application_may_finish_first() {
    for tls in [IngressTls::Passthrough, attested()] {
        let plain = tls == IngressTls::Passthrough;
        let rig = Rig::start(tls).await;
        let wire = rig.connect().await;
        let mut caller: Box<dyn caller::Wire> =
            if plain { Box::new(wire) } else { Box::new(caller::connect(wire, &[]).await) };
        let (mut application, _) = rig.application.accept().await.unwrap();
        application.write_all(b"220 hello").await.unwrap();
        application.shutdown().await.unwrap();
        // Whoever speaks first: nothing was said by the caller yet.
        let mut greeting = Vec::new();
        caller.read_to_end(&mut greeting).await.unwrap();
        assert_eq!(greeting, b"220 hello");
        caller.write_all(b"still here").await.unwrap();
        caller.shutdown().await.unwrap();
        let mut rest = Vec::new();
        application.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"still here");
    }
}

#[tokio::test]
async fn a_request_that_was_cut_off_does_not_look_whole() {
    let rig = Rig::start(attested()).await;
    let mut caller = caller::connect(rig.connect().await, &[]).await;
    caller.write_all(b"POST / HTTP/1.0\r\n\r\npay 10").await.unwrap();
    let (mut application, _) = rig.application.accept().await.unwrap();
    let mut start = [0; 25];
    application.read_exact(&mut start).await.unwrap();
    // Without close_notify: what a host does that wants to truncate.
    drop(caller.into_inner());
    let error = application.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_answer_that_was_cut_off_does_not_look_whole() {
    let rig = Rig::start(attested()).await;
    let mut caller = caller::connect(rig.connect().await, &[]).await;
    let (mut application, _) = rig.application.accept().await.unwrap();
    application.write_all(b"half an ans").await.unwrap();
    let mut start = [0; 11];
    caller.read_exact(&mut start).await.unwrap();
    socket2::SockRef::from(&application).set_linger(Some(Duration::ZERO)).unwrap();
    drop(application);
    let error = caller.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn without_an_application_the_caller_sees_an_orderly_end() {
    for tls in [IngressTls::Passthrough, attested()] {
        let plain = tls == IngressTls::Passthrough;
        let mut rig = Rig::start(tls).await;
        // Nobody listens there any more.
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        drop(std::mem::replace(&mut rig.application, other));
        let wire = rig.connect().await;
        let mut caller: Box<dyn caller::Wire> =
            if plain { Box::new(wire) } else { Box::new(caller::connect(wire, &[]).await) };
        let mut answer = Vec::new();
        caller.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"");
    }
}

#[tokio::test]
async fn past_the_limit_connections_are_closed_and_come_back() {
    let limits = IngressLimits { connections: 1, ..IngressLimits::default() };
    let rig = Rig::with_limits(IngressTls::Passthrough, limits).await;
    let mut first = rig.connect().await;
    let (mut application, _) = rig.application.accept().await.unwrap();
    let mut second = rig.connect().await;
    assert_eq!(second.read(&mut [0; 1]).await.unwrap(), 0);
    application.write_all(b"x").await.unwrap();
    assert_eq!(first.read(&mut [0; 1]).await.unwrap(), 1);
    drop((first, application));
    // The place is free as soon as the relay has seen both ends.
    loop {
        let mut next = rig.connect().await;
        tokio::select! {
            accepted = rig.application.accept() => { drop(accepted.unwrap()); break; }
            _ = next.read_u8() => tokio::task::yield_now().await,
        }
    }
}

/// A web server of two lines: whatever is asked, `it is me`.
async fn web_server(rig: Rig) {
    loop {
        let (mut stream, _) = rig.application.accept().await.unwrap();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                seen.push(stream.read_u8().await.unwrap());
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nit is me";
            stream.write_all(answer).await.unwrap();
        });
    }
}

async fn curl(socket: &std::path::Path, more: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--unix-socket"])
        .arg(socket)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("curl is installed");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[tokio::test]
async fn curl_reaches_the_application_through_tls_from_files() {
    let directory = Directory::new();
    let rig = Rig::start(files(&directory.0)).await;
    let (socket, anchor) = (rig.socket.clone(), directory.0.join("tls.crt"));
    let anchor = anchor.to_str().unwrap().to_owned();
    tokio::spawn(web_server(rig));
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"], &["--http1.1"], &["--no-alpn"]] {
        let ask = [&["--cacert", &anchor, "https://in.example/"][..], version].concat();
        assert_eq!(curl(&socket, &ask).await, (Some(0), "it is me".to_owned()), "{version:?}");
    }
    let old = ["--cacert", &anchor, "--tls-max", "1.1", "https://in.example/"];
    assert_ne!(curl(&socket, &old).await.0, Some(0));
    let other_name = ["--cacert", &anchor, "https://other.example/"];
    assert_eq!(curl(&socket, &other_name).await.0, Some(60), "curl: 60 is a certificate that does not fit");
}

#[tokio::test]
async fn curl_fetches_the_attestation_and_the_page() {
    let rig = Rig::attested().await;
    let root_der = rig.root_der.clone();
    let probe = caller::connect(rig.connect().await, &[]).await;
    // What an operator who pins the key would write.
    let pin = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &caller::spki(&probe));
    let pin = format!("sha256//{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pin));
    let socket = rig.socket.clone();
    drop(probe);
    tokio::spawn(web_server(rig));
    let tls = ["--insecure", "--pinnedpubkey", &pin];
    let page = [&tls[..], &["https://in.example/"]].concat();
    assert_eq!(curl(&socket, &page).await, (Some(0), "it is me".to_owned()));
    let nonce = hex::encode(caller::NONCE);
    let url = format!("https://in.example/.well-known/countersign-attestation?nonce={nonce}");
    let (code, body) = curl(&socket, &[&tls[..], &[&url]].concat()).await;
    assert_eq!(code, Some(0), "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["binding"], "countersign-ingress-v1");
    // The document is about curl's connection, not about this one.
    let here = caller::connect(tokio::net::UnixStream::connect(&socket).await.unwrap(), &[]).await;
    let refusal = caller::verify(&root_der, &here, &caller::NONCE, &body).unwrap_err();
    assert_eq!(refusal.code(), "user-data-mismatch");
}
