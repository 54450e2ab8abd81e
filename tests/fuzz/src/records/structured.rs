use super::{
    ALERT, APPLICATION_DATA, End, HANDSHAKE, KEY_UPDATE, Meaning, NO_LIMIT, Peer, RecordLayer, SUITES, ends,
};
use crate::edit;
use crate::recipe::Recipe;

/// A peer's records, edited on their way and cut anywhere: what comes out is the data of those before the first edit, to
/// the byte, and then an end that the rest explains. After that the gateway's own records, which rustls opens.
pub fn structured(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let suite = &SUITES[recipe.size(0..=SUITES.len() - 1)];
    let tx_limit = recipe.pick(&[NO_LIMIT, 1, 2, 5]);
    let (mut ours, mut peer) = ends(suite, tx_limit);
    let sealed = sealed(&mut recipe, &mut peer);
    let wire = on_the_wire(&mut recipe, &sealed);
    let (expected, update_owed) = expected(&sealed, &wire);
    let read = read(&mut recipe, &mut ours, &wire);
    assert_eq!(read.end, expected.end);
    assert!(read.plain == expected.plain, "{} bytes for {}", read.plain.len(), expected.plain.len());
    if read.end == End::Waits {
        assert!(read.left == expected.left, "{} bytes for {} wait", read.left.len(), expected.left.len());
    }
    if read.end != End::Refused {
        answer(&mut recipe, &mut ours, &mut peer, (tx_limit, update_owed));
    }
}

struct Sealed {
    record: Vec<u8>,
    meaning: Meaning,
}

/// At times up to eighty records: more than are opened at once, and more than may come without data.
fn sealed(recipe: &mut Recipe<'_>, peer: &mut Peer) -> Vec<Sealed> {
    let count = if recipe.seldom() { recipe.size(40..=80) } else { recipe.size(0..=8) };
    (0..count).map(|index| seal(recipe, peer, index)).collect()
}

fn seal(recipe: &mut Recipe<'_>, peer: &mut Peer, index: usize) -> Sealed {
    let (content, mut plain) = message(recipe, index);
    let padding = match recipe.number(0..=31) {
        30 => recipe.size(1..=40),
        31 => recipe.size(PLAIN - 40..=PLAIN + 300),
        _ => 0,
    };
    let record = if padding == 0 {
        peer.seal(content, &plain)
    } else {
        plain.push(content);
        plain.resize(plain.len() + padding - 1, 0);
        peer.seal(0, &plain)
    };
    let meaning = match peer.reread(&record) {
        Some((content, plain)) => Meaning::of(content, &plain),
        None => Meaning::Refused,
    };
    if let Meaning::KeyUpdate { .. } = meaning {
        peer.next_tx();
    }
    Sealed { record, meaning }
}

/// Mostly data; no two records carry the same.
fn message(recipe: &mut Recipe<'_>, index: usize) -> (u8, Vec<u8>) {
    let data = |length| (0..length).map(|at| (index * 31 + at) as u8).collect();
    match recipe.number(0..=15) {
        0..=9 => (APPLICATION_DATA, data(recipe.size(0..=64))),
        10 => (APPLICATION_DATA, data(recipe.size(PLAIN - 2..=PLAIN + 2))),
        11 => (HANDSHAKE, KEY_UPDATE.to_vec()),
        12 => (HANDSHAKE, vec![24, 0, 0, 1, 1]),
        13 => (ALERT, vec![1, 90]),
        14 => (ALERT, vec![1, 0]),
        _ => {
            let content = recipe.pick(&[HANDSHAKE, ALERT, 20, 24]);
            let mut plain = recipe.own::<6>().to_vec();
            plain.truncate(recipe.size(0..=6));
            (content, plain)
        }
    }
}

/// Records swapped, dropped or sent twice; then bytes changed, and the end cut off. In order when the recipe has run out.
fn on_the_wire(recipe: &mut Recipe<'_>, sealed: &[Sealed]) -> Vec<u8> {
    let mut records: Vec<&[u8]> = sealed.iter().map(|sealed| sealed.record.as_slice()).collect();
    for _ in 0..recipe.pick(&[0, 0, 0, 1, 2]) {
        let Some(last) = records.len().checked_sub(1) else { break };
        let (one, other) = (recipe.size(0..=last), recipe.size(0..=last));
        match recipe.number(0..=2) {
            0 => records.swap(one, other),
            1 => drop(records.remove(one)),
            _ => records.insert(one, records[other]),
        }
    }
    let mut wire = records.concat();
    if recipe.pick(&[false, true]) {
        edit::edits(recipe, &mut wire);
    }
    if recipe.seldom() {
        wire.truncate(recipe.size(0..=wire.len()));
    }
    wire
}

/// What a reader has got.
struct Read {
    plain: Vec<u8>,
    end: End,
    /// Bytes that are no whole record yet.
    left: Vec<u8>,
}

/// What must come out, and whether the reader then owes a KeyUpdate.
fn expected(sealed: &[Sealed], wire: &[u8]) -> (Read, bool) {
    let (mut plain, mut at, mut idle, mut update_owed) = (Vec::new(), 0, 0, false);
    for Sealed { record, meaning } in sealed {
        if !wire[at..].starts_with(record) {
            break;
        }
        at += record.len();
        plain.extend_from_slice(meaning.data());
        update_owed |= *meaning == Meaning::KeyUpdate { answer: true };
        idle = if meaning.data().is_empty() { idle + 1 } else { 0 };
        let end = if idle > MAX_IDLE && meaning.end() == End::Waits { End::Refused } else { meaning.end() };
        if end != End::Waits {
            return (Read { plain, end, left: Vec::new() }, update_owed);
        }
    }
    let left = &wire[at..];
    (Read { plain, end: End::where_nothing_authenticates(left), left: left.to_vec() }, update_owed)
}

/// Reads piece by piece, and all that is left at once when the recipe has run out.
fn read(recipe: &mut Recipe<'_>, ours: &mut RecordLayer, mut wire: &[u8]) -> Read {
    let (mut plain, mut left) = (Vec::new(), Vec::new());
    loop {
        let length = match recipe.size(0..=20_000) {
            0 => wire.len(),
            length => length.min(wire.len()),
        };
        let (piece, rest) = wire.split_at(length);
        left.extend_from_slice(piece);
        wire = rest;
        let end = End::of(&ours.open(&mut left, &mut plain));
        if end != End::Waits || wire.is_empty() {
            return Read { plain, end, left };
        }
    }
}

/// The gateway's records are what it sealed, with the KeyUpdates that are due, and an end.
fn answer(
    recipe: &mut Recipe<'_>,
    ours: &mut RecordLayer,
    peer: &mut Peer,
    (tx_limit, update_owed): (u64, bool),
) {
    let (mut plain, mut stream) = (Vec::new(), Vec::new());
    for index in 0..recipe.size(1..=4) {
        let length =
            if recipe.seldom() { recipe.size(PLAIN - 1..=3 * PLAIN + 1) } else { recipe.size(0..=100) };
        let data: Vec<u8> = (0..length).map(|at| (index * 31 + at) as u8).collect();
        stream.extend(ours.seal(&data).expect("keys go on"));
        plain.extend(data);
    }
    stream.extend(ours.close().expect("keys go on"));
    let received = peer.read(&stream);
    assert!(received.plain == plain, "{} bytes for {}", received.plain.len(), plain.len());
    assert_eq!(received.closed, 1);
    match tx_limit {
        NO_LIMIT => {
            assert_eq!(received.updates, usize::from(update_owed), "one answer to any number of requests")
        }
        _ => assert!(received.updates >= usize::from(update_owed)),
    }
}

/// The most data in a record (RFC 8446 section 5.1).
const PLAIN: usize = 1 << 14;
/// Records without data that may follow each other.
const MAX_IDLE: usize = 32;
