use std::io;

use countersign_protocol::{Interval, egress::EgressPolicy};

use super::*;
use crate::transport::Dial;

mod attacks;
mod config_maps;
mod kms;
mod peers;
mod schema;
mod seeds;
mod telemetry;

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
    assert_eq!(manifest.proxy_port, 9000);
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
name: 7
egress:
  proxy_port: 65536
  allow: [a, '*x.example', 5]
  deny: 10.0.0.0/8
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
    redirects: yes
  - type: enclave
    fqdn: c.example
    port: 443
  - type: prox
    fqdn: [d.example]
    port: -1
  - nothing
  - fqdn: { value: e.example, configMap: { name: m } }
    port: 443
  - fqdn: {}
  - { type: proxy, fqdn: f.example, port: 1, proxyUrl: 'https://p.example', transport: { gateway: 'udp:1', attestation: 5 } }
ingress:
  - tls: { key_file: k, attested: [] }
  - listen_port: 8000
  - { listen_port: 8000, tls: { cert_file: c } }
  - { listen_port: 8001, tls: { attested: ['*.example', ok.example] } }
  - { listen_port: 8002, tls: { attested: [] } }
kms_proxy: { port: 9999, endpoints: { us-east-1: 5 } }
sources: { application: x }
defaults: { cpu_count: 0, memory_mb: 1.5 }
signature: { certificate: c }
kind: Deployment
",
    );
    let expected = [
        "1:10: version: expected v1, found \"v2\"",
        "2:1: egres: unknown field, did you mean egress?",
        "3:7: name: expected a text, found a number",
        "5:15: egress.proxy_port: expected 0 to 65535, found 65536",
        "6:14: egress.allow[1]: \"*x\": only a whole label can be a wildcard (* for one, ** for one or more)",
        "6:28: egress.allow[2]: expected a text, found a number",
        "7:9: egress.deny: expected a list, found a text",
        "9:5: outboundConnections[0].proxyUrl: is missing, type proxy needs it",
        "10:11: outboundConnections[0].fqdn: host is no DNS name",
        "11:11: outboundConnections[0].port: expected 1 to 65535, found 0",
        "12:5: outboundConnections[0].proxyURL: unknown field, did you mean proxyUrl?",
        "13:22: outboundConnections[0].attestationPort: expected a whole number, found a text",
        "14:38: outboundConnections[0].proxyAttestationIntervalSeconds: expected 15 to 300, found 14",
        "18:16: outboundConnections[1].redirects: expected true or false, found a text",
        "19:5: outboundConnections[2].configMap: is missing, type enclave needs it",
        "22:11: outboundConnections[3].type: expected proxy, default or enclave, found \"prox\"",
        "23:11: outboundConnections[3].fqdn: expected a text or a mapping of value, configMap, found a list",
        "24:11: outboundConnections[3].port: expected a whole number, found a number that is negative or has a fraction",
        "25:5: outboundConnections[4]: expected a mapping, found a text",
        "26:11: outboundConnections[5].fqdn: expected only one of: value, or configMap",
        "26:42: outboundConnections[5].fqdn.configMap.key: is missing",
        "26:42: outboundConnections[5].fqdn.configMap.type: is missing",
        "26:42: outboundConnections[5].fqdn.configMap.ref: is missing",
        "28:5: outboundConnections[6].port: is missing",
        "28:11: outboundConnections[6].fqdn: expected value, or configMap",
        "29:99: outboundConnections[7].transport.gateway: ",
        "29:121: outboundConnections[7].transport.attestation: expected a text, found a number",
        "31:5: ingress[0].listen_port: is missing",
        "31:10: ingress[0].tls: expected only one of: key_file and cert_file, or attested",
        "33:20: ingress[2].listen_port: 8000 stands at line 32 already",
        "33:31: ingress[2].tls.key_file: is missing",
        "34:44: ingress[3].tls.attested[0]: host is no DNS name",
        "35:31: ingress[4].tls.attested: expected at least one name",
        "36:12: kms_proxy.listen_port: is missing",
        "36:14: kms_proxy.port: unknown field; known are listen_port, endpoints, operations, keys, encryption_context, anchor_file, endpoint_kind, credentials",
        "36:50: kms_proxy.endpoints.us-east-1: expected a text, found a number",
        "37:10: sources.app: is missing",
        "37:12: sources.application: unknown field; known are app, supervisor, wrapper, odyn, sleeve",
        "38:24: defaults.cpu_count: expected 1 to 2147483647, found 0",
        "38:38: defaults.memory_mb: expected a whole number, found a number that is negative or has a fraction",
        "39:12: signature.key: is missing",
        "40:7: kind: expected NitroEnclaveDeployment, found \"Deployment\"",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        let whole = !expected.ends_with(' ');
        assert!(if whole { found == expected } else { found.starts_with(expected) }, "{found}\n{expected}");
    }
}

#[test]
fn a_version_stands_where_a_word_of_enclaver_does() {
    let list = "outboundConnections: []\n";
    parse(list).unwrap();
    parse(&format!("version: v1\n{list}")).unwrap();
    parse("[]").unwrap();
    parse("userPlugins: []").unwrap();
    for text in ["{}", "egress: {}", &format!("{list}name: x\n"), &format!("{list}ingress: []\n")] {
        assert_eq!(mistakes(text), ["1:1: version: is missing"], "{text}");
    }
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
    assert_eq!(
        found,
        ["4:5: outboundConnections[1]: a.example:443 stands at line 3 already, with another meaning"]
    );
}

#[test]
fn two_plugins_may_name_one_destination_when_they_mean_the_same() {
    let plugins = |second: &str| {
        format!(
            "userPlugins:\n- outboundConnections:\n  - {{ fqdn: a.example, port: 443 }}\n- outboundConnections:\n  - {{ {second} }}\n"
        )
    };
    assert_eq!(parse(&plugins("type: default, fqdn: A.example, port: 443")).unwrap().rules.len(), 1);
    assert_eq!(
        mistakes(&plugins("type: proxy, fqdn: a.example, port: 443, proxyUrl: 'https://p.example'")),
        [
            "5:5: userPlugins[1].outboundConnections[0]: a.example:443 stands at line 3 already, with another meaning"
        ]
    );
}

#[test]
fn what_is_never_reached_is_a_warning() {
    let warnings = |allow: &str, deny: &str| {
        let manifest =
            parse(&format!("version: v1\negress:\n  allow: ['{allow}']\n  deny: ['{deny}']\n")).unwrap();
        manifest.warnings.len()
    };
    for (allow, deny) in [
        ("a.example", "a.example"),
        ("a.example:443", "*.example"),
        ("a.example:443", "a.example:1-500"),
        ("*.example", "*.example"),
        ("10.0.0.7", "10.0.0.0/8"),
        ("host", "host"),
    ] {
        assert_eq!(warnings(allow, deny), 1, "{allow} {deny}");
    }
    let manifest = parse("- { fqdn: 0.0.0.0, port: 1 }").unwrap();
    let never = "1:3: [0]: is never reached: 0.0.0.0 is no unicast address, and no rule can allow it";
    assert_eq!(manifest.warnings.iter().map(Mistake::to_string).collect::<Vec<_>>(), [never]);
    for (allow, deny) in [
        ("a.example", "a.example:443"),
        ("a.b.example", "*.example"),
        ("**.example", "*.example"),
        ("10.0.0.0/8", "10.0.0.7"),
        ("host", "**"),
    ] {
        assert_eq!(warnings(allow, deny), 0, "{allow} {deny}");
    }
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
