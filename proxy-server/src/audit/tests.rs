//! The audit is built whole, tampered with in one way at a time, and asked what it found.

mod export;
mod files;
mod golden;
mod many;
mod names;
mod tampering;

use std::io::Cursor;

use aws_lc_rs::signature::Ed25519KeyPair;
use countersign_protocol::{Epoch, SessionId};

use super::*;
use crate::store::UnixMs;

/// An audit as a store has it.
#[derive(Clone, Debug)]
struct Audit {
    chains: Vec<Chain>,
    epoch: Epoch,
}

#[derive(Clone, Debug)]
struct Chain {
    name: ChainName,
    anchor: Option<Checkpoint>,
    rows: Vec<(u64, Event, [u8; 32])>,
    checkpoints: Vec<Checkpoint>,
    head: Option<Head>,
}

impl Chain {
    fn new(name: ChainName) -> Self {
        Self {
            name,
            anchor: None,
            rows: Vec::new(),
            checkpoints: Vec::new(),
            head: Some(Head::genesis(&name)),
        }
    }

    fn append(&mut self, event: Event) {
        let head = self.head.unwrap().after(&self.name, &event);
        self.rows.push((head.seq, event, head.hash));
        self.head = Some(head);
    }

    fn sign(&mut self, key: &AuditKey) {
        let checkpoint = self.at(self.head.unwrap().seq, Purpose::Checkpoint, key);
        self.checkpoints.push(checkpoint);
    }

    fn at(&self, seq: u64, purpose: Purpose, key: &AuditKey) -> Checkpoint {
        let (_, event, hash) = self.rows.iter().find(|row| row.0 == seq).unwrap();
        key.sign(self.name, Head { seq, hash: *hash }, purpose, event.at, event.epoch)
    }

    /// What retention does: drops the rows up to `seq` and leaves a signed anchor.
    fn prune(&mut self, seq: u64, key: &AuditKey) {
        self.anchor = Some(self.at(seq, Purpose::Anchor, key));
        self.rows.retain(|row| row.0 > seq);
    }

    /// Hashes every row anew, and the head, as somebody would who knows how it is done.
    fn rehash(&mut self) {
        let mut head = match &self.anchor {
            Some(anchor) => anchor.head(),
            None => Head::genesis(&self.name),
        };
        for (seq, event, hash) in &mut self.rows {
            head = head.after(&self.name, event);
            (*seq, *hash) = (head.seq, head.hash);
        }
        self.head = Some(head);
    }

    fn hash(&self, seq: u64) -> [u8; 32] {
        self.rows.iter().find(|row| row.0 == seq).unwrap().2
    }
}

impl Audit {
    /// Two chains of ten rows with checkpoints behind rows 4 and 8, and one that retention has shortened to 4 to 10.
    fn sample() -> Self {
        let chain = |name, prune: Option<u64>| {
            let mut chain = Chain::new(name);
            for n in 1..=10 {
                chain.append(event(n));
                if n % 4 == 0 {
                    chain.sign(&key());
                }
            }
            if let Some(seq) = prune {
                chain.prune(seq, &key());
            }
            chain
        };
        let chains = vec![
            chain(ChainName::Policy, None),
            chain(ChainName::Replica([0xa1; 16]), None),
            chain(ChainName::Replica([0xb2; 16]), Some(3)),
        ];
        Self { chains, epoch: Epoch(10) }
    }

    /// Heads of all chains as a replica would have noted them now.
    fn known(&self) -> Vec<Known> {
        let mut known = Known::new();
        for chain in &self.chains {
            known.note(chain.name, chain.head.unwrap()).unwrap();
        }
        known.note_epoch(self.epoch);
        vec![known]
    }

    /// Row by row as from a store, and through an export: both must find the same.
    fn verify(&self, known: &[Known]) -> Vec<Finding> {
        let trusted = trusted();
        let mut verification = Verification::new(&trusted, known);
        for chain in &self.chains {
            let mut check = verification.chain(chain.name, chain.anchor.as_ref());
            chain.feed(|line| match line {
                Fed::Row((seq, event, hash)) => check.row(*seq, event, *hash),
                Fed::Checkpoint(checkpoint) => check.checkpoint(checkpoint),
            });
            verification.add(check.finish(chain.head));
        }
        let report = verification.finish(self.epoch);
        assert_eq!(verify_export(Cursor::new(self.export()), &trusted, known).unwrap(), report);
        assert_eq!(report.is_clean(), report.findings.is_empty());
        report.findings
    }

    fn export(&self) -> Vec<u8> {
        let header = ExportHeader {
            deployment: "test".parse().unwrap(),
            epoch: self.epoch,
            at: UnixMs(1_790_000_000_000),
        };
        let mut writer = ExportWriter::new(Vec::new(), &header).unwrap();
        writer.key(&key().public()).unwrap();
        for chain in &self.chains {
            writer.chain(chain.name, chain.anchor.as_ref()).unwrap();
            chain.feed(|line| match line {
                Fed::Row((seq, event, hash)) => writer.row(chain.name, *seq, event, *hash).unwrap(),
                Fed::Checkpoint(checkpoint) => writer.checkpoint(checkpoint).unwrap(),
            });
            if let Some(head) = chain.head {
                writer.head(chain.name, head).unwrap();
            }
        }
        writer.finish().unwrap()
    }
}

enum Fed<'a> {
    Row(&'a (u64, Event, [u8; 32])),
    Checkpoint(&'a Checkpoint),
}

impl Chain {
    /// Each checkpoint behind its row, as they come out of a store that asks for both by number.
    fn feed(&self, mut to: impl FnMut(Fed<'_>)) {
        let mut checkpoints = self.checkpoints.iter().peekable();
        for row in &self.rows {
            while let Some(checkpoint) = checkpoints.next_if(|checkpoint| checkpoint.seq < row.0) {
                to(Fed::Checkpoint(checkpoint));
            }
            to(Fed::Row(row));
        }
        checkpoints.for_each(|checkpoint| to(Fed::Checkpoint(checkpoint)));
    }
}

/// The n-th row of any chain: with an even number every optional field is there, with an odd one none.
fn event(n: u64) -> Event {
    let text = |what: &str| n.is_multiple_of(2).then(|| format!("{what} {n}"));
    Event {
        at: UnixMs(1_780_000_000_000 + i64::try_from(n).unwrap()),
        kind: "policy".into(),
        code: "measurement-revoked".into(),
        epoch: Epoch(n),
        workload: text("workload"),
        measurement: text("measurement"),
        session: n.is_multiple_of(2).then(|| SessionId::from_bytes([n as u8; 16])),
        request_id: text("request"),
        actor: text("token:ü"),
        before: text("{\"state\": \"active\"}"),
        after: text("{\"state\":\"revoked\"}"),
        evidence: n.is_multiple_of(2).then_some([n as u8; 32]),
        detail: text("line one\nline two \u{0}"),
    }
}

fn key() -> AuditKey {
    key_of(7)
}

fn key_of(seed: u8) -> AuditKey {
    AuditKey::from_pair(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()).unwrap()
}

fn trusted() -> TrustedKeys {
    TrustedKeys::new([key().public()])
}
