//! What a row says is changed, and perhaps its hash.

use super::*;

#[test]
fn an_edited_field_is_found() {
    let count = edits(&event(1)).len().min(edits(&event(2)).len());
    assert!(count >= 20);
    for n in 0..count {
        at_every_row(
            |chain, r| {
                let row = &mut chain.rows[r];
                let edited = edits(&row.1).swap_remove(n);
                assert_ne!(edited, row.1);
                row.1 = edited;
            },
            |before, r, after| {
                let (seq, _, actual) = before.rows[r];
                let expected = follows(after, r);
                vec![Finding::RowChanged { chain: before.name, seq, expected, actual }]
            },
        );
    }
}

#[test]
fn an_edited_hash_is_found_at_its_row_and_at_the_next() {
    at_every_row(
        |chain, r| chain.rows[r].2[31] ^= 1,
        |before, r, after| {
            let chain = before.name;
            let (seq, _, actual) = after.rows[r];
            let mut found = vec![Finding::RowChanged { chain, seq, expected: before.rows[r].2, actual }];
            if seq == 4 || seq == 8 {
                let (expected, witness) = (before.hash(seq), Witness::Checkpoint);
                found.push(Finding::Disagrees { chain, seq, witness, expected, actual });
            }
            match after.rows.get(r + 1) {
                Some((seq, _, actual)) => found.push(Finding::RowChanged {
                    chain,
                    seq: *seq,
                    expected: follows(after, r + 1),
                    actual: *actual,
                }),
                None => found.push(Finding::Disagrees {
                    chain,
                    seq,
                    witness: Witness::Head,
                    expected: before.rows[r].2,
                    actual,
                }),
            }
            found
        },
    );
}

#[test]
fn a_row_edited_together_with_its_hash_is_found_at_the_next() {
    at_every_row(
        |chain, r| {
            chain.rows[r].1.detail = Some("nothing happened".to_owned());
            chain.rows[r].2 = follows(chain, r);
        },
        |before, r, after| {
            let chain = before.name;
            let (seq, _, actual) = after.rows[r];
            let mut found = Vec::new();
            if seq == 4 || seq == 8 {
                let (expected, witness) = (before.hash(seq), Witness::Checkpoint);
                found.push(Finding::Disagrees { chain, seq, witness, expected, actual });
            }
            found.push(match after.rows.get(r + 1) {
                Some((seq, _, actual)) => {
                    Finding::RowChanged { chain, seq: *seq, expected: follows(after, r + 1), actual: *actual }
                }
                None => {
                    let expected = before.rows[r].2;
                    Finding::Disagrees { chain, seq, witness: Witness::Head, expected, actual }
                }
            });
            found
        },
    );
}

/// Every field of an event, changed; also from nothing to something and back.
fn edits(event: &Event) -> Vec<Event> {
    let flip = |text: &Option<String>| match text {
        Some(_) => vec![None, Some(String::new()), Some("other".to_owned())],
        None => vec![Some(String::new()), Some("other".to_owned())],
    };
    let mut edits = vec![
        Event { at: UnixMs(event.at.0 + 1), ..event.clone() },
        Event { kind: "refusal".into(), ..event.clone() },
        Event { code: "measurement-added".into(), ..event.clone() },
        Event { epoch: Epoch(event.epoch.0 + 1), ..event.clone() },
        Event { session: Some(SessionId::from_bytes([0xff; 16])), ..event.clone() },
        Event { evidence: Some([0xff; 32]), ..event.clone() },
    ];
    if event.session.is_some() {
        edits.push(Event { session: None, ..event.clone() });
        edits.push(Event { evidence: None, ..event.clone() });
    }
    edits.extend(flip(&event.workload).into_iter().map(|workload| Event { workload, ..event.clone() }));
    edits.extend(
        flip(&event.measurement).into_iter().map(|measurement| Event { measurement, ..event.clone() }),
    );
    edits.extend(flip(&event.request_id).into_iter().map(|request_id| Event { request_id, ..event.clone() }));
    edits.extend(flip(&event.actor).into_iter().map(|actor| Event { actor, ..event.clone() }));
    edits.extend(flip(&event.before).into_iter().map(|before| Event { before, ..event.clone() }));
    edits.extend(flip(&event.after).into_iter().map(|after| Event { after, ..event.clone() }));
    edits.extend(flip(&event.detail).into_iter().map(|detail| Event { detail, ..event.clone() }));
    edits
}
