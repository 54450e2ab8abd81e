use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::*;

const HOLD: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_secs(3600);

fn limits(names: usize) -> Limits {
    Limits { names, hold: HOLD, rest: REST, ..Limits::default() }
}

struct Spot {
    number: u32,
    busy: AtomicBool,
}

impl Place for Spot {
    fn in_use(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }
}

fn spot(number: u32) -> Spot {
    Spot { number, busy: AtomicBool::new(false) }
}

fn number(table: &mut NameTable<Spot>, name: &str, now: Instant) -> Result<u32, NoRoom> {
    table.find(name, now, spot).map(|place| place.number)
}

#[test]
fn a_name_keeps_its_number_and_no_other_has_it() {
    let mut table = NameTable::new(limits(10), 100);
    let now = Instant::now();
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        let expected = u32::try_from(index).unwrap() + 1;
        assert_eq!(number(&mut table, name, now), Ok(expected));
        assert_eq!(table.name_of(expected).as_deref(), Some(name));
    }
    assert_eq!(number(&mut table, "a", now + 100 * REST), Ok(1), "time alone takes nothing away");
    assert_eq!(table.name_of(4), None);
}

#[test]
fn the_name_that_was_not_asked_for_longest_gives_way() {
    let mut table = NameTable::new(limits(2), 100);
    let start = Instant::now();
    assert_eq!(number(&mut table, "a", start), Ok(1));
    assert_eq!(number(&mut table, "b", start), Ok(2));
    assert_eq!(number(&mut table, "a", start + HOLD / 2), Ok(1));
    assert_eq!(number(&mut table, "c", start + HOLD), Ok(3));
    assert_eq!((table.name_of(2), table.name_of(1).as_deref()), (None, Some("a")));
    assert_eq!(number(&mut table, "b", start + 10 * HOLD), Ok(4), "it comes back with another number");
}

#[test]
fn a_name_with_a_connection_never_gives_way() {
    let mut table = NameTable::new(limits(2), 100);
    let start = Instant::now();
    let a = table.find("a", start, spot).unwrap();
    a.busy.store(true, Ordering::Relaxed);
    assert_eq!(number(&mut table, "b", start), Ok(2));
    assert_eq!(number(&mut table, "c", start + HOLD), Ok(3), "b went, not a");
    assert_eq!(number(&mut table, "d", start + 2 * HOLD), Ok(4), "c went, not a");
    table.find("d", start, spot).unwrap().busy.store(true, Ordering::Relaxed);
    assert_eq!(number(&mut table, "e", start + 9 * HOLD), Err(NoRoom::Names));
    a.busy.store(false, Ordering::Relaxed);
    assert_eq!(number(&mut table, "e", start + 9 * HOLD), Ok(5));
    assert_eq!(table.name_of(1), None);
}

#[test]
fn a_name_that_was_just_answered_is_not_forgotten() {
    let mut table = NameTable::new(limits(1), 100);
    let start = Instant::now();
    assert_eq!(number(&mut table, "a", start), Ok(1));
    let soon = start + HOLD - Duration::from_millis(1);
    assert_eq!(number(&mut table, "b", soon), Err(NoRoom::Names));
    assert_eq!(number(&mut table, "a", soon), Ok(1));
    assert_eq!(number(&mut table, "b", soon + HOLD), Ok(2));
}

/// The attack of rebinding: push a name out, and have another get its address.
#[test]
fn a_number_that_was_given_up_rests_before_another_name_gets_it() {
    let mut table = NameTable::new(limits(1), 2);
    let start = Instant::now();
    assert_eq!(number(&mut table, "a", start), Ok(1));
    assert_eq!(number(&mut table, "b", start + HOLD), Ok(2));
    // The number of a rests, so c gets none, and nothing is taken from b for it.
    let just_before = start + HOLD + REST - Duration::from_millis(1);
    assert_eq!(number(&mut table, "c", just_before), Err(NoRoom::Numbers));
    assert_eq!((table.name_of(1), table.name_of(2).as_deref()), (None, Some("b")));
    assert_eq!(number(&mut table, "c", start + HOLD + REST), Ok(1));
    assert_eq!((table.name_of(1).as_deref(), table.name_of(2)), (Some("c"), None));
    assert_eq!(number(&mut table, "d", start + HOLD + 2 * REST), Ok(2));
}

/// The attack of exhaustion: a wildcard lets a program ask for any number of names.
#[test]
fn a_hundred_thousand_names_take_no_more_room_than_the_table_has() {
    let mut table = NameTable::new(limits(1000), 131_070);
    let start = Instant::now();
    let kept = table.find("kept.example", start, spot).unwrap();
    kept.busy.store(true, Ordering::Relaxed);
    let mut owners: HashMap<u32, String> = HashMap::new();
    let mut now = start;
    for index in 0..100_000u32 {
        now += HOLD / 500;
        let name = format!("n{index}.example");
        let number = number(&mut table, &name, now).unwrap();
        assert_eq!(owners.insert(number, name), None, "{number} was given twice");
        assert!(table.by_name.len() <= 1000);
    }
    assert_eq!(table.by_name.len(), table.order.len());
    assert_eq!(table.by_name.len(), table.by_number.len());
    assert_eq!(table.name_of(kept.number).as_deref(), Some("kept.example"));
    assert_eq!(number(&mut table, "kept.example", now), Ok(kept.number));
    for (number, name) in &table.by_number {
        assert_eq!(table.by_name[name].number, *number);
    }
}

#[test]
fn a_flood_within_the_hold_is_refused_and_takes_nothing_from_others() {
    let mut table = NameTable::new(limits(100), 131_070);
    let now = Instant::now();
    for index in 0..100 {
        assert!(number(&mut table, &format!("n{index}"), now).is_ok());
    }
    for index in 100..10_000 {
        assert_eq!(number(&mut table, &format!("n{index}"), now), Err(NoRoom::Names));
    }
    for index in 0..100 {
        assert_eq!(number(&mut table, &format!("n{index}"), now), Ok(index + 1));
    }
}
