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
    let name = raw.config_map.as_ref().filter(|name| {
        let wrong = config_map::bad_file_name(name, || path_of(&raw.path, "configMap"));
        let is_right = wrong.is_none();
        mistakes.extend(wrong);
        is_right
    });
    // Whatever the name is: all mistakes are told at once.
    let pin = pin(raw, files).map_err(|mistake| mistakes.push(mistake)).ok()?;
    let config_map = name?.value.clone();
    Some(pin.map_or(Pinned::ByNothing, |pin| Pinned::By(PeerSource { config_map, pin })))
}

fn pin(raw: &raw::PeerConfig, files: &Files<'_>) -> Result<Option<Pin>, Mistake> {
    let raw::PeerConfig { path, place, config_map, signer, signer_file, sha256, interval: _ } = raw;
    let wrong = |at: &At<String>, name: &str, message: String| at.place.mistake(path_of(path, name), message);
    let (at, name, pin) = match (signer, signer_file, sha256) {
        (None, None, None) => return Ok(None),
        (Some(pem), None, None) => (pem, "configSigner", Pin::signer_from_pem(pem.value.as_bytes())),
        (None, Some(file), None) => {
            let pem = (files.beside)(Path::new(&file.value));
            let pem = pem.map_err(|why| wrong(file, "configSignerFile", format!("cannot be read: {why}")))?;
            (file, "configSignerFile", Pin::signer_from_pem(&pem))
        }
        (None, None, Some(hash)) => (hash, "configSha256", Pin::sha256_from_hex(&hash.value)),
        _ => {
            let place = config_map.as_ref().map_or(*place, |name| name.place);
            let message = "expected one of configSigner, configSignerFile and configSha256";
            return Err(place.mistake(path_of(path, "configMap"), message));
        }
    };
    pin.map(Some).map_err(|why| wrong(at, name, why.to_string()))
}

/// The interval; one out of its bounds was noted by its field.
pub(super) fn interval(raw: &raw::PeerConfig) -> Interval {
    let seconds = raw.interval.as_ref().and_then(|seconds| Interval::from_secs(seconds.value).ok());
    seconds.unwrap_or_default()
}

/// Why an entry without a pin is not served.
pub(super) const NO_PIN: &str = "nothing pins the peer's configuration, and whoever runs the cluster can write a \
     ConfigMap: add configSigner, configSignerFile or configSha256";
