//! A batch on PostgreSQL: one statement, one round trip, one commit.

use sqlx::PgConnection;

use super::append::{Draft, Guarded};
use super::sessions::stored_sequence;

/// In a transaction of its own, or in the one that is open.
pub(super) async fn write(connection: &mut PgConnection, draft: &Draft) -> Result<Guarded, sqlx::Error> {
    let Draft { chain, from, to, newest_policy, events, sessions } = draft;
    macro_rules! events {
        ($head:ident, $event:ident => $column:expr) => {
            events.iter().map(|($head, $event)| $column).collect::<Vec<_>>()
        };
    }
    macro_rules! sessions {
        ($row:ident => $column:expr) => {
            sessions.iter().map(|$row| $column).collect::<Vec<_>>()
        };
    }
    let written = sqlx::query(WRITE)
        .bind(from.seq.cast_signed())
        .bind(newest_policy.0.cast_signed())
        .bind(to.seq.cast_signed())
        .bind(to.hash.to_vec())
        .bind(*chain)
        .bind(events!(head, _event => head.seq.cast_signed()))
        .bind(events!(_head, e => e.at.0))
        .bind(events!(_head, e => e.kind.to_string()))
        .bind(events!(_head, e => e.code.to_string()))
        .bind(events!(_head, e => e.epoch.0.cast_signed()))
        .bind(events!(_head, e => e.workload.clone()))
        .bind(events!(_head, e => e.measurement.clone()))
        .bind(events!(_head, e => e.session.map(|id| id.as_bytes().to_vec())))
        .bind(events!(_head, e => e.request_id.clone()))
        .bind(events!(_head, e => e.actor.clone()))
        .bind(events!(_head, e => e.before.clone()))
        .bind(events!(_head, e => e.after.clone()))
        .bind(events!(_head, e => e.evidence.map(|hash| hash.to_vec())))
        .bind(events!(_head, e => e.detail.clone()))
        .bind(events!(head, _event => head.hash.to_vec()))
        .bind(sessions!(s => s.id.as_bytes().to_vec()))
        .bind(sessions!(s => s.key.as_bytes().to_vec()))
        .bind(sessions!(s => s.workload.clone()))
        .bind(sessions!(s => s.measurement.clone()))
        .bind(sessions!(s => s.boot_id.as_bytes().to_vec()))
        .bind(sessions!(s => stored_sequence(s.sequence)))
        .bind(sessions!(s => s.lease.as_secs().cast_signed()))
        .bind(sessions!(s => s.lease_ends.0))
        .bind(sessions!(s => s.epoch.0.cast_signed()))
        .bind(sessions!(s => s.module_id.clone()))
        .bind(sessions!(s => s.replica.map(|id| id.to_vec())))
        .bind(sessions!(s => s.admitted.0))
        .fetch_optional(connection)
        .await?;
    Ok(if written.is_some() { Guarded::Written } else { Guarded::Refused })
}

/// The head moves, or nothing does: both lists are joined to the row that moved.
///
/// A policy change writes its epoch into the chain's row. When one is on its way
/// this waits for it, and then looks at the row anew (READ COMMITTED); when this is
/// first, the policy change waits, and its statements see what is written here.
const WRITE: &str = "
WITH head AS (
    UPDATE audit_chain SET seq = $3, hash = $4
    WHERE id = $5 AND seq = $1 AND epoch <= $2
      AND NOT EXISTS (SELECT 1 FROM ended_session e WHERE e.id = ANY ($21))
    RETURNING id
), rows AS (
    INSERT INTO audit (chain, seq, at_ms, kind, code, epoch, workload, measurement, session, request_id,
                       actor, before, after, evidence, detail, hash)
    SELECT head.id, r.*
    FROM head, UNNEST($6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::text[],
                      $13::bytea[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bytea[], $19::text[],
                      $20::bytea[]) AS r
), sessions AS (
    INSERT INTO session (id, key, workload, measurement, boot_id, sequence, lease_seconds, lease_ends_ms, epoch,
                         module_id, replica, admitted_ms)
    SELECT s.*
    FROM head, UNNEST($21::bytea[], $22::bytea[], $23::text[], $24::text[], $25::bytea[], $26::bigint[],
                      $27::bigint[], $28::bigint[], $29::bigint[], $30::text[], $31::bytea[], $32::bigint[]) AS s
    ON CONFLICT (id) DO UPDATE SET
        sequence = excluded.sequence, lease_seconds = excluded.lease_seconds,
        lease_ends_ms = excluded.lease_ends_ms, epoch = excluded.epoch,
        module_id = excluded.module_id, replica = excluded.replica
    WHERE session.sequence < excluded.sequence
)
SELECT id FROM head";
