use std::io;

use countersign_protocol::Interval;

use super::*;
use crate::transport::Dial;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(text, &|_| Err(io::ErrorKind::NotFound.into()))
}

#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    match parse(text) {
        Err(ManifestError::Mistakes(mistakes)) => mistakes.iter().map(Mistake::to_string).collect(),
        other => panic!("expected mistakes, got {other:?}"),
    }
}

#[test]
fn the_smallest_manifest_has_oblvs_defaults() {
    let manifest = parse(
        "version: v1
outboundConnections:
  - type: proxy
    fqdn: KMS.us-west-2.amazonaws.com.
    port: 443
    proxyUrl: https://kms-proxy.example.com
",
    )
    .unwrap();
    assert_eq!(manifest.proxy_port, 3128);
    let [proxy] = &manifest.proxies[..] else { panic!("{manifest:?}") };
    assert_eq!(proxy.name.to_string(), "kms-proxy.example.com");
    assert_eq!(proxy.attestation, Dial::Tcp("kms-proxy.example.com:12200".parse().unwrap()));
    assert_eq!(proxy.gateway, Dial::Tcp("kms-proxy.example.com:443".parse().unwrap()));
    assert_eq!(proxy.gateway_port, Some(443));
    assert_eq!(proxy.interval, Interval::MIN);
    assert_eq!(proxy.destinations, ["kms.us-west-2.amazonaws.com:443".parse().unwrap()]);
}

#[test]
fn connections_through_one_proxy_share_it() {
    let manifest = parse(
        "version: v1
egress: { proxy_port: 0 }
outboundConnections:
  - { type: proxy, fqdn: a.example, port: 443, proxyUrl: 'https://p.example:8443/', proxyAttestationIntervalSeconds: 300 }
  - { type: proxy, fqdn: b.example, port: 443, proxyUrl: 'HTTPS://P.example.:8443', attestationPort: 12200, proxyAttestationIntervalSeconds: 60, transport: tcp }
  - { type: proxy, fqdn: c.example, port: 443, proxyUrl: 'https://p.example:8443', transport: { attestation: 'vsock:3:12200', gateway: 'unix:/run/g.sock' } }
",
    )
    .unwrap();
    assert_eq!(manifest.proxy_port, 0);
    let [shared, apart] = &manifest.proxies[..] else { panic!("{manifest:?}") };
    assert_eq!(shared.destinations.len(), 2);
    assert_eq!(shared.interval, Interval::from_secs(60).unwrap());
    assert_eq!(apart.attestation, Dial::Vsock { cid: 3, port: 12200 });
    assert_eq!(apart.gateway, Dial::Unix("/run/g.sock".into()));
    assert_eq!(apart.gateway_port, None);
}

#[test]
fn no_connection_is_a_manifest_that_reaches_nothing() {
    assert!(parse("version: v1\n").unwrap().proxies.is_empty());
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let found = mistakes(
        "version: v2
egres: {}
name: app
egress:
  proxy_port: 65536
  allow: [a]
outboundConnections:
  - type: proxy
    fqdn: 'a b.example'
    port: 0
    proxyURL: https://p.example
    attestationPort: '12200'
    proxyAttestationIntervalSeconds: 14
  - type: default
    fqdn: b.example
    port: 443
  - type: enclave
    fqdn: c.example
    port: 443
    configMap: peer
  - type: prox
    fqdn: [d.example]
    port: -1
  - nothing
",
    );
    assert_eq!(
        found,
        [
            "1:10: version: expected v1, found \"v2\"",
            "2:1: egres: unknown field, did you mean egress?",
            "3:1: name: not supported in this version: see docs/manifest.md",
            "5:15: egress.proxy_port: expected 0 to 65535",
            "6:3: egress.allow: not supported in this version: see docs/manifest.md",
            "8:5: outboundConnections[0].proxyUrl: is missing, type proxy needs it",
            "9:11: outboundConnections[0].fqdn: host is no DNS name",
            "10:11: outboundConnections[0].port: expected 1 to 65535, found 0",
            "11:5: outboundConnections[0].proxyURL: unknown field, did you mean proxyUrl?",
            "12:22: outboundConnections[0].attestationPort: expected a whole number, found a text",
            "13:38: outboundConnections[0].proxyAttestationIntervalSeconds: attestation interval of 14 s is outside 15 to 300 s",
            "14:11: outboundConnections[1].type: not supported in this version: see docs/manifest.md",
            "17:11: outboundConnections[2].type: not supported in this version: see docs/manifest.md",
            "20:5: outboundConnections[2].configMap: not supported in this version: see docs/manifest.md",
            "21:11: outboundConnections[3].type: expected proxy, default or enclave, found \"prox\"",
            "22:11: outboundConnections[3].fqdn: expected a text, found a list",
            "23:11: outboundConnections[3].port: expected a whole number, found a number that is negative or has a fraction",
            "24:5: outboundConnections[4]: expected a mapping, found a text",
        ]
    );
}

#[test]
fn proxy_urls_are_https_with_host_and_port_only() {
    for url in [
        "http://p.example",
        "p.example",
        "https://",
        "https://p.example/path",
        "https://user@p.example",
        "https://p.example?x",
        "https://p.example:0",
        "https://p.example//",
        "https://*.example",
    ] {
        let text = format!(
            "version: v1\noutboundConnections:\n  - {{ type: proxy, fqdn: a.example, port: 1, proxyUrl: '{url}' }}\n"
        );
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{url}: {found:?}");
        assert!(
            found[0].starts_with("3:56: outboundConnections[0].proxyUrl: expected https://host"),
            "{found:?}"
        );
    }
    let v6 = "version: v1\noutboundConnections:\n  - { type: proxy, fqdn: a.example, port: 1, proxyUrl: 'https://[::1]' }\n";
    assert_eq!(parse(v6).unwrap().proxies[0].gateway, Dial::Tcp("[::1]:443".parse().unwrap()));
}

#[test]
fn one_destination_stands_once() {
    let found = mistakes(
        "version: v1
outboundConnections:
  - { type: proxy, fqdn: a.example, port: 443, proxyUrl: 'https://p.example' }
  - { type: proxy, fqdn: A.example., port: 443, proxyUrl: 'https://q.example' }
",
    );
    assert_eq!(found, ["4:5: outboundConnections[1]: a.example:443 stands at line 3 already"]);
}

#[test]
fn anchors_are_read_and_checked() {
    let entry = |more: &str| {
        format!(
            "version: v1\noutboundConnections:\n  - type: proxy\n    fqdn: a.example\n    port: 443\n    proxyUrl: https://p.example\n{more}"
        )
    };
    assert_eq!(
        mistakes(&entry("    proxyAnchorFile: missing.pem\n")),
        ["7:22: outboundConnections[0].proxyAnchorFile: cannot be read: entity not found"]
    );
    assert_eq!(
        mistakes(&entry("    proxyAnchor: nothing\n")),
        ["7:18: outboundConnections[0].proxyAnchor: no PEM certificate (-----BEGIN CERTIFICATE-----) in it"]
    );
    assert_eq!(
        mistakes(&entry("    proxyAnchor: x\n    proxyAnchorFile: y\n")),
        ["8:22: outboundConnections[0].proxyAnchorFile: stands beside proxyAnchor; write one of the two"]
    );
    let pem = rcgen::generate_simple_self_signed(["p.example".to_owned()]).unwrap().cert.pem();
    let inline: String = pem.lines().map(|line| format!("      {line}\n")).collect();
    parse(&entry(&format!("    proxyAnchor: |\n{inline}"))).unwrap();
    Manifest::parse(&entry("    proxyAnchorFile: a.pem\n"), &|path| {
        assert_eq!(path, Path::new("a.pem"));
        Ok(pem.clone().into_bytes())
    })
    .unwrap();
}

#[test]
fn what_is_no_manifest_is_one_mistake() {
    assert_eq!(mistakes("[]")[0], "1:1: expected a mapping, found a list");
    for text in ["", "a: [", "version: v1\nversion: v1\n", "a: 1\n---\nb: 2\n", "\t", "? [a]\n: b\n"] {
        assert_eq!(mistakes(text).len(), 1, "{text:?}");
    }
    // Each line doubles what the one before stands for.
    let lines = (1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
    let bomb: String = std::iter::once("a0: &a0 [x]\n".to_owned()).chain(lines).collect();
    assert_eq!(mistakes(&bomb).len(), 1);
}
