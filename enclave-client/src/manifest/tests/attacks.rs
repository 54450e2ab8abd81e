//! Texts that are made to mislead, to exhaust, or to be read differently by another reader.

use super::*;

#[test]
fn what_is_no_manifest_is_one_mistake() {
    for (text, mistake) in [
        ("", "1:1: expected a mapping, found nothing"),
        ("nothing", "1:1: expected a mapping, found a text"),
        ("{}", "1:1: version: is missing"),
        ("a: [", "1:4: unclosed bracket '['"),
        ("version: v1\nversion: v1\n", "2:1: duplicate mapping key `version` is not allowed here"),
        ("a: 1\n---\nb: 2\n", "3:1: a second YAML document begins here; a manifest is one"),
        ("version: v1\n---\n", "2:4: a second YAML document begins here; a manifest is one"),
        ("? [a]\n: b\n", "1:3: expected string scalar"),
        ("null: b\n", "1:1: null is not allowed here"),
        ("version: !v2 v1\n", "1:14: unsupported tag `!v2`"),
        (
            "version: v1\negress: { allow: [!!binary ZXZpbC5jb20=] }\n",
            "2:28: egress.allow[0]: \"ZXZpbC5jb20=\" is no label of a DNS name",
        ),
        ("!!python/object:os.system\nversion: v1\n", "2:1: unsupported tag"),
        (
            "version: v1\negress:\n  allow:\n    - *.example.com\n",
            "4:7: a pattern needs quotes, since * begins a YAML alias: write '*.example.com'",
        ),
        ("version: v1\negress: { allow: *nobody }\n", "2:18: reference to unknown value"),
        (
            "version: v1\negress: { allow: [ ** ] }\n",
            "2:20: a pattern needs quotes, since * begins a YAML alias: write '*.example.com'",
        ),
    ] {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(found[0].starts_with(mistake), "{text:?}: {found:?}");
    }
}

#[test]
fn a_key_that_is_a_number_is_an_unknown_word() {
    let found = mistakes("version: v1\n1: x\n");
    assert!(found[0].starts_with("2:1: 1: unknown field; known are version, "), "{found:?}");
}

#[test]
fn aliases_cannot_grow_without_bound() {
    // Each line doubles what the one before stands for.
    let lines = (1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
    let bomb: String = std::iter::once("a0: &a0 [x]\n".to_owned()).chain(lines).collect();
    assert_eq!(
        mistakes(&bomb),
        ["17:12: YAML document too large or too complex: limits breached: Nodes { nodes: 250001 }"]
    );
    let rules = |count: usize| format!("version: v1\negress: {{ allow: [{}] }}\n", "x,".repeat(count));
    assert_eq!(mistakes(&rules(100_001)), ["1:1: 100001 rules, the limit is 100000"]);
    assert!(mistakes(&rules(300_000))[0].contains("too large or too complex"));
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let deep = format!("metadata: {}{}\n", open.repeat(50_000), close.repeat(50_000));
        assert_eq!(mistakes(&deep).len(), 1);
    }
    // The mapping itself is one.
    let nested =
        |depth: usize| format!("version: v1\nmetadata: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    parse(&nested(23)).unwrap();
    let found = mistakes(&nested(24));
    assert_eq!(found, ["2:34: YAML document too large or too complex: limits breached: Depth { depth: 25 }"]);
}

#[test]
fn a_manifest_has_at_most_a_mebibyte() {
    let comment = |length: usize| format!("version: v1\n#{}\n", "x".repeat(length));
    parse(&comment((1 << 20) - 14)).unwrap();
    match parse(&comment((1 << 20) - 13)) {
        Err(ManifestError::Read(why)) => assert_eq!(why.kind(), io::ErrorKind::FileTooLarge),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_typing_slip_in_a_deployment_does_not_lose_its_rules_silently() {
    let found = mistakes(
        "spec:\n  userPlugins:\n    - outboundConnection:\n        - { fqdn: a.example, port: 1 }\n",
    );
    assert_eq!(
        found,
        ["3:7: spec.userPlugins[0].outboundConnection: unknown field, did you mean outboundConnections?"]
    );
}

#[test]
fn an_empty_word_never_means_a_weaker_rule() {
    // A template whose variable is empty must not fall back on the public roots, or on a plain connection.
    let entry = |more: &str| {
        format!(
            "outboundConnections:\n  - {{ type: proxy, fqdn: a.example, port: 1, proxyUrl: 'https://p.example', {more} }}\n"
        )
    };
    for (more, mistake) in [
        ("proxyAnchor: ", "2:88: outboundConnections[0].proxyAnchor: expected a text, found nothing"),
        ("proxyAnchorFile: ", "2:92: outboundConnections[0].proxyAnchorFile: expected a text, found nothing"),
        (
            "transport: ",
            "2:86: outboundConnections[0].transport: expected tcp or a mapping of attestation, gateway, found nothing",
        ),
    ] {
        assert_eq!(mistakes(&entry(more)), [mistake]);
    }
    // Nor may TLS be switched off, or an entry with its deny rule be lost.
    for (text, mistake) in [
        (
            "version: v1\ningress:\n  - { listen_port: 443, tls: }\n",
            "3:28: ingress[0].tls: expected a mapping, found nothing",
        ),
        (
            "outboundConnections:\n  - { type: default, fqdn: { configMap: }, port: 1 }\n",
            "2:39: outboundConnections[0].fqdn.configMap: expected a mapping, found nothing",
        ),
    ] {
        assert_eq!(mistakes(text), [mistake]);
    }
    assert_eq!(
        mistakes("outboundConnections:\n  - { type: , fqdn: a.example, port: 1 }\n"),
        ["2:11: outboundConnections[0].type: expected proxy, default or enclave, found nothing"]
    );
}

#[test]
fn a_forgotten_type_does_not_open_a_way_past_the_proxy() {
    assert_eq!(
        mistakes("- { fqdn: a.example, port: 1, proxyUrl: 'https://p.example' }\n"),
        ["1:31: [0].proxyUrl: belongs to type proxy or enclave, and this entry has no type"]
    );
    assert_eq!(
        mistakes("- { type: default, fqdn: a.example, port: 1, configMap: peer }\n"),
        ["1:46: [0].configMap: belongs to type enclave, and this entry is of type default"]
    );
}

#[test]
fn no_pattern_leads_to_a_peer_that_nothing_pins() {
    let manifest = parse("version: v1\negress: { allow: ['**'] }\noutboundConnections:\n  - { type: enclave, fqdn: peer.example, port: 7, configMap: peer }\n").unwrap();
    let policy = EgressPolicy::new(manifest.rules).unwrap();
    let denial = policy.judge(&"peer.example:7".parse().unwrap()).unwrap_err();
    assert_eq!(
        denial.to_string(),
        "denied by outboundConnections[0] (line 4), a peer enclave whose configuration nothing pins: deny peer.example:7"
    );
    policy.judge(&"peer.example:8".parse().unwrap()).unwrap();
}

#[test]
fn a_config_map_cannot_lead_out_of_its_directory() {
    let read = |path: &Path| panic!("{} was read", path.display());
    let files = Files { beside: &read, config_maps: Some(&read) };
    for (field, name, key) in [
        ("name", "..", "k"),
        ("name", "a/b", "k"),
        ("name", "''", "k"),
        ("name", "'a\\0'", "k"),
        ("key", "m", "../k"),
        ("key", "m", "/etc/passwd"),
        ("key", "m", "."),
    ] {
        let text = format!(
            "- {{ port: 1, fqdn: {{configMap: {{name: {name}, key: {key}, type: ini, ref: a}}}} }}\n"
        );
        let column = text.find(&format!("{field}: ")).unwrap() + field.len() + 3;
        let Err(ManifestError::Mistakes(found)) = Manifest::parse_with(&text, &files) else {
            panic!("{text}")
        };
        let found: Vec<_> = found.iter().map(Mistake::to_string).collect();
        let message = "expected letters, digits, hyphens, underscores and dots";
        assert_eq!(found, [format!("1:{column}: [0].fqdn.configMap.{field}: {message}")]);
    }
}

/// Who listens there would take callers from outside for the application, and open them the enclave's way out.
#[test]
fn no_port_leads_from_outside_to_a_listener_of_this_program() {
    let outside = ": callers from outside would pass for the application";
    assert_eq!(
        mistakes(
            "version: v1
egress: { proxy_port: 8000 }
kms_proxy: { listen_port: 8001 }
ingress: [{ listen_port: 8000 }, { listen_port: 8001, tls: { attested: [a.example] } }]
"
        ),
        [
            format!(
                "4:26: ingress[0].listen_port: 8000 stands at line 2 already, as egress.proxy_port{outside}"
            ),
            format!(
                "4:49: ingress[1].listen_port: 8001 stands at line 3 already, as kms_proxy.listen_port{outside}"
            ),
        ]
    );
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    assert_eq!(
        mistakes(&format!(
            "version: v1
egress: {{ proxy_port: 8000 }}
kms_proxy: {{ listen_port: 8000 }}
peers:
  - {{ listenPort: 8000, configMap: a, configSha256: {hash} }}
  - {{ listenPort: 8001, applicationPort: 8000, configMap: a, configSha256: {hash} }}
"
        )),
        [
            "3:27: kms_proxy.listen_port: 8000 stands at line 2 already, as egress.proxy_port".to_owned(),
            format!(
                "5:19: peers[0].listenPort: 8000 stands at line 3 already, as kms_proxy.listen_port{outside}"
            ),
            format!(
                "6:42: peers[1].applicationPort: 8000 stands at line 3 already, as kms_proxy.listen_port{outside}"
            ),
        ]
    );
}

/// An enclaver.yaml whose application listens on 9000 says nothing of a proxy there.
#[test]
fn the_proxys_default_port_gives_way() {
    for words in ["ingress: [{ listen_port: 9000 }]", "kms_proxy: { listen_port: 9000 }"] {
        assert_eq!(parse(&format!("version: v1\n{words}\n")).unwrap().proxy_port, 0, "{words}");
    }
    let apart = "version: v1\negress: { proxy_port: 0 }\ningress: [{ listen_port: 9000 }]\n";
    assert_eq!(parse(apart).unwrap().proxy_port, 0);
}
