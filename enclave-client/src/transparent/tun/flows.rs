use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::{connection::Connection, packet::Flow};

/// The connections there are, and those to be. Bounded by whoever begins them.
#[derive(Default)]
pub(super) struct Flows {
    by_ends: HashMap<Flow, (Serial, State)>,
    /// Those to be, oldest first.
    opening: BTreeMap<Serial, Flow>,
    last: u64,
}

/// Which of several that had the same ends one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Serial(u64);

enum State {
    /// The way out is being opened. Dropped, that ends.
    Opening {
        _give_up: DropGuard,
    },
    Open(Arc<Connection>),
}

/// What becomes of a flow's first packet.
pub(super) enum Begun {
    /// It is the first: open the way out, until this is cancelled.
    New(Serial, CancellationToken),
    /// It was sent again: the way out is not open yet.
    Again,
    /// It is for the connection that there is.
    Open(Arc<Connection>),
}

impl Flows {
    /// Enters a flow by its first packet.
    pub(super) fn begin(&mut self, flow: Flow, stop: &CancellationToken) -> Begun {
        match self.by_ends.get(&flow) {
            Some((_, State::Opening { .. })) => return Begun::Again,
            Some((_, State::Open(connection))) if !connection.is_over() => {
                return Begun::Open(connection.clone());
            }
            _ => {}
        }
        self.last += 1;
        let serial = Serial(self.last);
        let token = stop.child_token();
        self.opening.insert(serial, flow);
        self.by_ends.insert(flow, (serial, State::Opening { _give_up: token.clone().drop_guard() }));
        Begun::New(serial, token)
    }

    /// Gives up the oldest that is not open, if there are more than `limit`.
    pub(super) fn shed(&mut self, limit: usize) -> Option<Flow> {
        if self.opening.len() <= limit {
            return None;
        }
        let (_, flow) = self.opening.pop_first()?;
        self.by_ends.remove(&flow);
        Some(flow)
    }

    /// The connection is there. Whether it was still wanted.
    pub(super) fn open(&mut self, flow: Flow, serial: Serial, connection: Arc<Connection>) -> bool {
        match self.by_ends.get_mut(&flow) {
            Some((known, state)) if *known == serial => {
                self.opening.remove(&serial);
                *state = State::Open(connection);
                true
            }
            _ => false,
        }
    }

    /// Strikes a flow out.
    pub(super) fn end(&mut self, flow: Flow, serial: Serial) {
        if self.by_ends.get(&flow).is_some_and(|(known, _)| *known == serial) {
            self.by_ends.remove(&flow);
            self.opening.remove(&serial);
        }
    }

    /// The connection that a packet belongs to.
    pub(super) fn connection(&self, flow: &Flow) -> Option<Arc<Connection>> {
        match self.by_ends.get(flow) {
            Some((_, State::Open(connection))) => Some(connection.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(port: u16) -> Flow {
        Flow { from: ([198, 18, 0, 0], port).into(), to: ([198, 18, 0, 7], 443).into() }
    }

    fn new(begun: Begun) -> (Serial, CancellationToken) {
        match begun {
            Begun::New(serial, token) => (serial, token),
            Begun::Again | Begun::Open(_) => panic!("not new"),
        }
    }

    #[test]
    fn the_oldest_that_is_not_open_is_shed() {
        let (mut flows, stop) = (Flows::default(), CancellationToken::new());
        let (_, first) = new(flows.begin(flow(1), &stop));
        let (second_serial, second) = new(flows.begin(flow(2), &stop));
        assert!(matches!(flows.begin(flow(1), &stop), Begun::Again));
        assert_eq!(flows.shed(2), None);
        assert_eq!(flows.shed(1), Some(flow(1)));
        assert!(first.is_cancelled() && !second.is_cancelled());
        // Its program sends its first packet again, and is the youngest now.
        let (third_serial, third) = new(flows.begin(flow(1), &stop));
        assert_eq!(flows.shed(1), Some(flow(2)));
        assert!(second.is_cancelled() && !third.is_cancelled());
        // An end that comes late strikes nobody else out.
        flows.end(flow(1), second_serial);
        assert!(matches!(flows.begin(flow(1), &stop), Begun::Again));
        flows.end(flow(1), third_serial);
        assert!(third.is_cancelled());
        assert_eq!((flows.by_ends.len(), flows.opening.len()), (0, 0));
    }
}
