use std::io;

use rustix::{
    process::{Pid, Signal, getpgrp, kill_process, kill_process_group},
    termios::tcgetpgrp,
};

/// Who gets the signals that this process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipient {
    /// The application's process group, its own: a shell in front of the real program swallows none of them.
    Group,
    /// The application alone, in the process group of this process, which has the terminal. In one of its own it
    /// would be in the background, and the terminal would stop it when it reads (termios(3), SIGTTIN).
    Alone,
}

impl Recipient {
    /// The one that is right here.
    pub(super) fn here() -> Self {
        // No terminal, or that of another session: an error.
        match tcgetpgrp(io::stdin()) {
            Ok(foreground) if foreground == getpgrp() => Self::Alone,
            _ => Self::Group,
        }
    }

    /// # Errors
    /// The system's: there is nobody any more.
    pub(super) fn tell(self, application: Pid, signal: Signal) -> rustix::io::Result<()> {
        match self {
            Self::Group => kill_process_group(application, signal),
            Self::Alone if BY_THE_TERMINAL.contains(&signal) => Ok(()),
            Self::Alone => kill_process(application, signal),
        }
    }
}

/// What a terminal, or the shell that lends it, tells the whole group: the application has it already.
const BY_THE_TERMINAL: [Signal; 5] = [Signal::INT, Signal::QUIT, Signal::HUP, Signal::WINCH, Signal::CONT];
