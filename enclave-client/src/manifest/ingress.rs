//! `ingress`: which ports are reachable, and where TLS ends.

use std::collections::HashMap;

use countersign_protocol::Host;

use super::{
    IngressEntry, IngressTls, Mistake,
    checked::{parsed, port},
    raw,
};

pub(super) fn check(raw: &[raw::Ingress], mistakes: &mut Vec<Mistake>) -> Vec<IngressEntry> {
    let mut lines = HashMap::new();
    let mut entries = Vec::new();
    for one in raw {
        let listen_port = port(one.listen_port.as_ref());
        if let (Some(number), Some(port)) = (&one.listen_port, listen_port)
            && let Some(line) = lines.insert(port, number.place.line)
        {
            let message = format!("{port} stands at line {line} already");
            mistakes.push(number.place.mistake(format!("{}.listen_port", one.path), message));
        }
        let tls = one.tls.as_ref().map_or(Some(IngressTls::Passthrough), |tls| end_of_tls(tls, mistakes));
        if let (Some(listen_port), Some(tls)) = (listen_port, tls) {
            entries.push(IngressEntry { listen_port, tls });
        }
    }
    entries
}

fn end_of_tls(raw: &raw::Tls, mistakes: &mut Vec<Mistake>) -> Option<IngressTls> {
    if let (Some(key), Some(certificate)) = (&raw.key_file, &raw.cert_file) {
        return Some(IngressTls::Files {
            certificate: certificate.value.clone().into(),
            key: key.value.clone().into(),
        });
    }
    if raw.key_file.is_some() || raw.cert_file.is_some() {
        return None;
    }
    if raw.attested.is_empty() {
        // A certificate without a name suits no client.
        let message = "expected at least one name";
        mistakes.push(raw.place.mistake(format!("{}.attested", raw.path), message));
        return None;
    }
    let names = raw.attested.iter().map(|(path, name)| {
        Some(match parsed::<Host>(name, path, mistakes)? {
            Host::Name(name) => name.to_string(),
            Host::Address(address) => address.to_string(),
        })
    });
    // Through a list first: all names are checked, not only up to the first that is wrong.
    let names: Vec<_> = names.collect();
    Some(IngressTls::Attested { names: names.into_iter().collect::<Option<_>>()? })
}
