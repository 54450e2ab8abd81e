use std::path::{Path, PathBuf};

use countersign_protocol::{Deployment, LeaseBounds};

use super::{
    StorePlace, TrustRoot, beside,
    check::{NO_STATE_DIRECTORY, deployment_name, lease_bounds},
    limits,
    mistake::{Collector, Mistakes},
    raw, store, trust,
};
use crate::store::MOST_APPROVALS;

/// What a command on this machine needs of the configuration.
///
/// The emergency brake must not depend on a certificate file, or on a file
/// without any mistake: to revoke, [`MachineConfig::state_directory`] and
/// [`MachineConfig::store`] are enough. What allows more needs [`MachineConfig::rules`],
/// which are an error as soon as anything in the file is not understood: a
/// misspelt `approvals` must not be no approvals.
#[derive(Debug)]
pub struct MachineConfig {
    /// Holds the store and the session CA's root.
    pub state_directory: PathBuf,
    /// Which database.
    pub store: StorePlace,
    /// What changes are checked against.
    pub rules: Result<MachineRules, Mistakes>,
}

/// What changes are checked against.
#[derive(Clone, Debug)]
pub struct MachineRules {
    /// The installation's name.
    pub deployment: Deployment,
    /// Leases given here; a workload's own bounds lie inside.
    pub lease_bounds: LeaseBounds,
    /// Under which root documents must stand.
    pub trust: TrustRoot,
    /// How many people besides the author approve what allows more.
    pub approvals: u32,
}

impl MachineConfig {
    /// Reads a file. Files that it names are not read, but for a database's URL
    /// and a simulated root.
    ///
    /// # Errors
    /// [`Mistakes`] when it does not say where the store is.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let text = std::fs::read_to_string(path).map_err(|error| Mistakes::unreadable(path, &error))?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Mistakes> {
        let directory = beside(path);
        let (found, found_of_store) = (Collector::default(), Collector::default());
        let raw = raw::read(text, &found);
        let Some(state_directory) = raw.state_directory else {
            // Mistakes of the whole file: one of them may be why it is not there.
            found.note(raw.span, "state_directory", NO_STATE_DIRECTORY);
            return Err(found.into_mistakes(path, text).unwrap_or_else(|| Mistakes::incomplete(path)));
        };
        let (store, _) = store::place(raw.store, directory, &found_of_store);
        if let Some(mistakes) = found_of_store.into_mistakes(path, text) {
            return Err(mistakes);
        }
        let deployment = deployment_name(raw.deployment, raw.span, &found);
        let lease_bounds = lease_bounds(raw.lease, "lease", LeaseBounds::default(), &found);
        let trust = trust::trust(raw.trust, directory, &found);
        let most = u64::from(MOST_APPROVALS);
        let approvals = limits::number(raw.admin.approvals, "admin.approvals", 0..=most, 0, &found) as u32;
        let rules = deployment.zip(trust).map(|(deployment, trust)| MachineRules {
            deployment,
            lease_bounds,
            trust,
            approvals,
        });
        let rules = match (found.into_mistakes(path, text), rules) {
            (None, Some(rules)) => Ok(rules),
            (Some(mistakes), _) => Err(mistakes),
            (None, None) => Err(Mistakes::incomplete(path)),
        };
        Ok(Self { state_directory: directory.join(state_directory.get_ref()), store, rules })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MachineConfig, Mistakes> {
        MachineConfig::parse(text, Path::new("/etc/countersign.toml"))
    }

    const WHOLE: &str = "deployment = \"prod\"\nstate_directory = \"state\"\n[trust]\nroot = \"aws\"\n";

    #[test]
    fn certificates_are_not_read() {
        let tls = "[tls]\ncertificate = \"/no/such/file\"\nkey = \"/no/such/key\"\n[admin]\napprovals = 2\n";
        let config = read(&format!("{WHOLE}{tls}")).unwrap();
        assert_eq!(config.state_directory, Path::new("/etc/state"));
        assert_eq!(config.store, StorePlace::File);
        assert_eq!(config.rules.unwrap().approvals, 2);
    }

    #[test]
    fn a_mistake_elsewhere_stops_what_allows_and_nothing_else() {
        for mistake in ["[admin]\naprovals = 2\n", "[admin]\napprovals = 11\n", "[limits]\nmax_sesions = 1\n"]
        {
            let config = read(&format!("{WHOLE}{mistake}")).unwrap();
            assert_eq!(config.state_directory, Path::new("/etc/state"), "{mistake}");
            assert_eq!(config.rules.unwrap_err().list.len(), 1, "{mistake}");
        }
        let config = read("state_directory = \"state\"\n").unwrap();
        let missing: Vec<_> =
            config.rules.unwrap_err().list.into_iter().map(|mistake| mistake.field).collect();
        assert_eq!(missing, ["deployment", "trust.root"]);
    }

    #[test]
    fn without_a_place_for_the_store_nothing_goes() {
        assert_eq!(read("deployment = \"prod\"\n").unwrap_err().list[0].field, "state_directory");
        assert!(read("state_directory = [\n").is_err());
        let elsewhere = read(&format!("{WHOLE}[store]\nurl = \"mysql://x\"\n")).unwrap_err();
        assert_eq!(elsewhere.list[0].field, "store.url");
    }
}
