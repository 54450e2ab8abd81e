//! Going on with a copy of the store that was put back.

use countersign_protocol::Epoch;
use serde_json::json;

use super::lock::{PolicyChange, Said};
use crate::store::{
    Actor, Committed, StoreError, UnixMs,
    sql::{SqlStore, connection::Failure},
};

impl SqlStore {
    /// Raises the epoch above the one that was in force before this copy was put
    /// back, in one transaction with its audit row: whoever follows no lower epoch
    /// than he has seen follows this store again.
    ///
    /// Its sessions are dropped, since some may have been ended after the copy was
    /// made; their enclaves attest again. Revocations that the copy does not have
    /// are not made again here: nobody knows them any more.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub async fn accept_restored(
        &self,
        known: Epoch,
        lost: &str,
        actor: &Actor,
        now: UnixMs,
    ) -> Result<Committed, StoreError> {
        let accepted = self.make_restored_ours(known, lost, actor, now).await;
        accepted.map_err(Failure::doing("go on with the copy that was put back"))
    }

    async fn make_restored_ours(
        &self,
        known: Epoch,
        lost: &str,
        actor: &Actor,
        now: UnixMs,
    ) -> Result<Committed, Failure> {
        let mut change = PolicyChange::begin(self, now).await?;
        let stored = change.committed.epoch;
        let raised = change.raise_above(known).await?.epoch;
        let sessions = change.transaction.execute("DELETE FROM session", &[]).await?;
        let said = Said {
            kind: "policy",
            code: "store-restored",
            before: Some(json!({ "epoch": stored.0, "known_epoch": known.0 })),
            after: Some(json!({ "epoch": raised.0, "sessions_dropped": sessions })),
            detail: Some(lost.to_owned()),
            ..Said::default()
        };
        change.say(Some(actor), said).await?;
        self.sign_policy_chain(&mut change).await?;
        Ok(change.commit().await?)
    }
}
