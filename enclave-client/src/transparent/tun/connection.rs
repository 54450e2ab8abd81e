use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use smoltcp::socket::tcp::ListenError;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Tun, packet::Flow, stack::Stack};

/// One connection of a program. Moved on by three: packets, the stream's reads and writes, and time.
pub(super) struct Connection {
    tun: Arc<Tun>,
    state: Mutex<Timed>,
    /// Time must be looked at again.
    rearm: Notify,
}

/// A stack, and when it will be looked at next whatever happens.
pub(super) struct Timed {
    pub(super) stack: Stack,
    armed: Option<Instant>,
}

impl Connection {
    /// For a flow whose first packet comes next.
    pub(super) fn new(flow: &Flow, tun: Arc<Tun>) -> Result<Arc<Self>, ListenError> {
        let stack = Stack::new(flow, &tun)?;
        let state = Mutex::new(Timed { stack, armed: None });
        Ok(Arc::new(Self { tun, state, rearm: Notify::new() }))
    }

    /// Takes a packet of this flow.
    pub(super) fn packet(&self, packet: &[u8]) {
        self.drive(&mut self.lock(), Some(packet));
    }

    /// Whether its ends may begin another one.
    pub(super) fn is_over(&self) -> bool {
        self.lock().stack.is_over()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Timed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is due, and sees to it that time is looked at soon enough.
    pub(super) fn drive(&self, timed: &mut Timed, incoming: Option<&[u8]>) {
        timed.stack.drive(incoming, &self.tun);
        let due = self.due(timed);
        let sooner = due.is_some_and(|due| timed.armed.is_none_or(|armed| due < armed));
        if sooner || timed.stack.is_over() {
            self.rearm.notify_one();
        }
    }

    /// Does what only time brings about: sends again, asks, gives up. Returns when the connection is over.
    pub(super) async fn keep_time(&self) {
        loop {
            let next = {
                let mut timed = self.lock();
                timed.stack.drive(None, &self.tun);
                if timed.stack.is_over() {
                    return;
                }
                // Never at once again: whatever the stack says, this does not spin.
                let now = Instant::now();
                timed.armed = Some(self.due(&mut timed).unwrap_or(now + LONGEST).max(now + SHORTEST));
                timed.armed.unwrap_or(now + LONGEST)
            };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.rearm.notified() => {}
            }
        }
    }

    fn due(&self, timed: &mut Timed) -> Option<Instant> {
        timed.stack.next(&self.tun).map(|time| self.tun.when(time))
    }
}

const SHORTEST: Duration = Duration::from_millis(1);

const LONGEST: Duration = Duration::from_secs(60);
