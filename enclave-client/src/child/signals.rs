use std::{future::poll_fn, io, task::Poll};

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

/// The signals that the application gets instead of us.
///
/// Not among them: SIGCHLD, which is ours; SIGTSTP, SIGTTIN and SIGTTOU, which
/// stop this process as they would any other; SIGKILL and SIGSTOP, which nobody can catch.
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let listen = |passed: Signal| Ok((passed, signal(SignalKind::from_raw(passed.as_raw()))?));
        PASSED_ON.into_iter().map(listen).collect::<io::Result<_>>().map(Self)
    }

    /// The next one. Loses nothing when dropped.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|cx| {
            for (passed, stream) in &mut self.0 {
                if stream.poll_recv(cx).is_ready() {
                    return Poll::Ready(*passed);
                }
            }
            Poll::Pending
        })
        .await
    }
}

const PASSED_ON: [Signal; 8] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::CONT,
    Signal::WINCH,
];
