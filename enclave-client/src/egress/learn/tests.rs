use std::{collections::HashMap, fs, io, net::Ipv4Addr, path::Path};

use countersign_protocol::egress::Action;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};

use super::{
    recorder::{MAX_DESTINATIONS, WRITE_EVERY},
    written::HEADER,
    *,
};
use crate::{
    egress::{Egress, EgressError, HostLink, Outer, host_link::fake},
    host::wire::{Answer, Resolved},
    manifest::Manifest,
    transport::Dial,
};

/// A way out that learns, and what it has learnt.
fn learning(manifest: &str) -> (Egress, Arc<Recorder>) {
    learning_by(manifest, Outer::Direct)
}

fn learning_by(manifest: &str, outer: Outer) -> (Egress, Arc<Recorder>) {
    let Manifest { rules, proxies, .. } =
        Manifest::parse(manifest, &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
    let gated = proxies.into_iter().flat_map(|proxy| proxy.destinations).collect();
    let recorder = Arc::new(Recorder::new(&rules, gated).unwrap());
    let egress = Egress::new(EgressPolicy::new(rules).unwrap(), HashMap::new(), outer);
    (egress.with_enforcement(Enforcement::Learn(recorder.clone())), recorder)
}

fn destination(text: &str) -> Destination {
    text.parse().unwrap()
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Whether the learnt manifest, and nothing else, lets each of these out.
fn assert_allows(manifest: &str, destinations: &[(&str, bool)]) {
    let manifest = Manifest::parse(manifest, &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
    let policy = EgressPolicy::new(manifest.rules).unwrap();
    for (text, allowed) in destinations {
        assert_eq!(policy.judge(&destination(text)).is_ok(), *allowed, "{text}");
    }
}

#[tokio::test]
async fn what_nothing_allows_passes_and_makes_a_manifest_that_allows_it() {
    let (_listener, port) = listener().await;
    let (egress, recorder) = learning("version: v1\n");
    for _ in 0..2 {
        egress.open(&destination(&format!("127.0.0.1:{port}"))).await.unwrap();
    }
    let learnt = recorder.manifest();
    let expected = format!(
        "{HEADER}version: v1\noutboundConnections:\n  # 2 times, first after 0 s\n  - type: default\n    fqdn: \"127.0.0.1\"\n    port: {port}\n"
    );
    assert_eq!(learnt, expected);
    assert_allows(
        &learnt,
        &[(&format!("127.0.0.1:{port}"), true), ("127.0.0.1:1", false), ("a.example:443", false)],
    );
}

#[tokio::test]
async fn a_special_address_that_a_name_led_to_is_learnt_once_it_was_used() {
    let (_listener, port) = listener().await;
    let path = std::env::temp_dir().join(format!("cs-learn-{}", std::process::id()));
    host_half(&path);
    let host = || Outer::Host(HostLink::new(Dial::Unix(path.clone())));
    for outer in [&(|| Outer::Direct) as &dyn Fn() -> Outer, &host] {
        let (egress, recorder) = learning_by("version: v1\n", outer());
        egress.open(&destination(&format!("localhost:{port}"))).await.unwrap();
        let learnt = recorder.manifest();
        assert!(
            learnt.contains(&format!(
                "  # localhost:{port} led to it\n  - type: default\n    fqdn: \"127.0.0.1\"\n"
            )),
            "{learnt}"
        );
        // Now the rules hold, and the same connection passes.
        let manifest = Manifest::parse(&learnt, &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
        let policy = EgressPolicy::new(manifest.rules).unwrap();
        let egress = Egress::new(policy, HashMap::new(), outer());
        egress.open(&destination(&format!("localhost:{port}"))).await.unwrap();
    }
    fs::remove_file(&path).unwrap();
}

/// One that knows 127.0.0.1 for every name, and says that it dialled it.
fn host_half(path: &Path) {
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    let addresses = vec![Ipv4Addr::LOCALHOST.into()];
    let resolved = Answer::Resolved(Resolved { addresses, lifetime_seconds: 0 }).encode();
    let connected = Answer::Connected(Ipv4Addr::LOCALHOST.into()).encode();
    fake::serve(listener, move |mut stream| {
        let (resolved, connected) = (resolved.clone(), connected.clone());
        async move {
            let mut head = Vec::new();
            while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                if head.ends_with(b"\r\n\r\n") {
                    let answer = if head.starts_with(b"GET") { &resolved } else { &connected };
                    stream.write_all(answer).await.unwrap();
                    head.clear();
                }
            }
        }
    });
}

#[tokio::test]
async fn deny_rules_hold_for_names_and_for_addresses() {
    let (_listener, port) = listener().await;
    let (egress, recorder) =
        learning("version: v1\negress: { allow: [ok.example], deny: [no.example, 127.0.0.0/8] }\n");
    for text in ["no.example:443".to_owned(), format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        match egress.open(&destination(&text)).await {
            Err(EgressError::Denied { why, .. }) => {
                assert!(why.starts_with("denied by egress.deny["), "{why}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    match egress.open(&destination("224.0.0.1:443")).await {
        Err(EgressError::Denied { why, .. }) => assert!(why.contains("no rule can allow it"), "{why}"),
        other => panic!("{other:?}"),
    }
    let learnt = recorder.manifest();
    assert!(
        learnt.contains("no.example:443, and did not pass: denied by egress.deny[0] (line 2)"),
        "{learnt}"
    );
    assert_allows(
        &learnt,
        &[("no.example:443", false), ("224.0.0.1:443", false), (&format!("127.0.0.1:{port}"), false)],
    );
}

#[test]
fn what_is_gated_is_not_learnt_as_a_way_past_its_proxy() {
    let (_, recorder) = learning(
        "- { type: proxy, fqdn: kms.example, port: 443, proxyUrl: 'https://p.example' }\n- { fqdn: plain.example, port: 443 }\n- { type: enclave, fqdn: peer.example, port: 7, configMap: m }\n",
    );
    let rule = Rule::new(Action::Allow, "**".parse().unwrap(), "x\n- evil: 1");
    let deny = Rule::new(Action::Deny, "**".parse().unwrap(), "peers");
    recorder.settle(&destination("kms.example:443"), Ok(&rule)).unwrap();
    recorder.settle(&destination("plain.example:443"), Ok(&rule)).unwrap();
    recorder.settle(&destination("peer.example:7"), Err(Denial::Rule(&deny))).unwrap_err();
    let expected = "version: v1
outboundConnections:
  # once, first after 0 s: kms.example:443, through its proxy; keep its entry of type proxy
  # once, first after 0 s: peer.example:7, and did not pass: denied by peers: deny **
  # once, first after 0 s; was allowed by x - evil: 1: allow **
  - type: default
    fqdn: \"plain.example\"
    port: 443
";
    assert_eq!(recorder.manifest(), format!("{HEADER}{expected}"));
}

#[test]
fn nothing_asked_for_is_a_manifest_that_allows_nothing() {
    let (_, recorder) = learning("version: v1\n");
    assert_eq!(recorder.manifest(), format!("{HEADER}version: v1\noutboundConnections: []\n"));
    assert_allows(&recorder.manifest(), &[("a.example:443", false)]);
}

#[test]
fn no_more_than_so_many_destinations_are_kept() {
    let (_, recorder) = learning("version: v1\n");
    for index in 0..MAX_DESTINATIONS + 3 {
        recorder.settle(&destination(&format!("n{index}.example:443")), Err(Denial::NoRule)).unwrap();
    }
    recorder.settle(&destination("n0.example:443"), Err(Denial::NoRule)).unwrap();
    let learnt = recorder.manifest();
    assert_eq!(learnt.matches("type: default").count(), MAX_DESTINATIONS);
    assert!(learnt.contains("\n# 3 connections went to others than these 10000 destinations.\n"));
    assert_allows(&learnt, &[("n9999.example:443", true), ("n10000.example:443", false)]);
}

#[tokio::test(start_paused = true)]
async fn the_file_is_replaced_every_five_seconds_when_there_is_something_new() {
    let directory = std::env::temp_dir().join(format!("countersign-learn-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("learnt.yaml");
    let (_, recorder) = learning("version: v1\n");
    let keeper = tokio::spawn(recorder.clone().keep(file.clone()));
    recorder.settle(&destination("a.example:443"), Err(Denial::NoRule)).unwrap();
    // Time stands still while the file is written, and moves on when everybody waits.
    tokio::time::sleep(WRITE_EVERY * 2).await;
    let written = fs::read_to_string(&file).unwrap();
    assert_eq!(written, recorder.manifest());
    fs::remove_file(&file).unwrap();
    tokio::time::sleep(WRITE_EVERY * 2).await;
    assert!(!file.exists(), "nothing was new");
    keeper.abort();
    fs::remove_dir_all(&directory).unwrap();
}
