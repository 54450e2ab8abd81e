//! Which name has which address of the pool. Pure: time is an argument.
//!
//! A name keeps its number until room is needed and it has gone longest without
//! being asked for, without a connection now. A number that was given up rests
//! before another name gets it, and numbers that were never used come first: so
//! with the pool of 131,070, a program would have to hold an address for
//! [`Limits::rest`] after its name was pushed out to meet another name there.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use super::Limits;

/// Names in use, at most [`Limits::names`] at a time.
#[derive(Debug)]
pub(super) struct NameTable<P> {
    limits: Limits,
    /// Numbers run from 1 to this one.
    last: u32,
    by_name: HashMap<Arc<str>, Entry<P>>,
    by_number: HashMap<u32, Arc<str>>,
    /// By the time they were last asked for, oldest first.
    order: BTreeMap<u64, Arc<str>>,
    next_stamp: u64,
    next_number: u32,
    resting: VecDeque<(Instant, u32)>,
}

#[derive(Debug)]
struct Entry<P> {
    place: Arc<P>,
    number: u32,
    stamp: u64,
    asked: Instant,
}

/// What a name has besides its number.
pub(super) trait Place {
    /// Whether a connection to the name is open.
    fn in_use(&self) -> bool;
}

/// Why a name got no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Every name has a connection, or was asked for a moment ago.
    Names,
    /// Every number is in use or rests.
    Numbers,
}

impl NoRoom {
    /// For the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Names => "every name that has an address is in use",
            Self::Numbers => "every address of the pool is in use, or was a moment ago",
        }
    }
}

impl<P: Place> NameTable<P> {
    /// Numbers from 1 to `last`.
    pub(super) fn new(limits: Limits, last: u32) -> Self {
        Self {
            limits,
            last,
            by_name: HashMap::new(),
            by_number: HashMap::new(),
            order: BTreeMap::new(),
            next_stamp: 0,
            next_number: 1,
            resting: VecDeque::new(),
        }
    }

    /// The place of a name; a new one is made by `make` from its number.
    ///
    /// # Errors
    /// [`NoRoom`]: nobody lost a number for it.
    pub(super) fn find(
        &mut self,
        name: &str,
        now: Instant,
        make: impl FnOnce(u32) -> P,
    ) -> Result<Arc<P>, NoRoom> {
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.asked = now;
            let place = entry.place.clone();
            self.touch(name);
            return Ok(place);
        }
        let full = self.by_name.len() >= self.limits.names;
        // Nobody is forgotten for a name that gets no number anyway.
        let number = self.free_number(now)?;
        if full {
            self.forget_one(now)?;
        }
        self.take(number);
        let name: Arc<str> = name.into();
        let place = Arc::new(make(number));
        let stamp = self.stamp();
        let entry = Entry { place: place.clone(), number, stamp, asked: now };
        self.order.insert(stamp, name.clone());
        self.by_number.insert(number, name.clone());
        self.by_name.insert(name, entry);
        Ok(place)
    }

    /// The name that has a number now.
    pub(super) fn name_of(&self, number: u32) -> Option<Arc<str>> {
        self.by_number.get(&number).cloned()
    }

    /// The same, with its place.
    pub(super) fn place_of(&self, number: u32) -> Option<(&Arc<str>, &Arc<P>)> {
        let name = self.by_number.get(&number)?;
        self.by_name.get(name).map(|entry| (name, &entry.place))
    }

    /// Takes out the name that went longest without being asked for, and has no connection.
    ///
    /// # Errors
    /// [`NoRoom::Names`]: there is none.
    pub(super) fn forget_one(&mut self, now: Instant) -> Result<Arc<P>, NoRoom> {
        // Each name is looked at once: one that is in use moves to the young end.
        for _ in 0..self.order.len() {
            let Some(name) = self.order.first_key_value().map(|(_, name)| name.clone()) else { break };
            let Some(entry) = self.by_name.get(&name) else { break };
            if now.saturating_duration_since(entry.asked) < self.limits.hold {
                // The others were asked for later still, or had a connection when last looked at.
                break;
            }
            if entry.place.in_use() {
                self.touch(&name);
                continue;
            }
            self.order.remove(&entry.stamp);
            self.by_number.remove(&entry.number);
            self.resting.push_back((now, entry.number));
            return self.by_name.remove(&name).map(|entry| entry.place).ok_or(NoRoom::Names);
        }
        Err(NoRoom::Names)
    }

    /// One that was never used, or the one that rested longest.
    fn free_number(&self, now: Instant) -> Result<u32, NoRoom> {
        if self.next_number <= self.last {
            return Ok(self.next_number);
        }
        match self.resting.front() {
            Some((since, number)) if now.saturating_duration_since(*since) >= self.limits.rest => Ok(*number),
            _ => Err(NoRoom::Numbers),
        }
    }

    fn take(&mut self, number: u32) {
        if number == self.next_number {
            self.next_number += 1;
        } else {
            self.resting.pop_front();
        }
    }

    fn touch(&mut self, name: &str) {
        let stamp = self.stamp();
        if let Some(entry) = self.by_name.get_mut(name)
            && let Some(name) = self.order.remove(&entry.stamp)
        {
            entry.stamp = stamp;
            self.order.insert(stamp, name);
        }
    }

    fn stamp(&mut self) -> u64 {
        self.next_stamp += 1;
        self.next_stamp
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
