//! Checkpoints and anchors.

use super::*;

#[test]
fn a_chain_written_anew_contradicts_its_checkpoints_and_known_heads() {
    let audit = Audit::sample();
    for c in 0..audit.chains.len() {
        for r in 0..audit.chains[c].rows.len() {
            let mut tampered = audit.clone();
            let (before, after) = (&audit.chains[c], &mut tampered.chains[c]);
            after.rows[r].1.actor = Some("token:somebody-else".to_owned());
            after.rehash();
            let chain = before.name;
            let from = before.rows[r].0;
            let found = |seq, witness| {
                let (expected, actual) = (before.hash(seq), after.hash(seq));
                Finding::Disagrees { chain, seq, witness, expected, actual }
            };
            let mut expected: Vec<_> = [4, 8]
                .into_iter()
                .filter(|seq| *seq >= from)
                .map(|seq| found(seq, Witness::Checkpoint))
                .collect();
            let head = found(10, Witness::KnownHead);
            // Behind the last checkpoint only a known head can tell.
            assert_eq!(tampered.verify(&[]), expected);
            expected.push(head);
            assert_eq!(tampered.verify(&audit.known()), expected);
        }
    }
}

#[test]
fn every_part_of_a_checkpoint_is_under_its_signature() {
    let audit = Audit::sample();
    let tampers: [fn(&mut Checkpoint); 6] = [
        |c| c.purpose = Purpose::Anchor,
        |c| c.seq -= 1,
        |c| c.hash[0] ^= 1,
        |c| c.at = UnixMs(c.at.0 - 1),
        |c| c.epoch = Epoch(c.epoch.0 - 1),
        |c| c.signature[63] ^= 1,
    ];
    for (c, n) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)] {
        for tamper in tampers {
            let mut tampered = audit.clone();
            let checkpoint = &mut tampered.chains[c].checkpoints[n];
            tamper(checkpoint);
            let seq = checkpoint.seq;
            let chain = audit.chains[c].name;
            let reason = Distrust::BadSignature { key: key().public().id() };
            assert_eq!(tampered.verify(&[]), [Finding::CheckpointDistrusted { chain, seq, reason }]);
        }
        let mut other = audit.clone();
        let chain = audit.chains[c].name;
        let checkpoint = &mut other.chains[c].checkpoints[n];
        checkpoint.key_id = KeyId([0; 8]);
        let (seq, actual) = (checkpoint.seq, KeyId([0; 8]));
        let reason = Distrust::UnknownKey { trusted: trusted().ids(), actual };
        assert_eq!(other.verify(&[]), [Finding::CheckpointDistrusted { chain, seq, reason }]);
    }
}

#[test]
fn a_checkpoint_signed_by_another_key_is_found() {
    let stranger = key_of(8);
    let mut audit = Audit::sample();
    // The whole chain written anew, head and checkpoints too, with a key of one's own.
    let chain = &mut audit.chains[0];
    chain.rows[0].1.actor = Some("token:somebody-else".to_owned());
    chain.rehash();
    chain.checkpoints = [4, 8].map(|seq| chain.at(seq, Purpose::Checkpoint, &stranger)).to_vec();
    let chain = chain.name;
    let reason = Distrust::UnknownKey { trusted: trusted().ids(), actual: stranger.public().id() };
    let found = [4, 8].map(|seq| Finding::CheckpointDistrusted { chain, seq, reason: reason.clone() });
    assert_eq!(audit.verify(&[]), found);
    // Under the id of the trusted key.
    let chain = &mut audit.chains[0];
    chain.checkpoints.iter_mut().for_each(|checkpoint| checkpoint.key_id = key().public().id());
    let chain = chain.name;
    let reason = Distrust::BadSignature { key: key().public().id() };
    let found = [4, 8].map(|seq| Finding::CheckpointDistrusted { chain, seq, reason: reason.clone() });
    assert_eq!(audit.verify(&[]), found);
}

#[test]
fn a_checkpoint_is_no_anchor_and_a_foreign_anchor_is_none() {
    let audit = Audit::sample();
    let chain = audit.chains[0].name;
    let dropped = |anchor: Checkpoint| {
        let mut tampered = audit.clone();
        tampered.chains[0].rows.retain(|row| row.0 > 4);
        tampered.chains[0].anchor = Some(anchor);
        tampered.verify(&[])
    };
    let found = |reason| [Finding::AnchorDistrusted { chain, seq: 4, reason }];

    let reason = Distrust::NotAnAnchor { actual: Purpose::Checkpoint };
    assert_eq!(dropped(audit.chains[0].checkpoints[0].clone()), found(reason));

    let anchor = audit.chains[0].at(4, Purpose::Anchor, &key_of(8));
    let reason = Distrust::UnknownKey { trusted: trusted().ids(), actual: key_of(8).public().id() };
    assert_eq!(dropped(anchor), found(reason));

    let anchor = audit.chains[1].at(4, Purpose::Anchor, &key());
    let reason = Distrust::OtherChain { actual: audit.chains[1].name };
    assert_eq!(dropped(anchor), found(reason));

    assert_eq!(dropped(audit.chains[0].at(4, Purpose::Anchor, &key())), []);
}

#[test]
fn a_checkpoint_that_cannot_be_compared_is_found() {
    let mut audit = Audit::sample();
    audit.chains[0].checkpoints.swap(0, 1);
    let chain = audit.chains[0].name;
    // Both come behind row 8: a list out of order.
    let found = audit.verify(&[]);
    assert_eq!(found, [Finding::CheckpointMisplaced { chain, seq: 4, after: 8 }]);
}
