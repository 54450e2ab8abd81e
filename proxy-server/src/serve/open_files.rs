use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::ProxyLimits;

/// Raises the soft limit of open files, which is a process's own to raise (getrlimit(2)), as far as `[limits]` may need
/// and the hard one lets it. No program is started from here that would inherit it.
///
/// A proxy that may hold more connections than the system gives it files fails under load and not before: better said
/// at the start.
pub(super) fn raise(limits: &ProxyLimits) {
    // A tunnel takes one for each of its two connections.
    let connections = u64::from(limits.attestation_connections) + 2 * u64::from(limits.gateway_connections);
    let wanted = connections + SPARE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current.filter(|current| *current < wanted) else { return };
    let raised = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    let open_files = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(_) => current,
    };
    if open_files < wanted {
        tracing::warn!(
            code = "few-descriptors",
            open_files,
            wanted,
            "the limit of open files (ulimit -Hn) is lower than [limits] may need"
        );
    }
}

/// Listeners, the store's and the admin port's connections, files.
const SPARE: u64 = 512;
