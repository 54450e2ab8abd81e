use std::{io, thread::available_parallelism, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    time::{MissedTickBehavior, interval},
};

/// What `run` and `host` run on: a thread for each processor. Where there is one, a scheduler that
/// knows no other thread: nothing is handed over, so nothing is locked or woken for it.
pub(super) fn runtime() -> io::Result<Runtime> {
    let mut builder = match available_parallelism() {
        Ok(processors) if processors.get() == 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build()?;
    runtime.spawn(beat());
    Ok(runtime)
}

/// Nothing but a timer that is always due before any deadline of a connection. A deadline that is
/// the next of all timers has to tell the poller, by a system call and a wake-up of its own; with
/// one deadline for each wait of each connection, that is four to five calls for opening one.
async fn beat() {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
    }
}

/// Below the shortest deadline that connections have.
const BEAT: Duration = Duration::from_secs(1);
