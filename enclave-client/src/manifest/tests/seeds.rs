//! The manifests of the two worlds, unchanged. Their pages lost the indentation on the way to us; it is restored.

use std::{io, path::PathBuf};

use super::*;

/// What a manifest comes to, as lines.
#[derive(Debug, PartialEq)]
struct Meaning<'a> {
    proxy_port: u16,
    rules: Vec<&'a str>,
    proxies: Vec<&'a str>,
    peers: Vec<&'a str>,
    ingress: Vec<u16>,
    kms_port: Option<u16>,
    warnings: Vec<&'a str>,
}

impl Meaning<'_> {
    const NOTHING: Self = Self {
        proxy_port: 9000,
        rules: Vec::new(),
        proxies: Vec::new(),
        peers: Vec::new(),
        ingress: Vec::new(),
        kms_port: None,
        warnings: Vec::new(),
    };
}

#[track_caller]
fn assert_means(manifest: &Manifest, expected: &Meaning<'_>) {
    let rules: Vec<_> = manifest.rules.iter().map(ToString::to_string).collect();
    let proxy = |proxy: &ProxyEntry| {
        let ProxyEntry { name, attestation, gateway, interval, destinations, .. } = proxy;
        format!("{name} {attestation:?} {gateway:?} {} {destinations:?}", interval.duration().as_secs())
    };
    let proxies: Vec<_> = manifest.proxies.iter().map(proxy).collect();
    let peers: Vec<_> = manifest
        .peers
        .iter()
        .map(|peer| format!("{} {}", peer.destination, peer.source.config_map))
        .collect();
    let warnings: Vec<_> = manifest.warnings.iter().map(ToString::to_string).collect();
    let found = Meaning {
        proxy_port: manifest.proxy_port,
        rules: rules.iter().map(String::as_str).collect(),
        proxies: proxies.iter().map(String::as_str).collect(),
        peers: peers.iter().map(String::as_str).collect(),
        ingress: manifest.ingress.iter().map(|entry| entry.listen_port.get()).collect(),
        kms_port: manifest.kms.as_ref().map(|kms| u16::from(kms.port)),
        warnings: warnings.iter().map(String::as_str).collect(),
    };
    assert_eq!(found, *expected);
}

#[test]
fn enclavers_example() {
    let manifest = parse(include_str!("../fixtures/enclaver-manifest.yaml")).unwrap();
    assert_means(
        &manifest,
        &Meaning {
            rules: vec![
                "egress.allow[0] (line 10): allow google.com",
                "egress.allow[1] (line 11): allow www.google.com",
            ],
            ingress: vec![8080],
            ..Meaning::NOTHING
        },
    );
    assert_eq!(manifest.ingress[0].tls, IngressTls::Passthrough);
}

#[test]
fn enclavers_wildcards() {
    assert_means(
        &parse(include_str!("../fixtures/enclaver-networking.yaml")).unwrap(),
        &Meaning {
            rules: vec![
                "egress.allow[0] (line 8): allow kms.*.amazonaws.com",
                "egress.allow[1] (line 9): allow s3.amazonaws.com",
                "egress.allow[2] (line 10): allow **.mycorp.com",
                "egress.deny[0] (line 13): deny auth.mycorp.com",
            ],
            ingress: vec![3000],
            ..Meaning::NOTHING
        },
    );
}

#[test]
fn every_word_of_enclaver() {
    let manifest = parse(include_str!("../fixtures/enclaver-all-words.yaml")).unwrap();
    assert_means(
        &manifest,
        &Meaning {
            proxy_port: 9090,
            rules: vec![
                "egress.allow[0] (line 23): allow 169.254.169.254",
                "egress.allow[1] (line 24): allow kms.*.amazonaws.com",
                "egress.allow[2] (line 25): allow 10.0.0.0/8",
                "egress.allow[3] (line 26): allow 2001:db8::1",
                "egress.allow[4] (line 27): allow host",
            ],
            ingress: vec![8001, 8443],
            kms_port: Some(9999),
            warnings: vec![
                "18:1: api: has no effect in this version: nothing listens on the attestation API",
            ],
            ..Meaning::NOTHING
        },
    );
    let tls = IngressTls::Files { certificate: "/etc/app/server.pem".into(), key: "tls/server.key".into() };
    assert_eq!(manifest.ingress[1].tls, tls);
}

const PROXY: &str = "kms-proxy.oblv.com \
    Tcp(Destination { host: Name(\"kms-proxy.oblv.com\"), port: 12200 }) \
    Tcp(Destination { host: Name(\"kms-proxy.oblv.com\"), port: 443 }) 15 \
    [Destination { host: Name(\"kms.us-west-2.amazonaws.com\"), port: 443 }]";

#[test]
fn oblvs_example_as_plugins() {
    assert_means(
        &parse(include_str!("../fixtures/oblv-user-plugins.yaml")).unwrap(),
        &Meaning {
            rules: vec![
                "userPlugins[0].outboundConnections[0] (line 11): allow oblv.com:443",
                "userPlugins[0].outboundConnections[1] (line 14): allow kms.us-west-2.amazonaws.com:443",
                "userPlugins[0].outboundConnections[2] (line 19), a peer enclave whose configuration nothing pins: deny spark-worker.default.svc.cluster.local:7076",
            ],
            proxies: vec![PROXY],
            peers: vec![],
            warnings: vec![
                "19:9: userPlugins[0].outboundConnections[2]: spark-worker.default.svc.cluster.local:7076 cannot be reached: nothing pins the peer's configuration, and whoever runs the cluster can write a ConfigMap: add configSigner, configSignerFile or configSha256",
            ],
            ..Meaning::NOTHING
        },
    );
}

#[test]
fn oblvs_list_bare_and_under_its_word() {
    let list = include_str!("../fixtures/oblv-list.yaml");
    let under = format!("outboundConnections:\n{list}");
    for (text, path, line) in [(list, "", 1), (&under, "outboundConnections", 2)] {
        let rule = |index: usize, more: &str| {
            format!("{path}[{index}] (line {})", [line, line + 3, line + 8][index]) + more
        };
        let expected = [
            rule(0, ": allow oblv.com:443"),
            rule(1, ": allow kms.us-west-2.amazonaws.com:443"),
            rule(
                2,
                ", a peer enclave whose configuration nothing pins: deny spark-worker.default.svc.cluster.local:7076",
            ),
        ];
        let warning = format!(
            "{}:{}: {path}[2]: spark-worker.default.svc.cluster.local:7076 cannot be reached: nothing pins the peer's configuration, and whoever runs the cluster can write a ConfigMap: add configSigner, configSignerFile or configSha256",
            line + 8,
            3
        );
        assert_means(
            &parse(text).unwrap(),
            &Meaning {
                rules: expected.iter().map(String::as_str).collect(),
                proxies: vec![PROXY],
                peers: vec![],
                warnings: vec![&warning],
                ..Meaning::NOTHING
            },
        );
    }
}

#[test]
fn oblvs_older_form() {
    let read = |path: &Path| {
        assert_eq!(path, PathBuf::from("fluentbitConfigMap/fluent-bit.yaml"));
        Ok(b"pipeline:\n  outputs:\n    - name: es\n      host: Logs.Example.\n".to_vec())
    };
    let files = Files { beside: &|_| Err(io::ErrorKind::NotFound.into()), config_maps: Some(&read) };
    assert_means(
        &Manifest::parse_with(include_str!("../fixtures/oblv-older.yaml"), &files).unwrap(),
        &Meaning {
            rules: vec![
                "containers[0].outboundConnections[0] (line 5): allow example.com:443",
                "containers[0].outboundConnections[1] (line 10): allow logs.example:443",
                "containers[0].outboundConnections[2] (line 19): allow plain.example:80",
            ],
            warnings: vec![
                "7:20: containers[0].outboundConnections[0].redirects: grants nothing: list what is redirected to as entries of their own",
            ],
            ..Meaning::NOTHING
        },
    );
}

#[test]
fn every_list_of_a_deployment_counts() {
    assert_means(
        &parse(include_str!("../fixtures/oblv-deployment.yaml")).unwrap(),
        &Meaning {
            rules: vec![
                "spec.userPlugins[0].outboundConnections[0] (line 11): allow oblv.com:443",
                "spec.userPlugins[1].outboundConnections[1] (line 15): allow spark.apache.org:443",
                "spec.plugins[0].spec.outboundConnections[0] (line 20): allow login.example:8443",
            ],
            ..Meaning::NOTHING
        },
    );
}

#[test]
fn both_words_in_one() {
    let manifest = parse(include_str!("../fixtures/both.yaml")).unwrap();
    assert_means(
        &manifest,
        &Meaning {
            rules: vec![
                "outboundConnections[0] (line 10): allow kms.us-west-2.amazonaws.com:443",
                "outboundConnections[1] (line 14): allow auth.mycorp.com:443",
                "egress.allow[0] (line 4): allow **.mycorp.com:443",
                "egress.allow[1] (line 4): allow 10.0.0.0/8",
                "egress.allow[2] (line 4): allow db.internal:5432",
                "egress.deny[0] (line 5): deny auth.mycorp.com",
                "egress.deny[1] (line 5): deny 10.0.0.7",
            ],
            proxies: vec![
                "kms-proxy.example.com Tcp(Destination { host: Name(\"kms-proxy.example.com\"), port: 12200 }) Tcp(Destination { host: Name(\"kms-proxy.example.com\"), port: 443 }) 15 [Destination { host: Name(\"kms.us-west-2.amazonaws.com\"), port: 443 }]",
            ],
            ingress: vec![8443],
            warnings: vec![
                "14:5: outboundConnections[1]: is never reached: denied by egress.deny[0] (line 5): deny auth.mycorp.com",
            ],
            ..Meaning::NOTHING
        },
    );
    let names = ["payments.example", "10.0.0.1"].map(str::to_owned);
    assert_eq!(manifest.ingress[0].tls, IngressTls::Attested { names: names.into() });
}

/// The fixtures are the pages' examples word for word.
#[test]
fn the_fixtures_are_the_seeds() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("COUNTERSIGN_SHARED").map_or_else(beside, PathBuf::from);
    if !shared.join("seeds").is_dir() {
        println!("skipped: no {}", shared.join("seeds").display());
        return;
    }
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (fixture, page) in [
        (include_str!("../fixtures/enclaver-manifest.yaml"), "enclaver-manifest.txt"),
        (include_str!("../fixtures/oblv-user-plugins.yaml"), "oblv-outbound-connections.txt"),
    ] {
        let page = std::fs::read_to_string(shared.join("seeds").join(page)).unwrap();
        assert!(words(&page).contains(&words(fixture)), "{fixture}");
    }
}
