//! The admin API on the machine itself: its own routes, over the store that the
//! configuration names, for whoever may write there.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use countersign_protocol::LeaseBounds;
use countersign_verifier::TrustAnchor;
use tokio::time::timeout;

use super::{client::Client, failure::Failure};
use crate::{
    admin::{MachineParts, danger_routes_of_the_machine},
    config::{MachineConfig, MachineRules, StorePlace, TrustRoot},
    policy::{Policy, PolicyHandle},
    store::{AuditWriter, MOST_APPROVALS, Missing, SqlStore, Store, StoreConfig, UnixMs},
};

/// What of the configuration a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Only where the store is: to look, and to stop something.
    Store,
    /// Also what changes are checked against: to allow something.
    Rules,
}

/// A client of this machine's own API. It works beside a proxy that runs, and
/// without one.
///
/// # Errors
/// Mistakes in the configuration, as far as they matter; no store.
pub(super) async fn client(config: &Path, needs: Needs) -> Result<Client, Failure> {
    let (store, rules) = open(config, needs).await?;
    // An emergency brake does not depend on every row of the policy being readable.
    let policy = match needs {
        Needs::Store => Policy::default(),
        Needs::Rules => Policy::from_store(&store.load().await?, UnixMs::now())?,
    };
    let MachineRules { deployment, lease_bounds, trust, approvals } = rules;
    let parts = MachineParts {
        store,
        policy: PolicyHandle::new(policy),
        deployment,
        anchor: trust.anchor(),
        approvals,
        lease_bounds,
    };
    let routes = danger_routes_of_the_machine(parts, &user());
    Ok(Client::machine(routes))
}

/// The store of this configuration, and what changes are checked against.
async fn open(config: &Path, needs: Needs) -> Result<(Arc<dyn Store>, MachineRules), Failure> {
    let MachineConfig { state_directory, store, rules } =
        MachineConfig::load(config).map_err(Failure::Configuration)?;
    let rules = match (needs, rules) {
        (_, Ok(rules)) => rules,
        (Needs::Rules, Err(mistakes)) => return Err(Failure::Configuration(mistakes)),
        (Needs::Store, Err(_)) => nothing_allowed()?,
    };
    Ok((Arc::new(open_store(config, state_directory, store, AuditWriter::unnamed()).await?), rules))
}

/// The store that a configuration names, which must be there.
pub(super) async fn open_store(
    config: &Path,
    state_directory: PathBuf,
    store: StorePlace,
    writer: AuditWriter,
) -> Result<SqlStore, Failure> {
    let place = StoreConfig::new(&store, &state_directory);
    let opened = timeout(PATIENCE, SqlStore::open(&place, writer, Missing::Fail)).await;
    let late =
        || Failure::wrong(config, format_args!("its store did not open within {} s", PATIENCE.as_secs()));
    Ok(opened.map_err(|_| late())??)
}

/// Stands in for rules that cannot be read, where a command only stops
/// something. Whatever allowed more would wait for as many people as there can be.
fn nothing_allowed() -> Result<MachineRules, Failure> {
    Ok(MachineRules {
        deployment: "unknown".parse()?,
        lease_bounds: LeaseBounds::default(),
        trust: TrustRoot::Amazon(TrustAnchor::aws()),
        approvals: MOST_APPROVALS,
    })
}

/// The name of the user that this process runs as, for the audit. What the
/// environment says of it is anybody's word.
pub(super) fn user() -> String {
    let Ok(process) = fs::metadata("/proc/self") else { return "unknown".to_owned() };
    let uid = process.uid();
    let names = fs::read_to_string("/etc/passwd").unwrap_or_default();
    named(&names, uid).unwrap_or_else(|| format!("uid-{uid}"))
}

/// passwd(5): `name:password:uid:…`.
fn named(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, found) = (fields.next()?, fields.nth(1)?);
        (found.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

/// A store that another process writes to is waited for; one that is away is not.
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_of_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n# no line\nci:x:1000:1000::/home/ci:/bin/sh\n";
        assert_eq!(named(passwd, 0).as_deref(), Some("root"));
        assert_eq!(named(passwd, 1000).as_deref(), Some("ci"));
        assert_eq!(named(passwd, 1), None);
        assert!(!user().is_empty());
    }

    #[test]
    fn what_stands_in_for_rules_allows_nothing_by_itself() {
        assert_eq!(nothing_allowed().unwrap().approvals, MOST_APPROVALS);
    }
}
