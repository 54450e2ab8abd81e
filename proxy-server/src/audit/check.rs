use std::collections::VecDeque;

use countersign_protocol::Epoch;

use super::{
    chain::{ChainName, Head},
    checkpoint::{Checkpoint, Distrust, Purpose},
    event::Event,
    finding::Finding,
    findings::Findings,
    gaps::{Gap, Gaps},
    public_key::TrustedKeys,
    report::ChainSummary,
    witness::{EpochWitness, Witness},
};

/// Checks one chain, row by row, in memory that does not grow with it.
///
/// Feed rows by number, each checkpoint after its row and before the next one, then [`Self::finish`] with the stored
/// head. A finding never stops the check: it goes on from what is stored, so that one edited row is one finding.
#[derive(Debug)]
pub struct ChainCheck<'a> {
    chain: ChainName,
    trusted: &'a TrustedKeys,
    /// Rows up to this one are gone by retention.
    base: u64,
    position: Position,
    /// What is said of rows that have not come yet, lowest first.
    waiting: VecDeque<(Witness, Head)>,
    gaps: Gaps,
    findings: Findings,
    rows: u64,
    checkpoints: u64,
    signed: Option<u64>,
    epoch: Option<(Epoch, EpochWitness)>,
}

/// What the next row must follow from.
#[derive(Clone, Copy, Debug)]
enum Position {
    At(Head),
    /// The anchor cannot be believed, so the first row is taken as it is.
    Adrift,
}

/// What one chain came to, for [`super::Verification::add`].
#[derive(Debug)]
pub struct ChainOutcome {
    pub(super) summary: ChainSummary,
    pub(super) findings: Findings,
    pub(super) epoch: Option<(Epoch, EpochWitness)>,
}

impl<'a> ChainCheck<'a> {
    /// Starts at the chain's beginning, or behind the rows that retention dropped: then an anchor must say so.
    /// `known` are heads of this chain that were noted outside of the database.
    pub fn start(
        chain: ChainName,
        anchor: Option<&Checkpoint>,
        known: impl IntoIterator<Item = Head>,
        trusted: &'a TrustedKeys,
    ) -> Self {
        let mut check = Self {
            chain,
            trusted,
            base: 0,
            position: Position::At(Head::genesis(&chain)),
            waiting: VecDeque::new(),
            gaps: Gaps::default(),
            findings: Findings::default(),
            rows: 0,
            checkpoints: 0,
            signed: None,
            epoch: None,
        };
        if let Some(anchor) = anchor {
            check.base = anchor.seq;
            check.position = match check.believe(anchor, Some(Purpose::Anchor)) {
                Ok(head) => {
                    check.signed = Some(head.seq);
                    Position::At(head)
                }
                Err(reason) => {
                    check.findings.push(Finding::AnchorDistrusted { chain, seq: anchor.seq, reason });
                    Position::Adrift
                }
            };
        }
        for head in known {
            check.hear(Witness::KnownHead, head);
        }
        check
    }

    /// The next row, with the hash that is stored with it.
    pub fn row(&mut self, seq: u64, event: &Event, hash: [u8; 32]) {
        self.rows += 1;
        let chain = self.chain;
        let before = match self.position {
            Position::Adrift => return self.advance(Head { seq, hash }),
            Position::At(before) => before,
        };
        let due = before.seq.saturating_add(1);
        if seq > due {
            self.gap(due, seq - 1);
            return self.advance(Head { seq, hash });
        }
        if seq < due {
            return self.late(seq, before.seq);
        }
        let expected = before.after(&chain, event);
        if expected.hash == hash {
            self.note_epoch(event.epoch, EpochWitness::Row { chain, seq });
        } else {
            self.findings.push(Finding::RowChanged { chain, seq, expected: expected.hash, actual: hash });
        }
        self.advance(Head { seq, hash });
    }

    /// A checkpoint of this chain, or an anchor that retention has gone beyond.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.checkpoints += 1;
        match self.believe(checkpoint, None) {
            Ok(head) => self.hear(Witness::Checkpoint, head),
            Err(reason) => {
                let (chain, seq) = (self.chain, checkpoint.seq);
                self.findings.push(Finding::CheckpointDistrusted { chain, seq, reason });
            }
        }
    }

    /// Every row was fed: compares the end of the chain with the stored head.
    pub fn finish(mut self, stored: Option<Head>) -> ChainOutcome {
        let chain = self.chain;
        let last = match self.position {
            Position::At(last) => last,
            // No row came; the finding about the anchor says what there is to say.
            Position::Adrift => {
                let base = self.base;
                return self.outcome(base);
            }
        };
        let mut beyond = self.waiting.iter().map(|(witness, head)| (head.seq, *witness)).max();
        match stored {
            None if last.seq > 0 => self.findings.push(Finding::HeadMissing { chain, seq: last.seq }),
            None => {}
            Some(head) if head.seq > last.seq => beyond = beyond.max(Some((head.seq, Witness::Head))),
            Some(head) if head.seq < last.seq => {
                self.findings.push(Finding::HeadBehind { chain, seq: last.seq, actual: head.seq });
            }
            Some(head) => self.compare(Witness::Head, head, last.hash),
        }
        if let Some((expected, witness)) = beyond {
            self.findings.push(Finding::TailMissing { chain, seq: last.seq, expected, witness });
        }
        self.outcome(last.seq)
    }

    /// No more rows can be had, as in an export that was cut off: says nothing about the end of the chain.
    pub fn abandon(self) -> ChainOutcome {
        let last = match self.position {
            Position::At(last) => last.seq,
            Position::Adrift => self.base,
        };
        self.outcome(last)
    }

    fn outcome(mut self, last: u64) -> ChainOutcome {
        let chain = self.chain;
        for Gap { first, last } in self.gaps.into_sorted() {
            self.findings.push(Finding::RowsMissing { chain, seq: first, last });
        }
        let summary = ChainSummary {
            chain,
            first: self.base.saturating_add(1),
            last,
            signed: self.signed,
            rows: self.rows,
            checkpoints: self.checkpoints,
        };
        ChainOutcome { summary, findings: self.findings, epoch: self.epoch }
    }

    fn believe(&mut self, checkpoint: &Checkpoint, needed: Option<Purpose>) -> Result<Head, Distrust> {
        let Checkpoint { chain, purpose, seq, epoch, .. } = *checkpoint;
        if chain != self.chain {
            return Err(Distrust::OtherChain { actual: chain });
        }
        let head = checkpoint.verify(self.trusted)?;
        if needed.is_some_and(|needed| needed != purpose) {
            return Err(Distrust::NotAnAnchor { actual: purpose });
        }
        self.note_epoch(epoch, EpochWitness::Checkpoint { chain, seq });
        Ok(head)
    }

    /// Somebody speaks of a row: compared now when it is the last one, later when it has not come.
    fn hear(&mut self, witness: Witness, head: Head) {
        let (chain, seq) = (self.chain, head.seq);
        match self.position {
            // Its row is gone by retention.
            _ if seq < self.base => {}
            Position::At(last) if seq == last.seq => self.compare(witness, head, last.hash),
            Position::At(last) if seq < last.seq => {
                self.findings.push(Finding::CheckpointMisplaced { chain, seq, after: last.seq });
            }
            Position::At(Head { seq: after, .. }) if self.waiting.len() >= MOST_WAITING => {
                self.findings.push(Finding::CheckpointMisplaced { chain, seq, after });
            }
            Position::Adrift if self.waiting.len() >= MOST_WAITING => {}
            Position::At(_) | Position::Adrift => {
                let at = self.waiting.partition_point(|(_, other)| other.seq <= seq);
                self.waiting.insert(at, (witness, head));
            }
        }
    }

    fn advance(&mut self, to: Head) {
        self.position = Position::At(to);
        while let Some((witness, head)) = self.waiting.front().copied()
            && head.seq <= to.seq
        {
            self.waiting.pop_front();
            // A lower one speaks of a row that is missing, which is said elsewhere.
            if head.seq == to.seq {
                self.compare(witness, head, to.hash);
            }
        }
    }

    fn compare(&mut self, witness: Witness, said: Head, actual: [u8; 32]) {
        let (chain, seq) = (self.chain, said.seq);
        if said.hash != actual {
            self.findings.push(Finding::Disagrees { chain, seq, witness, expected: said.hash, actual });
        } else if witness == Witness::Checkpoint {
            self.signed = self.signed.max(Some(seq));
        }
    }

    fn gap(&mut self, first: u64, last: u64) {
        if let Some(Gap { first, last }) = self.gaps.open(Gap { first, last }) {
            self.findings.push(Finding::RowsMissing { chain: self.chain, seq: first, last });
        }
    }

    /// A row that should have come before: it was moved when its place is empty, and is one too many when not.
    fn late(&mut self, seq: u64, after: u64) {
        let chain = self.chain;
        let Some(Gap { first, last }) = self.gaps.take(seq) else {
            let expected = after.saturating_add(1);
            return self.findings.push(Finding::RowInserted { chain, seq, expected });
        };
        self.findings.push(Finding::RowMoved { chain, seq, after });
        if first < seq {
            self.gap(first, seq - 1);
        }
        if seq < last {
            self.gap(seq + 1, last);
        }
    }

    fn note_epoch(&mut self, epoch: Epoch, witness: EpochWitness) {
        if self.epoch.is_none_or(|(highest, _)| epoch > highest) {
            self.epoch = Some((epoch, witness));
        }
    }
}

/// Checkpoints that may be fed before their rows. One is made every few thousand rows, so nobody needs more.
const MOST_WAITING: usize = 1024;
