use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::failure::Failure;

/// Becomes `program`, which is told to stop when the demo is no more, however
/// that ended.
///
/// prctl(2), `PR_SET_PDEATHSIG`: the kernel sends the signal when the parent
/// dies; the setting survives execve(2) and not fork(2). So it must be made
/// between the two, and a short program of our own there does it without code
/// that runs between fork and exec in a copy of the demo (which would be
/// `unsafe`). Returns only if it could not.
///
/// # Errors
/// The system's word.
pub(crate) fn become_program(parent: u32, program: &OsString, arguments: &[OsString]) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| Failure::new("a death signal from the kernel", error.to_string()))?;
    // The demo may have died before the kernel knew what to do then.
    let alive =
        getppid().is_some_and(|found| Some(found) == i32::try_from(parent).ok().and_then(Pid::from_raw));
    Failure::unless(alive, || Failure::new("the demo as this program's parent", "another one"))?;
    let error = Command::new(program).args(arguments).exec();
    Err(Failure::new(format!("to start {}", program.display()), error.to_string()))
}
