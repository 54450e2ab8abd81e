//! What the suites say of a model.

use countersign_model::{Part, Parts, Protocol, search};

/// With everything checked no breach can be reached, and the goal can.
pub(crate) fn assert_holds<P: Protocol>(name: &str, protocol: &P) {
    let explored = search::table(protocol, Parts::NONE);
    assert_eq!(explored.found.into_keys().collect::<Vec<_>>(), [], "{name}");
    let goal = search::goal(protocol).found;
    assert!(goal.is_some(), "{name}: an honest run is never accepted, so the model says nothing");
    println!("{name}: no breach in {} states", explored.states);
}

/// With everything checked this is the shortest run to the goal.
pub(crate) fn assert_goal<P: Protocol>(protocol: &P, run: &[&str]) {
    assert_eq!(search::goal(protocol).found.as_deref().unwrap_or_default(), run);
}

/// With everything checked exactly these breaches can be reached.
pub(crate) fn assert_leaves_open<P: Protocol>(name: &str, protocol: &P, open: &[P::Breach]) {
    let explored = search::table(protocol, Parts::NONE);
    assert_eq!(explored.found.into_keys().collect::<Vec<_>>(), open, "{name}");
    println!("{name}: nothing but {open:?} in {} states", explored.states);
}

/// These are all attacks there are: for each breach the smallest sets of parts that must be removed for it.
pub(crate) fn assert_table<P: Protocol>(name: &str, protocol: &P, expected: &[(P::Breach, &[&str])]) {
    let explored = search::table(protocol, Parts::ALL);
    let found = explored.found.iter().map(|(breach, sets)| (*breach, words(sets)));
    let expected =
        expected.iter().map(|(breach, sets)| (*breach, sets.iter().map(|set| (*set).into()).collect()));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{name}");
    println!("{name}: all attacks with everything removed, in {} states", explored.states);
}

/// Removing these parts makes the breach possible, by this run; with any one of them in place it is impossible.
pub(crate) fn assert_attack<P: Protocol>(protocol: &P, breach: P::Breach, removed: &[Part], run: &[&str]) {
    let removed = Parts::of(removed.iter().copied());
    let found = search::breach(protocol, removed, breach).found;
    assert_eq!(found.as_deref().unwrap_or_default(), run, "{breach:?} without {removed}");
    for part in removed.iter() {
        let found = search::breach(protocol, removed.without(part), breach).found;
        assert_eq!(found, None, "{breach:?} without {removed}, but with {}", part.as_str());
    }
}

/// Without this part alone nothing can be reached that cannot be reached with it.
pub(crate) fn assert_redundant<P: Protocol>(protocol: &P, part: Part) {
    let [with, without] = [Parts::NONE, Parts::of([part])]
        .map(|removed| search::table(protocol, removed).found.into_keys().collect::<Vec<_>>());
    assert_eq!(without, with, "without {} alone", part.as_str());
}

/// This part is in no smallest set of any attack: nothing depends on it.
pub(crate) fn assert_useless<P: Protocol>(protocol: &P, part: Part) {
    for (breach, sets) in search::table(protocol, Parts::ALL).found {
        for parts in sets {
            assert_eq!(parts, parts.without(part), "{breach:?}: {parts}");
        }
    }
}

fn words(sets: &[Parts]) -> Vec<String> {
    sets.iter().map(Parts::to_string).collect()
}
