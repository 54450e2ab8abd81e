//! The audit as one list: all chains together, newest row first.

use std::collections::BTreeSet;

use super::{
    SqlStore,
    audit::{CHAINS, audit_columns, audit_row},
    connection::{Failure, Transaction},
    lists::{bad_cursor, limit},
};
use crate::{
    audit::ChainName,
    store::{AuditEvent, AuditFilter, AuditPage, AuditRow, Page, Paged, UnixMs, Visible},
};

impl SqlStore {
    /// The chains together, newest row first: of all chains' next rows, always the latest.
    ///
    /// Looks at no more than [`MOST_LOOKED_AT`] rows, so a page of a narrow filter may be
    /// short, or empty, and still have a next one.
    pub(super) async fn audit_page(
        &self,
        visible: &Visible,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<AuditPage, Failure> {
        let limit = usize::try_from(limit(page)).unwrap_or(usize::MAX);
        let mut snapshot = self.reader.begin_reading().await?;
        let mut chains = Descent::start(&mut snapshot, page.after.as_deref()).await?;
        if filter.kind.as_deref() == Some("policy") {
            // Changes stand in the chain of the policy alone: a few of them are found at once
            // behind any number of admissions.
            let policy = ChainName::Policy.to_string();
            chains.retain(|chain| chain.name == policy);
        }
        let mut rows = Vec::with_capacity(limit);
        let mut looked_at = 0;
        let mut more = false;
        loop {
            for chain in &mut chains {
                chain.fill(&mut snapshot).await?;
            }
            let latest = chains.iter_mut().filter(|chain| !chain.rows.is_empty());
            let Some(chain) = latest.max_by_key(|chain| chain.top()) else { break };
            if rows.len() == limit || looked_at == MOST_LOOKED_AT {
                more = true;
                break;
            }
            looked_at += 1;
            if let Some(row) = chain.pop()
                && passes(&row.event, visible, filter)
            {
                rows.push(row);
            }
        }
        snapshot.commit().await?;
        Ok(Paged { rows, next: more.then(|| Descent::cursor(&chains)) })
    }
}

/// One chain, read from its end.
struct Descent {
    id: i64,
    name: String,
    /// The next row to read from the database.
    from: u64,
    /// Read and not taken, the latest at the end.
    rows: Vec<AuditRow>,
    chunk: u64,
}

impl Descent {
    /// All chains from their heads, or from where the last page ended.
    ///
    /// A cursor is `id:seq,id:seq…` of the chains that have rows left. Chains that
    /// were made since are not in it: their rows are newer than the first page.
    async fn start(snapshot: &mut Transaction, cursor: Option<&str>) -> Result<Vec<Self>, Failure> {
        let places = cursor.map(places).transpose()?;
        let mut chains = Vec::new();
        for row in snapshot.fetch_all(CHAINS, &[]).await? {
            let id: i64 = row.get(0)?;
            let from = match &places {
                None => row.count(2)?,
                Some(places) => match places.iter().find(|(chain, _)| *chain == id) {
                    Some((_, seq)) => *seq,
                    None => continue,
                },
            };
            chains.push(Self { id, name: row.get(1)?, from, rows: Vec::new(), chunk: FIRST_CHUNK });
        }
        Ok(chains)
    }

    fn cursor(chains: &[Self]) -> String {
        let next = |chain: &Self| chain.rows.last().map_or(chain.from, |row| row.seq);
        let left = chains.iter().filter(|chain| next(chain) > 0);
        left.map(|chain| format!("{}:{}", chain.id, next(chain))).collect::<Vec<_>>().join(",")
    }

    async fn fill(&mut self, snapshot: &mut Transaction) -> Result<(), Failure> {
        if !self.rows.is_empty() || self.from == 0 {
            return Ok(());
        }
        let values = [self.id.into(), self.from.into(), self.chunk.into()];
        let mut rows = Vec::new();
        for row in snapshot.fetch_all(BACKWARD, &values).await? {
            rows.push(audit_row(&row, &self.name)?);
        }
        // Rows are numbered without gaps, so fewer than asked for means that there are no more.
        let whole = u64::try_from(rows.len()).unwrap_or(0) == self.chunk;
        self.from = rows.last().filter(|_| whole).map_or(0, |row| row.seq.saturating_sub(1));
        rows.reverse();
        self.rows = rows;
        self.chunk = (self.chunk * 4).min(MOST_CHUNK);
        Ok(())
    }

    fn top(&self) -> Option<(UnixMs, i64)> {
        self.rows.last().map(|row| (row.event.at, self.id))
    }

    fn pop(&mut self) -> Option<AuditRow> {
        self.rows.pop()
    }
}

fn places(cursor: &str) -> Result<Vec<(i64, u64)>, Failure> {
    let place = |part: &str| {
        let (id, seq) = part.split_once(':')?;
        Some((id.parse().ok()?, seq.parse().ok()?))
    };
    cursor.split(',').map(|part| place(part).ok_or_else(bad_cursor)).collect()
}

fn passes(event: &AuditEvent, visible: &Visible, filter: &AuditFilter) -> bool {
    let AuditFilter { workload, session, kind, code, actor, from, until } = filter;
    let is = |wanted: &Option<String>, actual: Option<&str>| {
        wanted.as_ref().is_none_or(|wanted| actual == Some(wanted))
    };
    let seen = match visible {
        Visible::Everything => true,
        Visible::Workloads(names) => sees(names, event.workload.as_ref()),
    };
    seen && is(workload, event.workload.as_deref())
        && session.is_none_or(|session| event.session == Some(session))
        && is(kind, Some(&event.kind))
        && is(code, Some(&event.code))
        && is(actor, event.actor.as_deref())
        && from.is_none_or(|from| event.at >= from)
        && until.is_none_or(|until| event.at < until)
}

fn sees(names: &BTreeSet<String>, workload: Option<&String>) -> bool {
    workload.is_some_and(|workload| names.contains(workload))
}

/// The most rows that one page looks at: some tens of milliseconds.
const MOST_LOOKED_AT: usize = 20_000;

/// Rows read at once: few of the many chains that a page takes nothing from.
const FIRST_CHUNK: u64 = 32;
const MOST_CHUNK: u64 = 1024;

const BACKWARD: &str =
    concat!(audit_columns!(), " WHERE a.chain = $1 AND a.seq <= $2 ORDER BY a.seq DESC LIMIT $3");
