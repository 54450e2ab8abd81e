//! Bounds, and audits of any shape.

use super::*;

#[test]
fn findings_are_bounded_and_counted() {
    let mut audit = Audit { chains: vec![Chain::new(ChainName::Policy)], epoch: Epoch(0) };
    for n in 0..300 {
        audit.chains[0].append(Event { epoch: Epoch(0), ..event(n) });
    }
    let mut edited = audit.clone();
    edited.chains[0].rows.iter_mut().for_each(|row| row.1.kind = "other".into());
    let report = verify_export(Cursor::new(edited.export()), &trusted(), &[]).unwrap();
    assert_eq!((report.findings.len(), report.more, report.is_clean()), (100, 200, false));

    // Every second row is gone, and then all come in the wrong order.
    let mut gone = audit.clone();
    gone.chains[0].rows.retain(|row| row.0 % 2 == 0);
    let report = verify_export(Cursor::new(gone.export()), &trusted(), &[]).unwrap();
    assert_eq!((report.findings.len(), report.more), (100, 50));
    audit.chains[0].rows.reverse();
    let report = verify_export(Cursor::new(audit.export()), &trusted(), &[]).unwrap();
    assert_eq!((report.findings.len(), report.more), (100, 199));
}

#[test]
fn checkpoints_that_wait_for_their_rows_are_bounded() {
    let trusted = trusted();
    let mut check = ChainCheck::start(ChainName::Policy, None, [], &trusted);
    for seq in 1..=1025 {
        let head = Head { seq, hash: [0; 32] };
        check.checkpoint(&key().sign(ChainName::Policy, head, Purpose::Checkpoint, UnixMs(1), Epoch(1)));
    }
    let mut verification = Verification::new(&trusted, &[]);
    verification.add(check.finish(Some(Head::genesis(&ChainName::Policy))));
    let chain = ChainName::Policy;
    assert_eq!(
        verification.finish(Epoch(1)).findings,
        [
            Finding::CheckpointMisplaced { chain, seq: 1025, after: 0 },
            Finding::TailMissing { chain, seq: 0, expected: 1024, witness: Witness::Checkpoint }
        ]
    );
}

/// Chains of any length, pruned and signed anywhere: clean as they are, and never after one change.
#[test]
fn any_audit_holds_until_it_is_touched() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut kinds = [0; KINDS];
    for round in 0..400 {
        let audit = any(&mut random);
        let known = audit.known();
        assert_eq!(audit.verify(&known), [], "round {round}");
        let kind = random.below(KINDS);
        let mut tampered = audit.clone();
        if tamper(&mut tampered, kind, &mut random) {
            kinds[kind] += 1;
            assert_ne!(tampered.verify(&known), [], "round {round}, kind {kind}: {audit:?}");
        }
    }
    assert!(kinds.iter().all(|count| *count > 10), "{kinds:?}");
}

fn any(random: &mut Random) -> Audit {
    let mut chains = Vec::new();
    for n in 0..=random.below(3) {
        let name = if n == 0 { ChainName::Policy } else { ChainName::Replica([n as u8; 16]) };
        let mut chain = Chain::new(name);
        for seq in 1..=random.below(20) as u64 {
            chain.append(Event { epoch: Epoch(seq), ..event(random.below(40) as u64) });
            if random.below(4) == 0 {
                chain.sign(&key());
            }
        }
        if let Some((last, ..)) = chain.rows.last()
            && random.below(3) == 0
        {
            let to = 1 + random.below(*last as usize) as u64;
            chain.prune(to, &key());
        }
        chains.push(chain);
    }
    Audit { chains, epoch: Epoch(20) }
}

/// One change of one kind; false when the audit has nothing to change in that way.
fn tamper(audit: &mut Audit, kind: usize, random: &mut Random) -> bool {
    let c = random.below(audit.chains.len());
    let chain = &mut audit.chains[c];
    if chain.rows.is_empty() {
        return false;
    }
    let r = random.below(chain.rows.len());
    match kind {
        0 => chain.rows[r].1.code.to_mut().push('x'),
        1 => chain.rows[r].2[random.below(32)] ^= 1 << random.below(8),
        2 => chain.rows[r].0 += 1 + random.below(3) as u64,
        3 => drop(chain.rows.remove(r)),
        4 => {
            chain.rows.truncate(r);
            chain.head = chain.rows.last().map(|row| Head { seq: row.0, hash: row.2 });
            let last = chain.head.map_or(0, |head| head.seq);
            chain.checkpoints.retain(|checkpoint| checkpoint.seq <= last);
        }
        5 => {
            chain.rows[r].1.detail = Some("anew".to_owned());
            chain.rehash();
            chain.checkpoints.clear();
        }
        6 => chain.rows.insert(r, chain.rows[r].clone()),
        7 => drop(audit.chains.remove(c)),
        _ => audit.epoch = Epoch(19),
    }
    true
}

const KINDS: usize = 9;

/// xorshift64: the same audits in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
