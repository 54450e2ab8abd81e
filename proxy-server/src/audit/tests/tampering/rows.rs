//! Whole rows are removed, moved, inserted, and swapped.

use super::*;

#[test]
fn a_removed_row_is_found() {
    at_every_row(
        |chain, r| drop(chain.rows.remove(r)),
        |before, r, after| {
            let (chain, seq) = (before.name, before.rows[r].0);
            if r + 1 < before.rows.len() {
                return vec![Finding::RowsMissing { chain, seq, last: seq }];
            }
            let last = after.rows.last().unwrap().0;
            vec![Finding::TailMissing { chain, seq: last, expected: seq, witness: Witness::Head }]
        },
    );
}

#[test]
fn a_removed_row_is_found_when_the_others_are_numbered_anew() {
    at_every_row(
        |chain, r| {
            chain.rows.remove(r);
            chain.rows[r..].iter_mut().for_each(|row| row.0 -= 1);
        },
        |before, r, after| {
            let chain = before.name;
            let mut found = Vec::new();
            for (at, (seq, _, actual)) in after.rows.iter().enumerate().skip(r) {
                let (expected, actual) = (follows(after, at), *actual);
                found.push(Finding::RowChanged { chain, seq: *seq, expected, actual });
                if *seq == 4 || *seq == 8 {
                    let (expected, witness) = (before.hash(*seq), Witness::Checkpoint);
                    found.push(Finding::Disagrees { chain, seq: *seq, witness, expected, actual });
                }
            }
            found.push(Finding::TailMissing { chain, seq: 9, expected: 10, witness: Witness::Head });
            found
        },
    );
}

#[test]
fn swapped_contents_are_found_at_both_rows() {
    at_every_row(
        |chain, r| {
            let other = (r + 3) % chain.rows.len();
            let event = chain.rows[r].1.clone();
            chain.rows[r].1 = std::mem::replace(&mut chain.rows[other].1, event);
        },
        |before, r, after| {
            let other = (r + 3) % before.rows.len();
            let mut places = [r, other];
            places.sort_unstable();
            let found = |at: usize| Finding::RowChanged {
                chain: before.name,
                seq: before.rows[at].0,
                expected: follows(after, at),
                actual: before.rows[at].2,
            };
            places.map(found).to_vec()
        },
    );
}

#[test]
fn a_moved_row_is_found() {
    at_every_row(
        |chain, r| {
            let last = chain.rows.len() - 1;
            chain.rows.swap(r, (r + 1).min(last));
        },
        |before, r, _| {
            if r + 1 == before.rows.len() {
                return Vec::new();
            }
            let seq = before.rows[r].0;
            vec![Finding::RowMoved { chain: before.name, seq, after: seq + 1 }]
        },
    );
}

#[test]
fn an_inserted_row_is_found() {
    // A number that is taken.
    at_every_row(
        |chain, r| chain.rows.insert(r, chain.rows[r].clone()),
        |before, r, _| {
            let seq = before.rows[r].0;
            vec![Finding::RowInserted { chain: before.name, seq, expected: seq + 1 }]
        },
    );
    // Behind the last, with the right hash: the head has not moved.
    let mut audit = Audit::sample();
    let chain = &mut audit.chains[1];
    let head = chain.head;
    chain.append(event(9));
    chain.head = head;
    let chain = chain.name;
    assert_eq!(audit.verify(&[]), [Finding::HeadBehind { chain, seq: 11, actual: 10 }]);
    // Before what retention left.
    let mut audit = Audit::sample();
    let row = audit.chains[1].rows[0].clone();
    audit.chains[2].rows.insert(0, row);
    let chain = audit.chains[2].name;
    assert_eq!(audit.verify(&[]), [Finding::RowInserted { chain, seq: 1, expected: 4 }]);
}

#[test]
fn a_row_inserted_with_all_others_numbered_anew_breaks_every_row_behind_it() {
    at_every_row(
        |chain, r| {
            chain.rows.insert(r, chain.rows[r].clone());
            chain.rows[r + 1..].iter_mut().for_each(|row| row.0 += 1);
        },
        |before, r, after| {
            let chain = before.name;
            let mut found = Vec::new();
            // The copy itself fits; those behind it do not.
            for (at, (seq, _, actual)) in after.rows.iter().enumerate().skip(r + 1) {
                let (expected, actual) = (follows(after, at), *actual);
                found.push(Finding::RowChanged { chain, seq: *seq, expected, actual });
                if *seq == 4 || *seq == 8 {
                    let (expected, witness) = (before.hash(*seq), Witness::Checkpoint);
                    found.push(Finding::Disagrees { chain, seq: *seq, witness, expected, actual });
                }
            }
            found.push(Finding::HeadBehind { chain, seq: 11, actual: 10 });
            found
        },
    );
}

#[test]
fn rows_swapped_between_two_chains_are_found_in_both() {
    let audit = Audit::sample();
    // With their numbers and hashes: the same events, so that only the chain's name keeps them apart.
    for r in 0..10 {
        let mut tampered = audit.clone();
        let row = tampered.chains[0].rows[r].clone();
        tampered.chains[0].rows[r] = std::mem::replace(&mut tampered.chains[1].rows[r], row);
        let mut expected = Vec::new();
        for (c, other) in [(0, 1), (1, 0)] {
            let (chain, seq) = (audit.chains[c].name, r as u64 + 1);
            let (own, actual) = (audit.chains[c].hash(seq), audit.chains[other].hash(seq));
            assert_ne!(own, actual);
            expected.push(Finding::RowChanged { chain, seq, expected: own, actual });
            if seq == 4 || seq == 8 {
                let witness = Witness::Checkpoint;
                expected.push(Finding::Disagrees { chain, seq, witness, expected: own, actual });
            }
            if seq == 10 {
                expected.push(Finding::Disagrees {
                    chain,
                    seq,
                    witness: Witness::Head,
                    expected: own,
                    actual,
                });
            } else {
                let next = &tampered.chains[c].rows[r + 1];
                let (expected_hash, actual) = (follows(&tampered.chains[c], r + 1), next.2);
                expected.push(Finding::RowChanged { chain, seq: next.0, expected: expected_hash, actual });
            }
        }
        assert_eq!(tampered.verify(&[]), expected);
    }
}

#[test]
fn a_whole_chain_under_the_name_of_another_is_found_at_every_row() {
    let mut audit = Audit::sample();
    let (policy, replica) = (audit.chains[0].clone(), audit.chains[1].clone());
    audit.chains[0] = Chain { name: policy.name, checkpoints: Vec::new(), ..replica };
    let swapped = &audit.chains[0];
    let found: Vec<_> = (0..10)
        .map(|at| {
            let (seq, expected, actual) = (at as u64 + 1, follows(swapped, at), swapped.rows[at].2);
            Finding::RowChanged { chain: policy.name, seq, expected, actual }
        })
        .collect();
    assert_eq!(audit.verify(&[]), found);
}
