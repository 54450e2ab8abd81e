use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use countersign_e2e::{PATIENCE, Proxy, Replicas};
use countersign_proxy::{
    config::MeasurementState,
    store::{AuditStore, PolicyStore, ReplicaRow, SqlStore},
};
use tokio::{process::Command, time::timeout};

use crate::{
    PROXY,
    ledger::{Ledger, Row},
};

/// Compares what was acknowledged with what is there.
pub(crate) struct Auditor {
    /// The public keys of all replicas, as files: each signs the chain of the policy.
    keys: Vec<PathBuf>,
    /// The last row read of each chain.
    read: BTreeMap<String, u64>,
    /// What was read and not looked for yet.
    found: HashSet<Row>,
}

impl Auditor {
    /// As the replicas say what they sign with.
    pub(crate) async fn new(replicas: &Replicas) -> Self {
        let directory = replicas.proxies[0].directory();
        let rows = replicas.said().await;
        assert_eq!(rows.len(), replicas.proxies.len(), "every replica has said what its key is");
        let key = |row: ReplicaRow| {
            let file = directory.join(format!("{}.key", row.name));
            std::fs::write(&file, row.audit_key).unwrap();
            file
        };
        Self { keys: rows.into_iter().map(key).collect(), read: BTreeMap::new(), found: HashSet::new() }
    }

    /// With the known heads and the key of `noted`, and the others that live.
    pub(crate) async fn check(&mut self, replicas: &Replicas, ledger: &Ledger, noted: &Proxy) {
        let store = replicas.store().await;
        self.policy_stands(&store, ledger).await;
        self.rows_are_there(&store, ledger).await;
        nothing_revoked_is_admitted(replicas, ledger).await;
        self.verify(noted).await;
    }

    async fn policy_stands(&self, store: &SqlStore, ledger: &Ledger) {
        // Acknowledged first, and read then.
        let acknowledged = ledger.measurements();
        let stored = store.load().await.unwrap();
        let states: BTreeMap<_, _> = stored.measurements.iter().map(|m| (m.name.as_str(), m.state)).collect();
        let stones: HashSet<_> = stored.tombstones.iter().map(|(_, of)| of.as_str()).collect();
        for (name, revoked) in acknowledged {
            let state = states.get(name.as_str());
            assert!(state.is_some(), "{name} was added, and is not there");
            if revoked.is_some() {
                assert_eq!(state, Some(&MeasurementState::Revoked), "{name} was revoked");
                let stone = format!("payments/{name}");
                assert!(stones.contains(stone.as_str()), "{name} has no tombstone");
            }
        }
    }

    async fn rows_are_there(&mut self, store: &SqlStore, ledger: &Ledger) {
        let wanted = ledger.take_unchecked();
        for chain in store.chains().await.unwrap() {
            let read = self.read.entry(chain.name.clone()).or_default();
            loop {
                let rows = store.chain_rows(&chain.name, *read, 1000).await.unwrap();
                let Some(last) = rows.last() else { break };
                *read = last.seq;
                self.found.extend(rows.into_iter().filter_map(|row| {
                    let event = row.event;
                    match (&*event.kind, event.measurement, event.session) {
                        ("policy", Some(name), _) => Some(Row::Policy(event.code.into_owned(), name)),
                        ("admission", _, Some(session)) => Some(Row::Session(session)),
                        _ => None,
                    }
                }));
            }
        }
        for row in wanted {
            assert!(self.found.remove(&row), "acknowledged, and without a row: {row:?}");
        }
    }

    /// `audit verify`, whole, with what this replica noted outside of the store.
    async fn verify(&self, noted: &Proxy) {
        let config = noted.directory().join("countersign.toml");
        let mut verifying = Command::new(PROXY);
        verifying.args(["audit", "verify", "--config"]).arg(config);
        for key in &self.keys {
            verifying.arg("--key").arg(key);
        }
        let said = timeout(PATIENCE, verifying.output()).await.expect("a verdict in time").unwrap();
        let text = [said.stdout, said.stderr].concat();
        assert!(said.status.success(), "audit verify: {}", String::from_utf8_lossy(&text));
    }
}

/// At no replica that lives, once it must have seen it: a store that is silent for longer admits nobody.
async fn nothing_revoked_is_admitted(replicas: &Replicas, ledger: &Ledger) {
    let long_ago = ledger.measurements().into_iter().filter_map(|(name, revoked)| {
        let revoked = revoked?;
        (revoked.elapsed() > SEEN_EVERYWHERE).then_some((revoked, name))
    });
    let Some((_, image)) = long_ago.max() else { return };
    for proxy in &replicas.proxies {
        let answer = proxy.admitted_or_refused(&image).await;
        assert!(answer.is_err(), "{image} was revoked, and admitted");
    }
}

/// After so long without its store a replica admits nobody.
const SEEN_EVERYWHERE: Duration = Duration::from_secs(2);
