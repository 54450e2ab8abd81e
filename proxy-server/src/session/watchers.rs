use std::task::Waker;

/// The tasks to wake when a session ends: one slot for each tunnel or connection.
///
/// A slab with its free list inside. It gives its memory back when the last
/// watcher leaves, because a session without tunnels must stay small.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    slots: Vec<Slot>,
    free: Option<u32>,
    held: u32,
    tunnels: u32,
}

/// Who watches: only tunnels count against the session's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tunnel,
    Connection,
}

#[derive(Debug)]
enum Slot {
    Free { next: Option<u32> },
    Silent,
    Waiting(Waker),
}

impl Watchers {
    /// How many tunnels there are.
    pub(super) fn tunnels(&self) -> u32 {
        self.tunnels
    }

    /// How many slots of each kind are taken together.
    pub(super) fn held(&self) -> u32 {
        self.held
    }

    /// Takes a slot; `None` only if there were more than a `u32` counts.
    pub(super) fn insert(&mut self, kind: Kind) -> Option<u32> {
        let slot = match self.free {
            Some(index) => {
                let slot = self.slots.get_mut(index as usize)?;
                if let Slot::Free { next } = *slot {
                    self.free = next;
                }
                *slot = Slot::Silent;
                index
            }
            None => {
                let index = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot::Silent);
                index
            }
        };
        self.held += 1;
        self.tunnels += u32::from(kind == Kind::Tunnel);
        Some(slot)
    }

    /// Sets whom to wake for a slot taken before.
    pub(super) fn wait(&mut self, index: u32, waker: Waker) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = Slot::Waiting(waker);
        }
    }

    /// Gives a slot back.
    pub(super) fn remove(&mut self, index: u32, kind: Kind) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = Slot::Free { next: self.free };
            self.free = Some(index);
            self.held -= 1;
            self.tunnels -= u32::from(kind == Kind::Tunnel);
        }
        if self.held == 0 {
            *self = Self::default();
        }
    }

    /// Takes every waker there is; the slots stay taken.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        let waiting = |slot: &mut Slot| match std::mem::replace(slot, Slot::Silent) {
            Slot::Waiting(waker) => Some(waker),
            other => {
                *slot = other;
                None
            }
        };
        self.slots.iter_mut().filter_map(waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again_and_given_back() {
        let mut watchers = Watchers::default();
        let first = watchers.insert(Kind::Tunnel).unwrap();
        let second = watchers.insert(Kind::Connection).unwrap();
        assert_eq!((watchers.tunnels(), watchers.held()), (1, 2));
        watchers.remove(first, Kind::Tunnel);
        assert_eq!(watchers.insert(Kind::Tunnel), Some(first), "the free slot is taken first");
        watchers.wait(first, Waker::noop().clone());
        assert_eq!(watchers.take_wakers().len(), 1);
        assert_eq!(watchers.take_wakers().len(), 0, "a waker is taken once");
        watchers.remove(first, Kind::Tunnel);
        watchers.remove(second, Kind::Connection);
        assert_eq!((watchers.tunnels(), watchers.held(), watchers.slots.capacity()), (0, 0, 0));
    }
}
