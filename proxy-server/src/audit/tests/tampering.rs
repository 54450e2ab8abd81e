//! Every single change to every row, head, checkpoint and anchor of the sample, and what must be found.

mod content;
mod ends;
mod rows;
mod signatures;

use super::*;

/// Runs `tamper` on every chain and every row number that is there; `expected` sees the audit before.
fn at_every_row(
    tamper: impl Fn(&mut Chain, usize),
    expected: impl Fn(&Chain, usize, &Chain) -> Vec<Finding>,
) {
    let audit = Audit::sample();
    for c in 0..audit.chains.len() {
        for r in 0..audit.chains[c].rows.len() {
            let mut tampered = audit.clone();
            tamper(&mut tampered.chains[c], r);
            let (before, after) = (&audit.chains[c], &tampered.chains[c]);
            assert_eq!(tampered.verify(&[]), expected(before, r, after), "{} row index {r}", before.name);
        }
    }
}

/// The hash that the row at this place must have, by its content and the row before it as they are now.
fn follows(chain: &Chain, at: usize) -> [u8; 32] {
    let (seq, event, _) = &chain.rows[at];
    let before = match (at.checked_sub(1), &chain.anchor) {
        (Some(before), _) => chain.rows[before].2,
        (None, Some(anchor)) => anchor.hash,
        (None, None) => Head::genesis(&chain.name).hash,
    };
    Head { seq: seq - 1, hash: before }.after(&chain.name, event).hash
}
