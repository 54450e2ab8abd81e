//! Reading sessions.

use countersign_protocol::{BootId, KeyThumbprint, Lease, SessionId};

use super::{
    SqlStore,
    connection::{Failure, Row},
    lists::{bad_cursor, limit, paged, scope},
};
use crate::store::{Page, Paged, SessionFilter, SessionRow, UnixMs, Visible, texts::corrupt};

impl SqlStore {
    pub(super) async fn live_sessions(&self, now: UnixMs) -> Result<Vec<SessionRow>, Failure> {
        let rows = self.reader.fetch_all(LIVE, &[now.into()]).await?;
        rows.iter().map(session_row).collect()
    }

    pub(super) async fn sessions_paged(
        &self,
        visible: &Visible,
        filter: &SessionFilter,
        page: &Page,
        now: UnixMs,
    ) -> Result<Paged<SessionRow>, Failure> {
        let SessionFilter { workload, measurement } = filter;
        let (scope, limit) = (scope(visible), limit(page));
        let after = page.after.as_deref().map(hex::decode).transpose().map_err(|_| bad_cursor())?;
        let after = after.unwrap_or_default();
        let values = [
            after.as_slice().into(),
            now.into(),
            (&scope).into(),
            workload.into(),
            measurement.into(),
            (limit + 1).into(),
        ];
        let rows = self.reader.fetch_all(PAGE, &values).await?;
        let rows = rows.iter().map(session_row).collect::<Result<_, _>>()?;
        Ok(paged(rows, limit, |row: &SessionRow| row.id.to_string()))
    }

    pub(super) async fn sessions_of_ids(
        &self,
        ids: &[SessionId],
        now: UnixMs,
    ) -> Result<Vec<SessionRow>, Failure> {
        let ids: Vec<String> = ids.iter().take(MOST_IDS).map(ToString::to_string).collect();
        let ids = serde_json::Value::from(ids).to_string();
        let sql = self.poll.either(SQLITE_BY_ID, POSTGRES_BY_ID);
        let rows = self.poll.fetch_all(sql, &[ids.as_str().into(), now.into()]).await?;
        rows.iter().map(session_row).collect()
    }

    pub(super) async fn session_of_key(
        &self,
        key: KeyThumbprint,
        now: UnixMs,
    ) -> Result<Option<SessionRow>, Failure> {
        let row = self.reader.fetch_optional(BY_KEY, &[key.as_bytes().into(), now.into()]).await?;
        row.as_ref().map(session_row).transpose()
    }
}

/// Columns: see `session_columns`.
fn session_row(row: &Row) -> Result<SessionRow, Failure> {
    let id: [u8; 16] = row.bytes(0)?;
    let lease = Lease::from_secs(row.count(6)?);
    Ok(SessionRow {
        id: SessionId::from_bytes(id),
        key: KeyThumbprint::from_bytes(row.bytes(1)?),
        workload: row.get(2)?,
        measurement: row.get(3)?,
        boot_id: BootId::from_bytes(row.bytes(4)?),
        sequence: sequence(row.get(5)?),
        lease: lease.map_err(|error| corrupt("session", &hex::encode(id), error))?,
        lease_ends: row.time(7)?,
        epoch: row.epoch(8)?,
        module_id: row.get(9)?,
        replica: row.optional_bytes(10)?,
        admitted: row.time(11)?,
    })
}

/// The whole range of unsigned numbers in that of signed ones, in the same order:
/// the databases compare what they keep.
pub(super) fn stored_sequence(sequence: u64) -> i64 {
    sequence.wrapping_sub(HALF).cast_signed()
}

fn sequence(stored: i64) -> u64 {
    stored.cast_unsigned().wrapping_add(HALF)
}

const HALF: u64 = 1 << 63;

/// Ids in one question: as many sessions with tunnels as one replica holds.
const MOST_IDS: usize = 10_000;

macro_rules! session_columns {
    () => {
        "SELECT id, key, workload, measurement, boot_id, sequence, lease_seconds, lease_ends_ms, epoch,
                module_id, replica, admitted_ms
         FROM session"
    };
}

const LIVE: &str = concat!(session_columns!(), " WHERE lease_ends_ms > $1 ORDER BY lease_ends_ms DESC");

const PAGE: &str = concat!(
    session_columns!(),
    " WHERE id > $1 AND lease_ends_ms > $2
        AND ($3 IS NULL OR replace($3, ',' || workload || ',', '') <> $3)
        AND ($4 IS NULL OR workload = $4)
        AND ($5 IS NULL OR measurement = $5)
      ORDER BY id LIMIT $6"
);

const BY_KEY: &str = concat!(
    session_columns!(),
    " WHERE key = $1 AND lease_ends_ms > $2 ORDER BY lease_ends_ms DESC, id LIMIT 1"
);

const SQLITE_BY_ID: &str = concat!(
    session_columns!(),
    " WHERE id IN (SELECT unhex(value) FROM json_each($1)) AND lease_ends_ms > $2 ORDER BY id"
);
const POSTGRES_BY_ID: &str = concat!(
    session_columns!(),
    " WHERE id = ANY (ARRAY (SELECT decode(id, 'hex') FROM json_array_elements_text(CAST($1 AS json)) AS ids (id)))
        AND lease_ends_ms > $2
      ORDER BY id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_keep_their_order() {
        for (lower, higher) in [(0, 1), (i64::MAX as u64, i64::MAX as u64 + 1), (u64::MAX - 1, u64::MAX)] {
            assert!(stored_sequence(lower) < stored_sequence(higher), "{lower} {higher}");
            assert_eq!(
                (sequence(stored_sequence(lower)), sequence(stored_sequence(higher))),
                (lower, higher)
            );
        }
    }
}
