//! What a machine needs that boots with nothing: an enclave.
//!
//! ```text
//!   any `run`:   descriptors.rs  limit of open files
//!                loopback.rs     `lo` up, if it is not
//!                entropy.rs ──► kernel_pool.rs   random bytes of the NSM, credited to the kernel
//!   `init` only: mounts.rs       /proc, /sys, /dev … if absent
//!   (PID 1)      driver.rs       the NSM's kernel module, if there is a file of it
//!                heartbeat.rs    0xB7 to the parent: "booted"
//!                end.rs          sync, then the machine ends
//!   both:        health.rs       GET /healthz        host_log.rs  log lines to the host half
//! ```
//!
//! Every step says in the log what it did. A step that fails is a line, not an
//! end: the console of an enclave is dark, so a supervisor that gave up early
//! would take the only voice with it. Steps that change the machine rather than
//! this process exist only in `init`, which refuses to run as any process but PID 1.

mod descriptors;
mod driver;
mod end;
mod entropy;
mod health;
mod heartbeat;
mod host_log;
mod inside;
mod kernel_pool;
mod loopback;
mod mounts;

use std::fmt;

use rustix::process::getpid;
use tracing::{info, warn};

pub use end::AtEnd;
pub use entropy::{EntropyError, EntropyPool, credit};
pub use health::{Health, ProxyHealth};
pub use heartbeat::{Heartbeat, HeartbeatError};
pub use host_log::LogQueue;
pub use inside::{Inside, InsideError};
pub use kernel_pool::KernelPool;

use crate::device::Entropy;

/// What every `run` sees to, whoever is PID 1. Harmless on any machine: a step
/// that is not needed or not permitted changes nothing.
pub fn prepare_process() {
    note("open-files", descriptors::raise_limit());
    note("loopback", loopback::bring_up());
}

/// Credits the device's random bytes to the kernel; without a device there is nothing to do.
pub fn seed(entropy: &dyn Entropy) {
    note("entropy", credit(entropy, &KernelPool));
}

/// This process is the first of its machine, or of its PID namespace.
#[derive(Debug)]
pub struct Pid1(());

impl Pid1 {
    /// Proof, before anything is mounted or rebooted.
    ///
    /// # Errors
    /// [`NotPid1`].
    pub fn check() -> Result<Self, NotPid1> {
        let pid = getpid();
        if pid.is_init() { Ok(Self(())) } else { Err(NotPid1 { pid: pid.as_raw_nonzero().get() }) }
    }

    /// File systems, a name, the NSM's driver, and the sign of life the parent waits for.
    pub async fn prepare_machine(&self, heartbeat: &Heartbeat) {
        for mount in mounts::WANTED {
            note(mount.target, mount.if_absent());
        }
        note("links in /dev", mounts::link_standard_streams());
        note("host name", mounts::name_host());
        note("nsm driver", driver::load());
        note("heartbeat", heartbeat.send().await);
    }

    /// The end of the machine; returns for [`AtEnd::Exit`], or when the system refuses.
    pub fn end(self, how: AtEnd) {
        if let Err(why) = how.end() {
            warn!(code = "init-step-failed", step = "end", "the machine does not end: {why}");
        }
    }
}

/// `init` was asked for by a process that is not PID 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPid1 {
    pid: i32,
}

impl fmt::Display for NotPid1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "init is for the first process of an enclave, and this is process {}: use run", self.pid)
    }
}

impl std::error::Error for NotPid1 {}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It changed something.
    Done(String),
    /// There was nothing to change.
    NotNeeded,
}

fn note<E: std::error::Error + 'static>(step: &str, result: Result<Step, E>) {
    match result {
        Ok(Step::Done(what)) => info!(code = "init-step", step, "{what}"),
        Ok(Step::NotNeeded) => tracing::debug!(code = "init-step", step, "nothing to do"),
        Err(why) => warn!(code = "init-step-failed", step, "{}", crate::attest::chain(&why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_never_the_first_process() {
        let refused = Pid1::check().unwrap_err();
        assert_eq!(refused.pid, i32::try_from(std::process::id()).unwrap());
    }
}
