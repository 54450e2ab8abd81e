//! Requests that are sent twice and done once.

use countersign_protocol::Epoch;
use serde::{Deserialize, Serialize};

use super::lock::PolicyChange;
use crate::store::{
    Actor, ChangeError, Changed, Committed, Idempotency, Impact, Standing, UnixMs, decide::invalid,
    sql::connection::Failure, texts::corrupt,
};

/// What the same request was answered with.
pub(super) async fn recorded(
    change: &mut PolicyChange,
    actor: &Actor,
    idempotency: &Idempotency,
) -> Result<Option<Changed>, Failure> {
    let Idempotency { key, request } = idempotency;
    if key.is_empty() || key.len() > LONGEST {
        return Err(invalid("idempotency-key", format!("it has 1 to {LONGEST} bytes")).into());
    }
    let values = [actor.subject.as_str().into(), key.into()];
    let Some(row) = change.transaction.fetch_optional(FIND, &values).await? else { return Ok(None) };
    if row.bytes::<32>(0)? != *request {
        return Err(ChangeError::IdempotencyMismatch { key: key.clone() }.into());
    }
    let answer: Recorded =
        serde_json::from_str(row.get(1)?).map_err(|error| corrupt("idempotency", key, error.to_string()))?;
    Ok(Some(answer.into()))
}

/// Keeps an answer, in the transaction of what it is the answer to.
pub(super) async fn record(
    change: &mut PolicyChange,
    actor: &Actor,
    idempotency: &Idempotency,
    changed: &Changed,
) -> Result<(), Failure> {
    let Idempotency { key, request } = idempotency;
    let answer = serde_json::to_string(&Recorded::from(changed))
        .map_err(|error| corrupt("idempotency", key, error.to_string()))?;
    let values = [
        actor.subject.as_str().into(),
        key.into(),
        request.into(),
        answer.as_str().into(),
        change.now.into(),
    ];
    change.transaction.execute(INSERT, &values).await?;
    Ok(())
}

/// [`Changed`] as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    epoch: u64,
    committed_ms: i64,
    revision: Option<u64>,
    /// Approvals so far and needed, for what waits.
    waiting: Option<(u32, u32)>,
    sessions: u64,
    tunnels: u64,
    replicas: Vec<String>,
    warnings: Vec<String>,
}

impl From<&Changed> for Recorded {
    fn from(changed: &Changed) -> Self {
        let Changed { committed, revision, standing, impact, warnings, replayed: _ } = changed;
        Self {
            epoch: committed.epoch.0,
            committed_ms: committed.at.0,
            revision: *revision,
            waiting: match *standing {
                Standing::InForce => None,
                Standing::Waiting { approvals, needed } => Some((approvals, needed)),
            },
            sessions: impact.sessions,
            tunnels: impact.tunnels,
            replicas: impact.replicas.clone(),
            warnings: warnings.clone(),
        }
    }
}

impl From<Recorded> for Changed {
    fn from(recorded: Recorded) -> Self {
        let Recorded { epoch, committed_ms, revision, waiting, sessions, tunnels, replicas, warnings } =
            recorded;
        Self {
            committed: Committed { epoch: Epoch(epoch), at: UnixMs(committed_ms) },
            revision,
            standing: match waiting {
                None => Standing::InForce,
                Some((approvals, needed)) => Standing::Waiting { approvals, needed },
            },
            impact: Impact { sessions, tunnels, replicas },
            warnings,
            replayed: true,
        }
    }
}

/// The longest key, in bytes.
const LONGEST: usize = 128;

const FIND: &str = "SELECT request, answer FROM idempotency WHERE subject = $1 AND key = $2";
const INSERT: &str =
    "INSERT INTO idempotency (subject, key, request, answer, created_ms) VALUES ($1, $2, $3, $4, $5)";
