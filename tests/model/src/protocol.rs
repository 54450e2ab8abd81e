use std::{fmt::Debug, hash::Hash};

use crate::Parts;

/// A model: honest parties that keep to the protocol, and an attacker who does whatever his keys allow.
///
/// A check that fails does not end a run: it is *ignored*, if it was removed, and the state says so from then on. So one
/// exploration with everything removed finds every attack together with the checks that stand in its way. Removing a
/// check only ever adds steps, so what a set of removed parts allows, each greater set allows too.
pub trait Protocol: Clone + Send + Sync + 'static {
    /// The whole world at one moment.
    type State: Clone + Debug + Hash + Eq + Send + Sync + 'static;
    /// What one party does.
    type Step: Clone + Debug + PartialEq + Send + Sync;
    /// What must never be.
    type Breach: Copy + Debug + Ord + Send + Sync + 'static;

    /// Where runs begin, those with the least first, when these checks are removed.
    fn starts(&self, removed: Parts) -> Vec<Self::State>;

    /// What can happen next when these checks are removed.
    fn steps(&self, removed: Parts, state: &Self::State) -> Vec<Self::Step>;

    /// The state after a step.
    fn after(&self, state: &Self::State, step: &Self::Step) -> Self::State;

    /// The checks that failed on the way here and were ignored.
    fn ignored(&self, state: &Self::State) -> Parts;

    /// What is wrong in this state.
    fn breaches(&self, state: &Self::State) -> Vec<Self::Breach>;

    /// What the protocol is for has been reached, by honest parties.
    fn is_goal(&self, state: &Self::State) -> bool;

    /// A start in words: one line each.
    fn tell_start(&self, state: &Self::State) -> Vec<String>;

    /// A step in words.
    fn tell_step(&self, state: &Self::State, step: &Self::Step) -> String;
}
