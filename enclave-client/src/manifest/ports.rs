//! The ports of the enclave's loopback: which are this program's own, and so no one else's.

use std::collections::HashMap;

use super::{Mistake, node::At, raw, shape::path_of, words::DEFAULT_PROXY_PORT};

/// The local proxy's port; 0: any free one.
///
/// Notes every port that leads callers from outside to the local proxy or to the KMS endpoint: both take whoever
/// connects for the application, and what the enclave may reach, they could reach through it. The port that nobody
/// wrote gives way instead.
pub(super) fn proxy_port(raw: &raw::Manifest, mistakes: &mut Vec<Mistake>) -> u16 {
    let kms = raw.kms.as_ref().and_then(|kms| kms.listen_port.as_ref());
    let proxy = raw.egress.proxy_port.as_ref();
    let mut own = HashMap::new();
    // 0 is never the port that it becomes.
    own.extend(proxy.filter(|port| port.value != 0).map(|port| (port.value, (port, "egress.proxy_port"))));
    if let Some(port) = kms
        && let Some((before, name)) = own.insert(port.value, (port, KMS_PORT))
    {
        let message = format!("{} stands at line {} already, as {name}", port.value, before.place.line);
        mistakes.push(port.place.mistake(KMS_PORT, message));
    }
    for (path, port) in from_outside(raw) {
        if let Some((before, name)) = own.get(&port.value) {
            let (number, line) = (port.value, before.place.line);
            let message = format!(
                "{number} stands at line {line} already, as {name}: callers from outside would pass for the application"
            );
            mistakes.push(port.place.mistake(path, message));
        }
    }
    match proxy {
        Some(port) => u16::try_from(port.value).unwrap_or_default(),
        None => {
            let default = u64::from(DEFAULT_PROXY_PORT);
            let taken =
                own.contains_key(&default) || from_outside(raw).any(|(_, port)| port.value == default);
            if taken { 0 } else { DEFAULT_PROXY_PORT }
        }
    }
}

/// Where callers from outside are carried to.
fn from_outside(raw: &raw::Manifest) -> impl Iterator<Item = (String, &At<u64>)> {
    let ingress =
        raw.ingress.iter().filter_map(|one| Some((&one.path, "listen_port", one.listen_port.as_ref()?)));
    let peers = raw.peers.iter().filter_map(|one| match &one.application_port {
        Some(port) => Some((&one.path, "applicationPort", port)),
        None => Some((&one.path, "listenPort", one.listen_port.as_ref()?)),
    });
    ingress.chain(peers).map(|(path, name, port)| (path_of(path, name), port))
}

const KMS_PORT: &str = "kms_proxy.listen_port";
