//! Peers: what pins their configuration, and how their bytes go.

use super::*;
use crate::peers::config::Pin;

const KEY: &str = "-----BEGIN PUBLIC KEY-----\\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\\n-----END PUBLIC KEY-----";
const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn outbound(more: &str) -> String {
    format!("- {{ type: enclave, fqdn: a.example, port: 7, configMap: a, {more} }}\n")
}

fn ports(more: &str) -> String {
    format!(
        "version: v1\ningress: [{{ listen_port: 1 }}]\npeers:\n  - {{ listenPort: 7, configMap: a, {more} }}\n"
    )
}

#[test]
fn a_pinned_peer_is_reached_by_its_rule_and_by_nothing_else() {
    let manifest =
        parse(&outbound(&format!("configSigner: \"{KEY}\", peerAttestationIntervalSeconds: 60"))).unwrap();
    let [peer] = &manifest.peers[..] else { panic!("{:?}", manifest.peers) };
    assert_eq!(
        (peer.destination.to_string().as_str(), peer.source.config_map.as_str()),
        ("a.example:7", "a")
    );
    assert_eq!(peer.interval.duration().as_secs(), 60);
    assert!(matches!(&peer.source.pin, Pin::Signer(key) if key.algorithm().to_string() == "ed25519"));
    assert!(manifest.proxies.is_empty() && manifest.warnings.is_empty());
    let rules: Vec<_> = manifest.rules.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["[0] (line 1): allow a.example:7"]);
}

#[test]
fn its_bytes_may_go_through_a_proxy() {
    let text = outbound(&format!(
        "configSha256: {HASH}, proxyUrl: 'https://p.example', proxyAttestationIntervalSeconds: 30"
    ));
    let manifest = parse(&text).unwrap();
    let [proxy] = &manifest.proxies[..] else { panic!("{:?}", manifest.proxies) };
    assert_eq!((proxy.name.to_string().as_str(), proxy.interval.duration().as_secs()), ("p.example", 30));
    assert_eq!(proxy.destinations, [manifest.peers[0].destination.clone()]);
    assert_eq!(
        mistakes(&outbound(&format!("configSha256: {HASH}, attestationPort: 1"))),
        [format!("1:{}: [0]: is about a proxy, and this entry has no proxyUrl", 74 + HASH.len() + 19)]
    );
}

#[test]
fn a_pin_is_one_that_can_be_read() {
    for (more, says) in [
        (format!("configSha256: {HASH}0"), "[0].configSha256: a SHA-256 is 64 hexadecimal digits"),
        ("configSigner: x".to_owned(), "[0].configSigner: no PEM public key"),
        ("configSignerFile: missing".to_owned(), "[0].configSignerFile: cannot be read"),
        (
            format!("configSha256: {HASH}, configSignerFile: x"),
            "[0].configMap: expected one of configSigner, configSignerFile and configSha256",
        ),
    ] {
        let found = mistakes(&outbound(&more));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(says), "{found:?}");
    }
    let text = "- { type: enclave, fqdn: a.example, port: 7, configMap: ../a }\n";
    let found = mistakes(text);
    assert!(found[0].contains("[0].configMap: expected letters"), "{found:?}");
}

#[test]
fn a_port_for_peers_needs_a_pin_and_a_place_of_its_own() {
    let manifest = parse(&ports(&format!("configSha256: {HASH}, applicationPort: 8"))).unwrap();
    let [port] = &manifest.peer_ports[..] else { panic!("{:?}", manifest.peer_ports) };
    assert_eq!((port.listen_port.get(), port.application_port.get()), (7, 8));
    let manifest = parse(&ports(&format!("configSha256: {HASH}"))).unwrap();
    assert_eq!(manifest.peer_ports[0].application_port.get(), 7);
    assert_eq!(
        mistakes(&ports("")),
        [
            "4:5: peers[0]: nothing pins the peer's configuration, and whoever runs the cluster can write a ConfigMap: add configSigner, configSignerFile or configSha256"
        ]
    );
    let taken = ports(&format!("configSha256: {HASH}")).replace("listen_port: 1", "listen_port: 7");
    assert_eq!(mistakes(&taken), ["4:19: peers[0].listenPort: 7 stands at line 2 already"]);
}

#[test]
fn all_mistakes_of_a_peer_are_told_at_once() {
    assert_eq!(
        mistakes(
            "- { type: enclave, fqdn: a.example, port: 7, configMap: ../a, configSha256: x, proxyUrl: p }\n"
        ),
        [
            "1:57: [0].configMap: expected letters, digits, hyphens, underscores and dots",
            "1:77: [0].configSha256: a SHA-256 is 64 hexadecimal digits",
            "1:90: [0].proxyUrl: expected https://host or https://host:port",
        ]
    );
}
