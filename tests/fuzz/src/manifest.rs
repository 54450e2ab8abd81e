//! The enclave's manifest, in YAML.

use countersign_enclave::manifest::{Files, Manifest, ManifestError};
use countersign_protocol::egress::{Denial, EgressPolicy, Entry};
use std::collections::HashSet;

/// Any text as a manifest, and as every file that it names: what is accepted reaches only what it names, and each
/// mistake has its place.
pub fn raw(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = |_: &std::path::Path| Ok(bytes.to_vec());
    match Manifest::parse_with(text, &Files { beside: &read, config_maps: Some(&read) }) {
        Ok(manifest) => accepted(&manifest),
        Err(ManifestError::Mistakes(mistakes)) => {
            assert!(!mistakes.is_empty());
            assert!(mistakes.iter().all(|mistake| !mistake.message.is_empty()), "{mistakes:?}");
            assert!(mistakes.is_sorted_by_key(|mistake| (mistake.line, mistake.column)), "{mistakes:?}");
        }
        Err(ManifestError::Read(_)) => assert!(text.len() > 1 << 20),
        Err(error) => panic!("a text that is one: {error:?}"),
    }
}

fn accepted(manifest: &Manifest) {
    for rule in &manifest.rules {
        let entry = Entry { target: rule.target.clone(), ports: rule.ports.clone() };
        assert_eq!(entry.to_string().parse().as_ref(), Ok(&entry));
    }
    let policy = match EgressPolicy::new(manifest.rules.clone()) {
        Ok(policy) => policy,
        Err(why) => panic!("a manifest without a mistake: {why}"),
    };
    for proxy in &manifest.proxies {
        assert!((15..=300).contains(&proxy.interval.duration().as_secs()), "{:?}", proxy.interval);
        for destination in &proxy.destinations {
            assert_eq!(destination.to_string().parse().as_ref(), Ok(destination));
            // Allowed, or denied by a rule that somebody wrote, or an address that no rule can allow.
            assert!(!matches!(policy.judge(destination), Err(Denial::NoRule)), "{destination}");
        }
    }
    for peer in &manifest.peers {
        assert!(!matches!(policy.judge(&peer.destination), Err(Denial::NoRule)), "{}", peer.destination);
        assert!((15..=300).contains(&peer.interval.duration().as_secs()), "{:?}", peer.interval);
    }
    let ingress = manifest.ingress.iter().map(|entry| entry.listen_port);
    let ports: HashSet<_> = ingress.chain(manifest.peer_ports.iter().map(|port| port.listen_port)).collect();
    assert_eq!(ports.len(), manifest.ingress.len() + manifest.peer_ports.len());
}
