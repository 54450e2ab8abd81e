use std::io;

use clap::ValueEnum;
use rustix::{
    fs::sync,
    system::{RebootCommand, reboot},
};

/// What PID 1 does when the application has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AtEnd {
    /// Reboot, which is how an enclave ends: there is nothing to boot again from
    #[default]
    Reboot,
    /// Exit with the application's code; for a PID namespace, where the parent sees it. A kernel whose first process exits panics
    Exit,
}

impl AtEnd {
    /// Returns only for [`AtEnd::Exit`], or when the system refuses.
    pub(super) fn end(self) -> io::Result<()> {
        sync();
        match self {
            Self::Exit => Ok(()),
            Self::Reboot => reboot(RebootCommand::Restart).map_err(io::Error::from),
        }
    }
}
