//! Versions out of this workspace's own `Cargo.lock`, so that a report cannot name another version than
//! the one that was compiled.

/// The locked version of `name`, or `unknown` when the crate is not locked.
pub(crate) fn version_of(name: &str) -> String {
    let wanted = format!("name = \"{name}\"");
    let mut lines = include_str!("../Cargo.lock").lines();
    lines.find(|line| *line == wanted);
    lines
        .next()
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .unwrap_or("unknown")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;

    #[test]
    fn every_peer_has_a_locked_version() {
        for peer in Peer::ALL {
            let version = version_of(peer.crate_name());
            assert_eq!(version.split('.').count(), 3, "{}: {version}", peer.name());
        }
    }

    #[test]
    fn an_absent_crate_is_unknown() {
        assert_eq!(version_of("no-such-crate"), "unknown");
    }
}
