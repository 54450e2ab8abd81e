//! Making the rows that the configuration file keeps what it says.

mod plan;
mod state;
mod step;

use plan::Plan;
use state::{Standing, Wanted};
use step::Step;

use super::{
    SqlStore,
    change::lock::{PolicyChange, Said},
    connection::Failure,
};
use crate::{
    config::WorkloadSpec,
    store::{Seeded, UnixMs},
};

impl SqlStore {
    pub(super) async fn seed_policy(&self, specs: &[WorkloadSpec], now: UnixMs) -> Result<Seeded, Failure> {
        let wanted = Wanted::new(specs)?;
        let mut change = PolicyChange::begin(self, now).await?;
        let standing = Standing::read(&mut change).await?;
        let Plan { steps, kept_revoked } = Plan::new(&wanted, &standing)?;
        if steps.is_empty() {
            return Ok(Seeded { committed: standing.committed, changes: Vec::new(), kept_revoked });
        }
        let committed = change.raise().await?;
        for step in &steps {
            step.apply(&mut change, committed).await?;
        }
        let changes: Vec<String> = steps.iter().map(Step::describe).collect();
        let said = Said {
            kind: "policy",
            code: "policy-seeded",
            detail: Some(shortened(&changes)),
            ..Said::default()
        };
        change.say(None, said).await?;
        self.sign_policy_chain(&mut change).await?;
        let committed = change.commit().await?;
        Ok(Seeded { committed, changes, kept_revoked })
    }
}

/// One text of all changes; a file of thousands is told by its beginning.
fn shortened(changes: &[String]) -> String {
    let mut text = changes.iter().take(MOST_TOLD).cloned().collect::<Vec<_>>().join("; ");
    if let Some(rest @ 1..) = changes.len().checked_sub(MOST_TOLD) {
        text.push_str(&format!("; and {rest} more"));
    }
    text
}

/// Changes that the audit row tells one by one.
const MOST_TOLD: usize = 200;
