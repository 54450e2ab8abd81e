//! The questions that tests ask of a model. stateright answers them: runs breadth first, lists depth first.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::{Parts, Protocol};

/// What an exploration of the whole space showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explored<T> {
    /// Different states, each visited once.
    pub states: usize,
    /// What was found.
    pub found: T,
}

/// The smallest sets of parts whose removal makes each breach possible, in order of size. A breach that is not there
/// cannot be reached whatever is removed.
pub type Table<B> = BTreeMap<B, Vec<Parts>>;

/// Every breach that can be reached when these checks are removed, with those of them that really stood in its way: one
/// exploration with everything removed tells all attacks there are, one with nothing removed what the protocol leaves open.
pub fn table<P: Protocol>(protocol: &P, removed: Parts) -> Explored<Table<P::Breach>> {
    let notes = Notes::default();
    let question = Question::Note(notes.clone());
    let Explored { states, .. } = explore(protocol, removed, question);
    let mut found = std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
    for sets in found.values_mut() {
        sets.sort_by_key(|parts| (parts.len(), *parts));
    }
    Explored { states, found }
}

/// The shortest run into this breach when these checks are removed, in words.
pub fn breach<P: Protocol>(protocol: &P, removed: Parts, breach: P::Breach) -> Explored<Option<Vec<String>>> {
    explore(protocol, removed, Question::Breach(breach))
}

/// The shortest run to the protocol's goal with everything checked, in words.
pub fn goal<P: Protocol>(protocol: &P) -> Explored<Option<Vec<String>>> {
    explore(protocol, Parts::NONE, Question::Goal)
}

fn explore<P: Protocol>(
    protocol: &P,
    removed: Parts,
    question: Question<P::Breach>,
) -> Explored<Option<Vec<String>>> {
    let asked = Asked { protocol: protocol.clone(), removed, question };
    let wants_a_run = !matches!(asked.question, Question::Note(_));
    let builder = asked.checker().threads(1).finish_when(HasDiscoveries::Any);
    if wants_a_run {
        told(protocol, &builder.spawn_bfs().join())
    } else {
        told(protocol, &builder.spawn_dfs().join())
    }
}

fn told<P: Protocol>(protocol: &P, checker: &impl Checker<Asked<P>>) -> Explored<Option<Vec<String>>> {
    let found = checker.discovery(ANSWER).map(|path| {
        let mut words = Vec::new();
        for (at, (state, step)) in path.into_vec().into_iter().enumerate() {
            if at == 0 {
                words.extend(protocol.tell_start(&state));
            }
            words.extend(step.map(|step| protocol.tell_step(&state, &step)));
        }
        words
    });
    Explored { states: checker.unique_state_count(), found }
}

enum Question<B> {
    Breach(B),
    Goal,
    Note(Notes<B>),
}

type Notes<B> = Arc<Mutex<Table<B>>>;

/// One question about one model. Only one, since stateright 0.31 keeps the *last* counterexample of a property as long as
/// others are open, and the first is the shortest.
struct Asked<P: Protocol> {
    protocol: P,
    removed: Parts,
    question: Question<P::Breach>,
}

impl<P: Protocol> Asked<P> {
    fn answers(&self, state: &P::State) -> bool {
        match &self.question {
            Question::Breach(breach) => self.protocol.breaches(state).contains(breach),
            Question::Goal => self.protocol.is_goal(state),
            Question::Note(notes) => {
                let ignored = self.protocol.ignored(state);
                for breach in self.protocol.breaches(state) {
                    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                    note(notes.entry(breach).or_default(), ignored);
                }
                false
            }
        }
    }
}

impl<P: Protocol> Model for Asked<P> {
    type State = P::State;
    type Action = P::Step;

    /// stateright takes the last first.
    fn init_states(&self) -> Vec<P::State> {
        let mut starts = self.protocol.starts(self.removed);
        starts.reverse();
        starts
    }

    fn actions(&self, state: &P::State, actions: &mut Vec<P::Step>) {
        actions.extend(self.protocol.steps(self.removed, state));
    }

    fn next_state(&self, state: &P::State, step: P::Step) -> Option<P::State> {
        Some(self.protocol.after(state, &step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::sometimes(ANSWER, Self::answers)]
    }
}

/// Keeps the sets that contain no other.
fn note(smallest: &mut Vec<Parts>, parts: Parts) {
    if smallest.iter().any(|known| known.is_within(parts)) {
        return;
    }
    smallest.retain(|known| !parts.is_within(*known));
    smallest.push(parts);
}

const ANSWER: &str = "answer";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        Part::{Nonce, OneUse, Role},
        exchange::Setting,
    };

    #[test]
    fn the_checker_visits_what_a_plain_search_visits() {
        let protocol = Setting::proxy();
        for removed in [Parts::NONE, Parts::ALL] {
            let mut seen: HashSet<_> = protocol.starts(removed).into_iter().collect();
            let mut open: Vec<_> = seen.iter().cloned().collect();
            while let Some(state) = open.pop() {
                for step in protocol.steps(removed, &state) {
                    let next = protocol.after(&state, &step);
                    if seen.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
            assert_eq!(table(&protocol, removed).states, seen.len());
        }
    }

    #[test]
    fn only_the_smallest_sets_are_kept() {
        let mut smallest = Vec::new();
        for parts in
            [vec![Nonce, Role], vec![Nonce, OneUse], vec![Nonce, OneUse, Role], vec![Role], vec![Role]]
        {
            note(&mut smallest, Parts::of(parts));
        }
        assert_eq!(smallest, [Parts::of([Nonce, OneUse]), Parts::of([Role])]);
    }
}
