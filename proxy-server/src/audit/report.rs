use std::{collections::BTreeSet, fmt};

use countersign_protocol::Epoch;
use serde::Serialize;

use super::{
    chain::ChainName,
    check::{ChainCheck, ChainOutcome},
    checkpoint::Checkpoint,
    finding::Finding,
    findings::Findings,
    known::Known,
    public_key::TrustedKeys,
    witness::EpochWitness,
};

/// What a check of the whole audit came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Each chain that was checked.
    pub chains: Vec<ChainSummary>,
    /// Rows in all of them.
    pub rows: u64,
    /// Checkpoints in all of them, those included that cannot be believed.
    pub checkpoints: u64,
    /// What is not as it was written; none of it means that the audit holds. At most 100.
    pub findings: Vec<Finding>,
    /// Findings that are not in the list.
    pub more: u64,
}

/// What was checked of one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainSummary {
    /// Its name.
    pub chain: ChainName,
    /// Its first row: 1, or the one behind what retention dropped.
    pub first: u64,
    /// Its last row, one less than `first` when it has none.
    pub last: u64,
    /// The last row under a signature that counts. Rows behind it are held by the hashes and known heads alone.
    pub signed: Option<u64>,
    /// Rows that were read.
    pub rows: u64,
    /// Checkpoints that were read.
    pub checkpoints: u64,
}

impl Report {
    /// Whether the audit holds.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }
}

/// Checks every chain and puts the outcomes together.
///
/// While others write, the order matters: first the known heads, then one snapshot of the store with its rows,
/// checkpoints, heads and epoch. Else an honest row looks missing.
///
/// ```text
///   chain() ──► ChainCheck: row, checkpoint, …, finish() ──► add() ──► the next chain … ──► finish() ──► Report
/// ```
#[derive(Debug)]
pub struct Verification<'a> {
    trusted: &'a TrustedKeys,
    known: &'a [Known],
    seen: BTreeSet<ChainName>,
    chains: Vec<ChainSummary>,
    findings: Findings,
    epoch: Option<(Epoch, EpochWitness)>,
}

impl<'a> Verification<'a> {
    /// Believes these keys, and what was noted outside of the database, by one replica or by several.
    pub fn new(trusted: &'a TrustedKeys, known: &'a [Known]) -> Self {
        let epoch = known.iter().map(Known::epoch).max().map(|epoch| (epoch, EpochWitness::Known));
        Self {
            trusted,
            known,
            seen: BTreeSet::new(),
            chains: Vec::new(),
            findings: Findings::default(),
            epoch,
        }
    }

    /// Starts the check of one chain; `anchor` when retention has dropped its first rows.
    pub fn chain(&self, chain: ChainName, anchor: Option<&Checkpoint>) -> ChainCheck<'a> {
        let known = self.known.iter().filter_map(|known| known.head(chain));
        ChainCheck::start(chain, anchor, known, self.trusted)
    }

    /// Takes what a chain came to.
    pub fn add(&mut self, outcome: ChainOutcome) {
        let ChainOutcome { summary, findings, epoch } = outcome;
        self.seen.insert(summary.chain);
        self.chains.push(summary);
        self.findings.append(findings);
        if let Some((epoch, witness)) = epoch
            && self.epoch.is_none_or(|(highest, _)| epoch > highest)
        {
            self.epoch = Some((epoch, witness));
        }
    }

    /// Every chain was added: finds the chains that are gone and compares the epoch that is stored.
    pub fn finish(mut self, stored: Epoch) -> Report {
        let mut gone: Vec<(ChainName, u64)> = self
            .known
            .iter()
            .flat_map(Known::heads)
            .filter(|(chain, head)| head.seq > 0 && !self.seen.contains(chain))
            .map(|(chain, head)| (chain, head.seq))
            .collect();
        // The highest of each chain.
        gone.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        gone.dedup_by_key(|(chain, _)| *chain);
        for (chain, expected) in gone {
            self.findings.push(Finding::ChainMissing { chain, expected });
        }
        self.compare_epoch(stored);
        self.report()
    }

    /// Not every chain could be had, as in an export that was cut off behind `lines` lines.
    pub(super) fn finish_cut(mut self, stored: Epoch, lines: u64) -> Report {
        self.findings.push(Finding::ExportCut { lines });
        self.compare_epoch(stored);
        self.report()
    }

    pub(super) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn compare_epoch(&mut self, stored: Epoch) {
        if let Some((expected, witness)) = self.epoch
            && expected > stored
        {
            let (expected, actual) = (expected.0, stored.0);
            self.findings.push(Finding::EpochBehind { expected, actual, witness });
        }
    }

    fn report(self) -> Report {
        let Findings { list: findings, more } = self.findings;
        let rows = self.chains.iter().map(|chain| chain.rows).sum();
        let checkpoints = self.chains.iter().map(|chain| chain.checkpoints).sum();
        Report { chains: self.chains, rows, checkpoints, findings, more }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "FOUND {finding}")?;
        }
        if self.more > 0 {
            writeln!(f, "FOUND {} more", self.more)?;
        }
        for ChainSummary { chain, first, last, signed, rows: _, checkpoints: _ } in &self.chains {
            if last < first {
                write!(f, "{chain}: no rows")?;
            } else {
                write!(f, "{chain}: rows {first} to {last}")?;
            }
            match signed {
                Some(signed) => writeln!(f, ", signed up to {signed}")?,
                None => writeln!(f, ", not signed")?,
            }
        }
        let verdict = if self.is_clean() { "the audit holds" } else { "THE AUDIT DOES NOT HOLD" };
        let (rows, checkpoints, chains) = (self.rows, self.checkpoints, self.chains.len());
        write!(f, "{verdict}: {rows} rows, {checkpoints} checkpoints, {chains} chains")
    }
}
