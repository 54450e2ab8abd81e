//! The beginning and the end of a chain, and the epoch.

use super::*;

#[test]
fn a_clean_audit_has_no_findings() {
    let audit = Audit::sample();
    assert_eq!(audit.verify(&[]), []);
    assert_eq!(audit.verify(&audit.known()), []);
    let empty = Audit { chains: vec![Chain::new(ChainName::Policy)], epoch: Epoch(0) };
    assert_eq!(empty.verify(&[]), []);
}

#[test]
fn a_tail_that_was_cut_is_found_by_whoever_still_speaks_of_it() {
    let audit = Audit::sample();
    for c in 0..audit.chains.len() {
        let first = audit.chains[c].rows[0].0;
        for left in first - 1..10 {
            let chain = audit.chains[c].name;
            let tail = |expected, witness| vec![Finding::TailMissing { chain, seq: left, expected, witness }];

            let mut rows = audit.clone();
            rows.chains[c].rows.retain(|row| row.0 <= left);
            assert_eq!(rows.verify(&[]), tail(10, Witness::Head));
            assert_eq!(rows.verify(&audit.known()), tail(10, Witness::Head));

            let mut head = rows.clone();
            let whole = &audit.chains[c];
            head.chains[c].head = Some(match (left, &whole.anchor) {
                (0, None) => Head::genesis(&chain),
                (3, Some(anchor)) => anchor.head(),
                _ => Head { seq: left, hash: whole.hash(left) },
            });
            let checkpoint = if left < 8 { tail(8, Witness::Checkpoint) } else { Vec::new() };
            // The chain's rows and the epoch of its checkpoints are higher than nothing that is stored.
            assert_eq!(head.verify(&[]), checkpoint);
            assert_eq!(head.verify(&audit.known()), tail(10, Witness::KnownHead));

            let mut checkpoints = head.clone();
            checkpoints.chains[c].checkpoints.retain(|checkpoint| checkpoint.seq <= left);
            assert_eq!(checkpoints.verify(&[]), [], "consistent inside");
            assert_eq!(checkpoints.verify(&audit.known()), tail(10, Witness::KnownHead));
        }
    }
}

#[test]
fn a_chain_that_is_gone_is_found_by_a_known_head() {
    let audit = Audit::sample();
    for c in 0..audit.chains.len() {
        let mut tampered = audit.clone();
        let chain = tampered.chains.remove(c).name;
        assert_eq!(tampered.verify(&[]), []);
        assert_eq!(tampered.verify(&audit.known()), [Finding::ChainMissing { chain, expected: 10 }]);
    }
}

#[test]
fn a_head_that_is_gone_or_wrong_is_found() {
    let audit = Audit::sample();
    for c in 0..audit.chains.len() {
        let (chain, seq) = (audit.chains[c].name, 10);
        let mut gone = audit.clone();
        gone.chains[c].head = None;
        assert_eq!(gone.verify(&[]), [Finding::HeadMissing { chain, seq }]);

        let mut wrong = audit.clone();
        wrong.chains[c].head = Some(Head { seq, hash: [0; 32] });
        let (expected, actual) = ([0; 32], audit.chains[c].hash(seq));
        let witness = Witness::Head;
        assert_eq!(wrong.verify(&[]), [Finding::Disagrees { chain, seq, witness, expected, actual }]);
    }
}

#[test]
fn rows_dropped_without_an_anchor_or_behind_an_old_one_are_missing() {
    let mut audit = Audit::sample();
    let chain = audit.chains[0].name;
    audit.chains[0].rows.retain(|row| row.0 > 6);
    assert_eq!(audit.verify(&[]), [Finding::RowsMissing { chain, seq: 1, last: 6 }]);

    let mut audit = Audit::sample();
    let chain = audit.chains[2].name;
    audit.chains[2].rows.retain(|row| row.0 > 6);
    assert_eq!(audit.verify(&[]), [Finding::RowsMissing { chain, seq: 4, last: 6 }]);
}

#[test]
fn a_chain_that_retention_emptied_holds() {
    let mut audit = Audit::sample();
    let known = audit.known();
    audit.chains[1].prune(10, &key());
    assert_eq!(audit.verify(&known), []);
    audit.chains[1].append(event(8));
    assert_eq!(audit.verify(&known), []);
}

#[test]
fn an_epoch_that_went_back_is_found() {
    let mut audit = Audit::sample();
    audit.epoch = Epoch(9);
    let chain = audit.chains[0].name;
    let witness = EpochWitness::Row { chain, seq: 10 };
    assert_eq!(audit.verify(&[]), [Finding::EpochBehind { expected: 10, actual: 9, witness }]);

    let mut known = Known::new();
    known.note_epoch(Epoch(11));
    let audit = Audit::sample();
    let witness = EpochWitness::Known;
    assert_eq!(audit.verify(&[known]), [Finding::EpochBehind { expected: 11, actual: 10, witness }]);

    let mut audit = Audit::sample();
    let signed = &mut audit.chains[0];
    let checkpoint = key().sign(signed.name, signed.head.unwrap(), Purpose::Checkpoint, UnixMs(1), Epoch(12));
    signed.checkpoints.push(checkpoint);
    let witness = EpochWitness::Checkpoint { chain: signed.name, seq: 10 };
    assert_eq!(audit.verify(&[]), [Finding::EpochBehind { expected: 12, actual: 10, witness }]);
}
