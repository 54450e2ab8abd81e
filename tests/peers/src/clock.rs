//! Where a peer takes the time of verification from, and how a past time is given to a peer that reads
//! the system clock itself.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a peer takes the time of verification from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// An argument of its API.
    Argument,
    /// `SystemTime::now()` inside the peer.
    Process,
}

/// Makes this process's system clock stand at `at_ms` (milliseconds since 1970): the program starts
/// itself again under libfaketime. The peer's code is untouched, and its verdict is its own.
/// The monotonic clock, which times the rounds, is not shifted.
///
/// # Errors
/// Says what is missing when libfaketime is not installed or has no effect.
pub(crate) fn shift_process_to(at_ms: u64) -> Result<(), String> {
    let wanted = Duration::from_millis(at_ms);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?;
    if now.abs_diff(wanted) <= TOLERANCE {
        return Ok(());
    }
    if env::var_os("FAKETIME").is_some() {
        return Err(format!("libfaketime has no effect: the clock reads {}, not {at_ms}", now.as_millis()));
    }
    let library = libfaketime().ok_or(
        "this peer reads the system clock and cannot be measured on a past document without libfaketime \
         (Debian package `faketime`)",
    )?;
    let program = env::current_exe().map_err(|e| format!("own path: {e}"))?;
    // Only returns on failure.
    let error = Command::new(program)
        .args(env::args_os().skip(1))
        .env("LD_PRELOAD", library)
        .env("FAKETIME_FMT", "%s")
        .env("FAKETIME", wanted.as_secs().to_string())
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("TZ", "UTC")
        .exec();
    Err(format!("start again under libfaketime: {error}"))
}

/// `/usr/lib/<architecture>/faketime/libfaketime.so.1`, where Debian's package puts it.
fn libfaketime() -> Option<PathBuf> {
    fs::read_dir("/usr/lib")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
}

/// libfaketime is given whole seconds.
const TOLERANCE: Duration = Duration::from_secs(2);
