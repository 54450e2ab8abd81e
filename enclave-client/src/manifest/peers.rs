//! Peers: whose configuration says who they are, and what pins it.

use std::{collections::HashMap, path::Path};

use countersign_protocol::Interval;

use super::{Files, Mistake, PeerPort, PeerSource, checked::port, config_map, node::At, raw, shape::path_of};
use crate::peers::config::Pin;

/// Whether an entry names something that its configuration can be held to.
pub(super) enum Pinned {
    /// It does.
    By(PeerSource),
    /// It names neither a signer nor a hash.
    ByNothing,
}

/// The ports where peers call.
pub(super) fn ports(
    raw: &[raw::PeerPort],
    ingress: &[raw::Ingress],
    files: &Files<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<PeerPort> {
    let taken = ingress.iter().filter_map(|one| one.listen_port.as_ref());
    let mut lines: HashMap<_, _> = taken.map(|number| (number.value, number.place.line)).collect();
    let mut ports = Vec::new();
    for one in raw {
        let raw::PeerPort { path, listen_port, application_port, config } = one;
        if let Some(number) = listen_port
            && let Some(line) = lines.insert(number.value, number.place.line)
        {
            let message = format!("{} stands at line {line} already", number.value);
            mistakes.push(number.place.mistake(path_of(path, "listenPort"), message));
        }
        let source = match check(config, files, mistakes) {
            Some(Pinned::By(source)) => Some(source),
            Some(Pinned::ByNothing) => {
                mistakes.push(config.place.mistake(path, NO_PIN));
                None
            }
            None => None,
        };
        let (Some(listen_port), Some(source)) = (port(listen_port.as_ref()), source) else { continue };
        let application_port = port(application_port.as_ref()).unwrap_or(listen_port);
        ports.push(PeerPort { listen_port, application_port, source, interval: interval(config) });
    }
    ports
}

/// What pins a configuration; `None` with at least one mistake noted.
pub(super) fn check(raw: &raw::PeerConfig, files: &Files<'_>, mistakes: &mut Vec<Mistake>) -> Option<Pinned> {
    let raw::PeerConfig { path, place: _, config_map, signer, signer_file, sha256, interval: _ } = raw;
    let config_map = config_map.as_ref()?;
    let mut wrong = |at: &At<String>, name: &str, message: String| {
        mistakes.push(at.place.mistake(path_of(path, name), message));
        None
    };
    if !config_map::is_file_name(&config_map.value) {
        let message = "expected letters, digits, hyphens, underscores and dots".to_owned();
        return wrong(config_map, "configMap", message);
    }
    let (at, name, pin) = match (signer, signer_file, sha256) {
        (None, None, None) => return Some(Pinned::ByNothing),
        (Some(pem), None, None) => (pem, "configSigner", Pin::signer_from_pem(pem.value.as_bytes())),
        (None, Some(file), None) => match (files.beside)(Path::new(&file.value)) {
            Ok(pem) => (file, "configSignerFile", Pin::signer_from_pem(&pem)),
            Err(why) => return wrong(file, "configSignerFile", format!("cannot be read: {why}")),
        },
        (None, None, Some(hash)) => (hash, "configSha256", Pin::sha256_from_hex(&hash.value)),
        _ => {
            let message = "expected one of configSigner, configSignerFile and configSha256".to_owned();
            return wrong(config_map, "configMap", message);
        }
    };
    match pin {
        Ok(pin) => Some(Pinned::By(PeerSource { config_map: config_map.value.clone(), pin })),
        Err(why) => wrong(at, name, why.to_string()),
    }
}

/// The interval; one out of its bounds was noted by its field.
pub(super) fn interval(raw: &raw::PeerConfig) -> Interval {
    let seconds = raw.interval.as_ref().and_then(|seconds| Interval::from_secs(seconds.value).ok());
    seconds.unwrap_or_default()
}

/// Why an entry without a pin is not served.
pub(super) const NO_PIN: &str = "nothing pins the peer's configuration, and whoever runs the cluster can write a \
     ConfigMap: add configSigner, configSignerFile or configSha256";
