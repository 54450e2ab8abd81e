//! Lists of the policy, page by page: each page begins after the last key of the one before.

use super::{
    SqlStore,
    connection::{Failure, Row, Value},
    rows::{
        self, measurement_columns, measurement_row, tombstone_columns, tombstone_row, workload_columns,
        workload_row,
    },
};
use crate::store::{
    ChangeError, MeasurementFilter, MeasurementRow, Page, Paged, TombstoneRow, Visible, Waiting, WorkloadRow,
    texts::pcrs_text,
};

impl SqlStore {
    pub(super) async fn workload_page(
        &self,
        visible: &Visible,
        page: &Page,
    ) -> Result<Paged<WorkloadRow>, Failure> {
        let (scope, limit) = (scope(visible), limit(page));
        let after = page.after.as_deref().unwrap_or_default();
        let values = [after.into(), (&scope).into(), (limit + 1).into()];
        let rows = self.reader.fetch_all(WORKLOADS, &values).await?;
        let rows = rows.iter().map(workload_row).collect::<Result<_, _>>()?;
        Ok(paged(rows, limit, |row: &WorkloadRow| row.workload.name.to_string()))
    }

    pub(super) async fn one_workload(&self, name: &str) -> Result<Option<WorkloadRow>, Failure> {
        let mut snapshot = self.reader.begin_reading().await?;
        let row = rows::workload(&mut snapshot, name).await?;
        snapshot.commit().await?;
        Ok(row)
    }

    pub(super) async fn measurement_page(
        &self,
        visible: &Visible,
        filter: &MeasurementFilter,
        page: &Page,
    ) -> Result<Paged<MeasurementRow>, Failure> {
        let MeasurementFilter { workload, state, pcr0, waiting } = filter;
        let (scope, limit) = (scope(visible), limit(page));
        let (after_workload, after_name) = match &page.after {
            None => ("", ""),
            Some(after) => after.split_once('/').ok_or_else(bad_cursor)?,
        };
        let prefix = pcr0.as_ref().map(|pcr0| format!("0={pcr0}"));
        let values: [Value<'_>; 8] = [
            after_workload.into(),
            after_name.into(),
            (&scope).into(),
            workload.into(),
            state.map(|state| state.as_str()).into(),
            (&prefix).into(),
            (limit + 1).into(),
            waiting.map(|Waiting| "waiting").into(),
        ];
        let mut snapshot = self.reader.begin_reading().await?;
        let rows = snapshot.fetch_all(MEASUREMENTS, &values).await?;
        let rows: Vec<MeasurementRow> = rows.iter().map(measurement_row).collect::<Result<_, _>>()?;
        let key = |row: &MeasurementRow| format!("{}/{}", row.workload, row.name);
        let mut page = paged(rows, limit, key);
        if let (Some(first), Some(last)) = (page.rows.first(), page.rows.last()) {
            let range = [
                (&first.workload).into(),
                (&first.name).into(),
                (&last.workload).into(),
                (&last.name).into(),
            ];
            let approvals = snapshot.fetch_all(APPROVALS, &range).await?;
            add_approvers(&mut page.rows, &approvals)?;
        }
        snapshot.commit().await?;
        Ok(page)
    }

    pub(super) async fn one_measurement(
        &self,
        workload: &str,
        name: &str,
    ) -> Result<Option<MeasurementRow>, Failure> {
        let mut snapshot = self.reader.begin_reading().await?;
        let row = rows::measurement(&mut snapshot, workload, name).await?;
        snapshot.commit().await?;
        Ok(row)
    }

    pub(super) async fn tombstone_page(
        &self,
        visible: &Visible,
        page: &Page,
    ) -> Result<Paged<TombstoneRow>, Failure> {
        let (scope, limit) = (scope(visible), limit(page));
        let after = page.after.as_deref().unwrap_or_default();
        let values = [after.into(), (&scope).into(), (limit + 1).into()];
        let rows = self.reader.fetch_all(TOMBSTONES, &values).await?;
        let rows = rows.iter().map(tombstone_row).collect::<Result<_, _>>()?;
        Ok(paged(rows, limit, |row: &TombstoneRow| pcrs_text(&row.pcrs)))
    }
}

/// Both lists are in the order of their keys.
fn add_approvers(rows: &mut [MeasurementRow], approvals: &[Row]) -> Result<(), Failure> {
    let mut at = 0;
    for approval in approvals {
        let key: (&str, &str) = (approval.get(0)?, approval.get(1)?);
        while rows.get(at).is_some_and(|row| (row.workload.as_str(), row.name.as_str()) < key) {
            at += 1;
        }
        // Rows that the filter left out have approvals too.
        if let Some(row) = rows.get_mut(at)
            && (row.workload.as_str(), row.name.as_str()) == key
        {
            row.approvers.push(approval.get(2)?);
        }
    }
    Ok(())
}

/// `,a,b,` for the workloads a and b: a name is among them when it stands there
/// between commas, which no name has in it. `None`: all.
pub(super) fn scope(visible: &Visible) -> Option<String> {
    match visible {
        Visible::Everything => None,
        Visible::Workloads(names) => {
            Some(names.iter().fold(",".to_owned(), |list, name| format!("{list}{name},")))
        }
    }
}

/// How many rows a page has.
pub(super) fn limit(page: &Page) -> u64 {
    page.limit.clamp(1, Page::MOST).into()
}

/// Cuts off the one row that was read to know whether there is another page.
pub(super) fn paged<T>(mut rows: Vec<T>, limit: u64, key: impl Fn(&T) -> String) -> Paged<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(key) } else { None };
    Paged { rows, next }
}

/// A place in a list that no page ever ended at.
pub(super) fn bad_cursor() -> Failure {
    let reason = "it is not the end of a page of this list".to_owned();
    ChangeError::Invalid { field: "cursor", reason }.into()
}

const WORKLOADS: &str = concat!(
    workload_columns!(),
    " WHERE w.name > $1 AND ($2 IS NULL OR replace($2, ',' || w.name || ',', '') <> $2)
      ORDER BY w.name LIMIT $3"
);

const MEASUREMENTS: &str = concat!(
    measurement_columns!(),
    " WHERE (m.workload, m.name) > ($1, $2)
        AND ($3 IS NULL OR replace($3, ',' || m.workload || ',', '') <> $3)
        AND ($4 IS NULL OR m.workload = $4)
        AND ($5 IS NULL OR m.state = $5)
        AND ($6 IS NULL OR substr(m.pcrs, 1, 98) = $6)
        AND ($8 IS NULL OR m.state = 'pending' OR (m.state = 'active' AND m.pending_author IS NOT NULL))
      ORDER BY m.workload, m.name LIMIT $7"
);

const APPROVALS: &str = "
SELECT m.workload, m.name, a.approver
FROM measurement m JOIN approval a
  ON a.workload = m.workload AND a.measurement = m.name AND a.revision = m.revision
WHERE (m.workload, m.name) >= ($1, $2) AND (m.workload, m.name) <= ($3, $4)
ORDER BY m.workload, m.name, a.at_ms, a.approver";

const TOMBSTONES: &str = concat!(
    tombstone_columns!(),
    " WHERE t.pcrs > $1
        AND ($2 IS NULL OR (t.workload <> '' AND replace($2, ',' || t.workload || ',', '') <> $2))
      ORDER BY t.pcrs LIMIT $3"
);
